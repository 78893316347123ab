// The decoder's attention: entries of the cache, choice of positions, and attention over latents or over keys and values made of them.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "inference/cuda/decoder.h"
#include "inference/cuda/fast_kernels.h"
#include "inference/cuda/float_linear.h"
#include "inference/cuda/hopper/masked_attention.h"
#include "inference/cuda/hopper/quantize_queries.h"
#include "inference/cuda/hopper/sparse_prefill_fp8.h"
#include "inference/cuda/latents.h"
#include "inference/cuda/select_positions.h"

namespace gauntlet {

std::string Decoder::describe_attention() const {
  // Of the arguments sizes alone are asked for. The portable kernel knows one length of parts.
  const kernels::SparseAttentionArgs args{.batch = {}, .layout = layout_, .heads = config_.heads, .queries_low = two_terms() ? absorbed_.data() : nullptr, .out_low = two_terms() ? attended_.data() : nullptr};
  const bool portable = kernels::attention_kernel(args) == kernels::AttentionKernel::Portable;
  if (options_.batch_invariant) return portable ? "" : "batch-invariant";
  const std::string queries = options_.fp8_queries ? fmt::format(", queries in FP8 from {} tokens on", kFp8QueryTokens) : "";
  if (masked_) return fmt::format("prompts of {} tokens or more attended to whole{}", options_.masked_from, queries);
  return portable ? "" : "prompts never attended to whole" + queries;
}

void Decoder::attention(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, const PassShape& pass, Selections* record) {
  const int tokens = batch.tokens, heads = config_.heads,
            first = config_.q_rank > 0 ? config_.q_rank : heads * config_.qk_dim();
  Cache& cache = cache_[static_cast<std::size_t>(index)];
  make_input(layer, tokens);
  kernels::write_latents({.batch = batch,
                          .layout = layout_,
                          .q_rank = config_.q_rank,
                          .input_stride = input_width_,
                          .kv_offset = first,
                          .input = input_.data(),
                          .input_low = products_low(input_, tokens, input_width_),
                          .q_norm = layer.q_norm.data(),
                          .kv_norm = layer.kv_norm.data(),
                          .index_norm = layer.index_k_norm.data(),
                          .index_norm_bias = layer.index_k_norm_bias.data(),
                          .cosines = cosines_.data(),
                          .sines = sines_.data(),
                          .q_latent = q_latent_.data(),
                          .q_latent_low = second(q_latent_, tokens, config_.q_rank),
                          .latent_rows = cache.latents.data(),
                          .index_pages = cache.index_keys.data()},
                         on_.get());
  if (config_.q_rank > 0) make_query(layer, tokens);
  kernels::split_queries(
      {.batch = batch,
       .layout = layout_,
       .heads = heads,
       .nope = config_.nope_dim,
       .index_heads = config_.index_heads,
       .query_stride = config_.q_rank > 0 ? query_width_ : input_width_,
       .query = config_.q_rank > 0 ? query_.data() : input_.data(),
       .query_low = config_.q_rank > 0 ? products_low(query_, tokens, query_width_) : products_low(input_, tokens, input_width_),
       .cosines = cosines_.data(),
       .sines = sines_.data(),
       .content = content_.data(),
       .content_low = second(content_, tokens, std::int64_t{heads} * config_.nope_dim),
       .absorbed = absorbed_.data(),
       .absorbed_low = second(absorbed_, tokens, std::int64_t{heads} * layout_.width()),
       .joined = joined_.data(),
       .index_queries = index_queries_.data(),
       .index_queries_fp8 = index_queries_fp8_.data(),
       .index_query_scales = index_query_scales_.data()},
      on_.get());
  // Where every position is chosen anyway, no list is needed: the sums are the same.
  const bool choosing = sparse_ && pass.longest > config_.index_topk;
  if (config_.has_indexer() && (choosing || record != nullptr)) choose(index, layer, batch, pass.longest, record);
  if (masked_ && pass.whole && !choosing && tokens >= options_.masked_from) {
    attend_masked(layer, cache, batch);
  } else {
    attend_absorbed(layer, cache, batch, choosing ? config_.index_topk : pass.longest, choosing);
  }
  add_product(layer.output, mixed_, heads * config_.v_dim, tokens);
}

/// Attention over the latents themselves: from content_ and absorbed_ to mixed_.
void Decoder::attend_absorbed(const CudaLayer& layer, const Cache& cache, const kernels::TokenBatch& batch, int longest, bool choosing) {
  const int tokens = batch.tokens, heads = config_.heads;
  absorb_queries(layer, tokens);
  kernels::SparseAttentionArgs args{.batch = batch,
                                    .layout = layout_,
                                    .first = 0,
                                    .rows = tokens,
                                    .heads = heads,
                                    .longest = longest,
                                    .scale = static_cast<float>(config_.softmax_scale()),
                                    .queries = absorbed_.data(),
                                    .queries_low = second(absorbed_, tokens, std::int64_t{heads} * layout_.width()),
                                    .chosen = nullptr,
                                    .k = config_.index_topk,
                                    .form = kernels::ListForm::Packed,
                                    .latent_rows = cache.latents.data(),
                                    .part_out = part_out_.data(),
                                    .part_stats = part_stats_.data(),
                                    .out = attended_.data(),
                                    .out_low = second(attended_, tokens, std::int64_t{heads} * config_.kv_rank),
                                    .lse = nullptr};
  if (options_.fp8_queries && tokens >= kFp8QueryTokens) {
    kernels::quantize_queries({.heads = tokens * heads,
                               .queries = absorbed_.data(),
                               .queries_fp8 = queries_fp8_.data(),
                               .query_rotary = query_rotary_.data(),
                               .query_scales = query_scales_.data()},
                              on_.get());
    args.chosen = choosing ? chosen_.data() : nullptr;
    args.part = kernels::round_up(std::max(longest, 1), kPageTokens);
    kernels::sparse_prefill_fp8({.attention = args, .queries_fp8 = queries_fp8_.data(), .query_rotary = query_rotary_.data(), .query_scales = query_scales_.data()}, on_.get());
    return mix_values(layer, tokens);
  }
  if (!options_.batch_invariant) {
    const int fastest = kernels::fastest_part(args);
    // A single token's parts must find room.
    if (std::int64_t{(args.longest + fastest - 1) / fastest} * heads * layout_.latent_padded() <= part_floats_ || fastest >= args.longest) args.part = fastest;
  }
  const std::int64_t one = std::int64_t{args.parts()} * heads * layout_.latent_padded();
  const int run = args.parts() == 1 ? tokens : static_cast<int>(std::clamp<std::int64_t>(part_floats_ / one, 1, tokens));
  for (args.first = 0; args.first < tokens; args.first += run) {
    args.rows = std::min(run, tokens - args.first);
    args.chosen = choosing ? chosen_.data() + std::int64_t{args.first} * config_.index_topk : nullptr;
    kernels::attend(args, on_.get());
  }

  mix_values(layer, tokens);
}

/// Attention over keys and values that are made of the pass's own latents, for passes that hold every sequence from its start: from joined_ to mixed_.
void Decoder::attend_masked(const CudaLayer& layer, const Cache& cache, const kernels::TokenBatch& batch) {
  const int tokens = batch.tokens, heads = config_.heads, each = config_.nope_dim + config_.v_dim;
  kernels::read_latents({.batch = batch, .layout = layout_, .latent_rows = cache.latents.data(), .latents = plain_latents_.data(), .rotary_keys = rotary_keys_.data()}, on_.get());
  ProductArgs product{.rows = tokens,
                      .outputs = config_.nope_dim,
                      .inner = config_.kv_rank,
                      .weights = layer.key_up.data(),
                      .transposed = true,
                      .x = plain_latents_.data(),
                      .x_stride = config_.kv_rank,
                      .y = keys_values_.data(),
                      .y_stride = std::int64_t{heads} * each,
                      .output = ProductOutput::Bf16,
                      .batches = heads,
                      .weights_distance = std::int64_t{config_.kv_rank} * config_.nope_dim,
                      .x_distance = 0,
                      .y_distance = each};
  products_.multiply(product, on_.get());
  product.outputs = config_.v_dim;
  product.weights = layer.value_up.data();
  product.transposed = false;
  product.y = keys_values_.data() + config_.nope_dim;
  product.weights_distance = std::int64_t{config_.v_dim} * config_.kv_rank;
  products_.multiply(product, on_.get());
  kernels::masked_attention({.batch = batch,
                             .first = 0,
                             .rows = tokens,
                             .heads = heads,
                             .scale = static_cast<float>(config_.softmax_scale()),
                             .queries = joined_.data(),
                             .keys_values = keys_values_.data(),
                             .rotary_keys = rotary_keys_.data(),
                             .work = masked_work_.data(),
                             .out = mixed_.data(),
                             .lse = nullptr},
                            on_.get());
}

/// The positions that each token's attention reads, into chosen_.
void Decoder::choose(int index, const CudaLayer& layer, const kernels::TokenBatch& batch, int longest, Selections* record) {
  const int tokens = batch.tokens, k = config_.index_topk;
  const float scale =
      1.0f / std::sqrt(static_cast<float>(config_.index_heads)) / std::sqrt(static_cast<float>(config_.index_dim));
  const std::int64_t stride = kernels::round_up(longest, kPageTokens);
  if (longest > k) {
    kernels::float_linear({.rows = tokens,
                           .outputs = config_.index_heads,
                           .dim = config_.dim,
                           .scale = scale,
                           .x = normed_float_.data(),
                           .weight = layer.index_weights.data(),
                           .factors = index_query_scales_.data(),
                           .y = index_weights_.data()},
                          on_.get());
  }
  kernels::select_positions({.scores = {.batch = batch,
                                        .layout = layout_,
                                        .first = 0,
                                        .rows = tokens,
                                        .heads = config_.index_heads,
                                        .longest = longest,
                                        .queries = index_queries_.data(),
                                        .weights = index_weights_.data(),
                                        .queries_fp8 = index_queries_fp8_.data(),
                                        .weights_fp8 = index_fp8_ ? index_weights_.data() : nullptr,
                                        .index_pages = cache_[static_cast<std::size_t>(index)].index_keys.data(),
                                        .scores = scores_.data(),
                                        .score_stride = stride},
                             .scratch_floats = static_cast<std::int64_t>(scores_.size()),
                             .k = k,
                             .chosen = chosen_.data()},
                            on_.get());
  if (record != nullptr) append_blocking(chosen_, static_cast<std::size_t>(tokens) * static_cast<std::size_t>(k), record->layers[static_cast<std::size_t>(index)]);
}

}  // namespace gauntlet
