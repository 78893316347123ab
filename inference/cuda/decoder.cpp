#include "inference/cuda/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "inference/cuda/fast_kernels.h"
#include "inference/cuda/float_linear.h"
#include "inference/cuda/grouped_product.h"
#include "inference/cuda/hopper/masked_attention.h"
#include "inference/cuda/hopper/sparse_prefill_fp8.h"
#include "inference/cuda/moe.h"
#include "inference/cuda/norm.h"

namespace gauntlet {
namespace {

/// Workspaces that grow with tokens × positions are bounded; what does not fit at once is done in runs of tokens.
constexpr std::int64_t kScoreFloats = 32LL << 20;
constexpr std::int64_t kPartFloats = 32LL << 20;

/// Whether every dense product of the model is small enough for term_product(), which then runs them all: so that bits are the same in any batch.
bool fits_fused(const ModelConfig& config, kernels::ActivationTerms terms) {
  // Beyond this cuBLASLt is as fast, and norms are too long to be made by each block anew.
  constexpr int kMostInner = 1024;
  const int inner = std::max({config.dim, config.q_rank, config.kv_rank, config.nope_dim, config.heads * config.v_dim, config.dense_layers > 0 ? config.dense_width : 0,
                              config.expert_width * std::max(config.shared_experts, 0)});
  return terms == kernels::ActivationTerms::Two && inner <= kMostInner;
}

/// Whether attention that is not absorbed has a kernel for the model. Its bits are not those of the absorbed form.
bool fits_masked(const ModelConfig& config, const DecoderOptions& options) {
  return compute_capability() == 90 && options.masked_from > 0 && !options.batch_invariant && options.terms == kernels::ActivationTerms::One && config.nope_dim == kernels::kMaskedContent &&
         config.rope_dim == kernels::kMaskedRotary && config.v_dim == kernels::kMaskedValue;
}

void check_fp8_queries(const ModelConfig& config, const DecoderOptions& options) {
  const kernels::SparseAttentionArgs sizes{.batch = {}, .layout = kernels::cache_layout(config, options.cache), .heads = config.heads};
  const bool takes = compute_capability() == 90 && options.terms == kernels::ActivationTerms::One && kernels::sparse_prefill_fp8_takes({.attention = sizes});
  require(takes, ErrorKind::Usage,
          fmt::format("FP8 queries: found {} cache, latents of {} + {}, {} heads and compute capability {:.1f}; accepted: an FP8 cache (--cache fp8), latents of 512 + 64, "
                      "heads by 64, activations in one term, compute capability 9.0",
                      options.cache == CacheFormat::Fp8 ? "an FP8" : "a bf16", config.kv_rank, config.rope_dim, config.heads, compute_capability() / 10.0));
  require(!options.batch_invariant, ErrorKind::Usage,
          "FP8 queries: found batch-invariant attention beside them; accepted: one of them, as a pass's number of tokens decides about the queries");
}

std::size_t count(std::int64_t a, std::int64_t b = 1, std::int64_t c = 1) { return static_cast<std::size_t>(a * b * c); }

}  // namespace

Decoder::Decoder(const ModelConfig& config, const CudaWeights& weights, const DecoderOptions& options, const Stream& stream)
    : config_(config),
      weights_(weights),
      options_(options),
      on_(stream),
      layout_(kernels::cache_layout(config, options.cache)),
      sparse_(config.has_indexer() && !options.dense_attention),
      fused_(fits_fused(config, options.terms)),
      products_(2 * options.max_tokens) {
  const int tokens = options.max_tokens, heads = config.heads;
  input_width_ = (config.q_rank > 0 ? config.q_rank : heads * config.qk_dim()) + config.cache_dim() + layout_.index;
  query_width_ = heads * config.qk_dim() + (config.q_rank > 0 ? config.index_heads * config.index_dim : 0);

  const std::int64_t rows = std::int64_t{options.pages + 1} * kPageTokens;
  for (int i = 0; i < config.layers; ++i) {
    Cache cache{
        .latents = DeviceBuffer<std::byte>(count(rows, layout_.row_bytes())),
        .index_keys = DeviceBuffer<std::byte>(layout_.index > 0 ? count(options.pages + 1, layout_.index_page_bytes()) : 0)};
    cache_.push_back(std::move(cache));
  }

  const std::int64_t positions = std::min<std::int64_t>(config.max_positions, std::int64_t{options.pages} * kPageTokens);
  const RopeTable rope(config, positions);
  const int half = config.rope_dim / 2;
  std::vector<float> cosines(count(positions, half)), sines(count(positions, half));
  for (std::int64_t p = 0; p < positions; ++p) {
    std::copy_n(rope.cosines(p), half, cosines.data() + p * half);
    std::copy_n(rope.sines(p), half, sines.data() + p * half);
  }
  cosines_ = DeviceBuffer<float>(cosines.size());
  sines_ = DeviceBuffer<float>(sines.size());
  cosines_.upload_blocking(cosines);
  sines_.upload_blocking(sines);

  const int terms = two_terms() ? 2 : 1;
  stream_ = DeviceBuffer<float>(count(tokens, config.dim));
  normed_ = DeviceBuffer<Bf16>(count(tokens, terms, config.dim));
  normed_float_ = DeviceBuffer<float>(count(tokens, config.dim));
  input_ = DeviceBuffer<float>(count(tokens, terms, input_width_));
  q_latent_ = DeviceBuffer<Bf16>(count(tokens, terms, config.q_rank));
  query_ = DeviceBuffer<float>(config.q_rank > 0 ? count(tokens, terms, query_width_) : 0);
  content_ = DeviceBuffer<Bf16>(count(std::int64_t{tokens} * terms, heads, config.nope_dim));
  absorbed_ = DeviceBuffer<Bf16>(count(std::int64_t{tokens} * terms, heads, layout_.width()));
  if (two_terms() && !fused_) {
    absorbed_float_ = DeviceBuffer<float>(count(std::int64_t{2} * tokens, heads, config.kv_rank));
    mixed_float_ = DeviceBuffer<float>(count(std::int64_t{2} * tokens, heads, config.v_dim));
  }
  cuda_check(cudaMemset(absorbed_.data(), 0, absorbed_.size_bytes()));  // the padding stays zero
  attended_ = DeviceBuffer<Bf16>(count(std::int64_t{tokens} * terms, heads, config.kv_rank));
  mixed_ = DeviceBuffer<Bf16>(count(std::int64_t{tokens} * terms, heads, config.v_dim));
  if (config.has_indexer()) {
    index_fp8_ = kernels::scores_in_fp8(layout_, config.index_heads);
    if (index_fp8_) {
      index_queries_fp8_ = DeviceBuffer<std::uint8_t>(count(tokens, config.index_heads, layout_.index_padded()));
      index_query_scales_ = DeviceBuffer<float>(count(tokens, config.index_heads));
    } else {
      index_queries_ = DeviceBuffer<Bf16>(count(tokens, config.index_heads, layout_.index_padded()));
    }
    index_weights_ = DeviceBuffer<float>(count(tokens, config.index_heads));
    chosen_ = DeviceBuffer<std::int32_t>(count(tokens, config.index_topk));
    const std::int64_t stride = kernels::round_up(static_cast<int>(positions), kPageTokens);
    scores_ = DeviceBuffer<float>(count(std::max(stride, std::min(kScoreFloats, stride * tokens))));
  }
  if (options.fp8_queries) {
    check_fp8_queries(config, options);
    queries_fp8_ = DeviceBuffer<std::uint8_t>(count(tokens, heads, config.kv_rank));
    query_rotary_ = DeviceBuffer<Bf16>(count(tokens, heads, config.rope_dim));
    query_scales_ = DeviceBuffer<float>(count(tokens, heads));
  }
  masked_ = fits_masked(config, options);
  if (masked_) {
    joined_ = DeviceBuffer<Bf16>(count(tokens, heads, config.qk_dim()));
    keys_values_ = DeviceBuffer<Bf16>(count(tokens, heads, config.nope_dim + config.v_dim));
    plain_latents_ = DeviceBuffer<Bf16>(count(tokens, config.kv_rank));
    rotary_keys_ = DeviceBuffer<Bf16>(count(tokens, config.rope_dim));
    masked_work_ = DeviceBuffer<std::int32_t>(kernels::kMaskedWork);
    cuda_check(cudaMemset(masked_work_.data(), 0, masked_work_.size_bytes()));
  }
  const std::int64_t longest = sparse_ ? std::min<std::int64_t>(config.index_topk, positions) : positions;
  const std::int64_t parts = (longest + kernels::kAttentionPart - 1) / kernels::kAttentionPart;
  if (parts > 1) {
    const std::int64_t one = parts * heads * layout_.latent_padded();
    const std::int64_t held = std::max<std::int64_t>(1, std::min<std::int64_t>(tokens, kPartFloats / one));
    // Short parts of few tokens need as much as the usual ones of many.
    const std::int64_t shortest = (longest + 63) / 64 * heads * layout_.latent_padded();
    part_floats_ = std::max(held * one, std::min(shortest, kPartFloats));
    part_out_ = DeviceBuffer<float>(count(part_floats_));
    part_stats_ = DeviceBuffer<float>(count(part_floats_ / layout_.latent_padded(), 2));
  }
  const std::int64_t widest =
      std::max(config.dense_layers > 0 ? config.dense_width : 0, config.expert_width * std::max(config.shared_experts, 0));
  gate_up_ = DeviceBuffer<float>(count(std::int64_t{tokens} * terms, 2, widest));
  activated_ = DeviceBuffer<Bf16>(count(tokens, terms, widest));
  if (config.dense_layers < config.layers) {
    const std::int64_t slots = std::int64_t{tokens} * config.experts_per_token;
    const int tiles =
        kernels::DispatchArgs{.tokens = tokens, .experts = config.experts, .per_token = config.experts_per_token}.max_tiles();
    router_ = DeviceBuffer<float>(count(tokens, config.experts));
    experts_chosen_ = DeviceBuffer<std::int32_t>(count(slots));
    gate_weights_ = DeviceBuffer<float>(count(slots));
    slot_of_ = DeviceBuffer<std::int32_t>(count(slots));
    token_of_ = DeviceBuffer<std::int32_t>(count(slots));
    tile_expert_ = DeviceBuffer<std::int32_t>(count(tiles));
    tile_first_ = DeviceBuffer<std::int32_t>(count(tiles));
    tile_rows_ = DeviceBuffer<std::int32_t>(count(tiles));
    expert_activated_ = DeviceBuffer<Bf16>(count(slots, config.expert_width));
    expert_out_ = DeviceBuffer<float>(count(slots, config.dim));
  }
}

std::size_t Decoder::page_bytes() const {
  return count(config_.layers) *
         (count(kPageTokens, layout_.row_bytes()) + (layout_.index > 0 ? count(layout_.index_page_bytes()) : 0));
}

void Decoder::copy_page(std::int32_t from, std::int32_t to) {
  const auto copy = [&](DeviceBuffer<std::byte>& buffer, std::size_t bytes) {
    cuda_check(cudaMemcpyAsync(buffer.data() + static_cast<std::size_t>(to) * bytes,
                               buffer.data() + static_cast<std::size_t>(from) * bytes, bytes, cudaMemcpyDeviceToDevice,
                               on_.get()));
  };
  for (auto& cache : cache_) {
    copy(cache.latents, count(kPageTokens, layout_.row_bytes()));
    if (layout_.index > 0) copy(cache.index_keys, count(layout_.index_page_bytes()));
  }
}

void Decoder::poison_page(std::int32_t page) {
  const auto fill = [&](DeviceBuffer<std::byte>& buffer, std::size_t bytes) {
    cuda_check(cudaMemsetAsync(buffer.data() + static_cast<std::size_t>(page) * bytes, 0xff, bytes, on_.get()));
  };
  for (auto& cache : cache_) {
    fill(cache.latents, count(kPageTokens, layout_.row_bytes()));
    if (layout_.index > 0) fill(cache.index_keys, count(layout_.index_page_bytes()));
  }
}

void Decoder::launch(const kernels::TokenBatch& batch, const PassShape& pass, Selections* record) {
  kernels::embed({.tokens = batch.tokens,
                  .dim = config_.dim,
                  .ids = batch.ids,
                  .table = weights_.embedding.data(),
                  .stream = stream_.data()},
                 on_.get());
  if (record != nullptr) {
    record->k = config_.index_topk;
    record->layers.resize(weights_.layers.size());
    record->experts_per_token = config_.experts_per_token;
    record->experts.resize(weights_.layers.size());
  }
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    const CudaLayer& layer = weights_.layers[i];
    attention(static_cast<int>(i), layer, batch, pass, record);
    if (layer.mlp.width > 0) {
      gate(layer, batch.tokens);
      add_product(layer.mlp.down, activated_, layer.mlp.width, batch.tokens);
    } else {
      norm(layer.mlp_norm, batch.tokens);
    }
    if (layer.router.size() > 0) experts(layer, batch.tokens, record == nullptr ? nullptr : &record->experts[i]);
  }
}

void Decoder::append_blocking(const DeviceBuffer<std::int32_t>& from, std::size_t size, std::vector<std::int32_t>& into) {
  into.resize(into.size() + size);
  cuda_check(cudaMemcpyAsync(into.data() + into.size() - size, from.data(), size * sizeof(std::int32_t), cudaMemcpyDeviceToHost,
                             on_.get()));
  on_.wait_blocking();
}

void Decoder::experts(const CudaLayer& layer, int tokens, std::vector<std::int32_t>* record) {
  const int per_token = config_.experts_per_token;
  kernels::float_linear({.rows = tokens,
                         .outputs = config_.experts,
                         .dim = config_.dim,
                         .scale = 1.0f,
                         .x = normed_float_.data(),
                         .weight = layer.router.data(),
                         .y = router_.data()},
                        on_.get());
  kernels::route({.tokens = tokens,
                  .experts = config_.experts,
                  .groups = config_.groups,
                  .groups_kept = config_.groups_kept,
                  .per_token = per_token,
                  .normalise = config_.normalise_gates,
                  .routed_scale = static_cast<float>(config_.routed_scale),
                  .logits = router_.data(),
                  .correction = layer.correction.data(),
                  .chosen = experts_chosen_.data(),
                  .weights = gate_weights_.data()},
                 on_.get());
  if (record != nullptr) append_blocking(experts_chosen_, count(tokens, per_token), *record);
  const kernels::DispatchArgs sorted{.tokens = tokens,
                                     .experts = config_.experts,
                                     .per_token = per_token,
                                     .chosen = experts_chosen_.data(),
                                     .slot_of = slot_of_.data(),
                                     .token_of = token_of_.data(),
                                     .tile_expert = tile_expert_.data(),
                                     .tile_first = tile_first_.data(),
                                     .tile_rows = tile_rows_.data()};
  kernels::dispatch(sorted, on_.get());
  const kernels::GroupedTiles tiles{
      .count = sorted.max_tiles(), .expert = tile_expert_.data(), .first = tile_first_.data(), .rows = tile_rows_.data()};
  kernels::grouped_gate_up({.tiles = tiles,
                            .dim = config_.dim,
                            .width = config_.expert_width,
                            .token_of = token_of_.data(),
                            .x = normed_.data(),
                            .weights = layer.experts_gate_up.data(),
                            .y = expert_activated_.data()},
                           on_.get());
  kernels::grouped_down({.tiles = tiles,
                         .dim = config_.dim,
                         .width = config_.expert_width,
                         .x = expert_activated_.data(),
                         .weights = layer.experts_down.data(),
                         .y = expert_out_.data()},
                        on_.get());
  kernels::combine({.tokens = tokens,
                    .per_token = per_token,
                    .dim = config_.dim,
                    .slot_of = slot_of_.data(),
                    .weights = gate_weights_.data(),
                    .parts = expert_out_.data(),
                    .stream = stream_.data()},
                   on_.get());
}

}  // namespace gauntlet
