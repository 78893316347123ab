#include "inference/cpu/cpu_attention.h"

#include <algorithm>
#include <cmath>

#include "inference/backend.h"
#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr float kLatentNormEps = 1e-6f;

void layer_norm(float* x, const std::vector<float>& weight, const std::vector<float>& bias) {
  const auto size = static_cast<float>(weight.size());
  float mean = 0, variance = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) mean += x[i];
  mean /= size;
  for (std::size_t i = 0; i < weight.size(); ++i) variance += (x[i] - mean) * (x[i] - mean);
  const float scale = 1.0f / std::sqrt(variance / size + kLatentNormEps);
  for (std::size_t i = 0; i < weight.size(); ++i) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

}  // namespace

CpuAttention::CpuAttention(const ModelConfig& config, const CpuKernels& kernels, ThreadPool& pool, const RopeTable& rope, bool dense)
    : config_(config),
      kernels_(kernels),
      pool_(pool),
      rope_(rope),
      dense_(dense || !config.has_indexer()),
      query_width_(static_cast<std::size_t>(config.heads) * static_cast<std::size_t>(config.qk_dim())),
      index_query_width_(static_cast<std::size_t>(config.index_heads) * static_cast<std::size_t>(config.index_dim)),
      input_width_((config.q_rank > 0 ? static_cast<std::size_t>(config.q_rank) : query_width_) + static_cast<std::size_t>(config.cache_dim() + config.index_dim + config.index_heads)),
      query_columns_(query_width_ + index_query_width_),
      scratch_(static_cast<std::size_t>(pool.threads())) {}

void CpuAttention::project(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x) {
  const std::size_t count = tokens.size();
  const auto rank = static_cast<std::size_t>(config_.q_rank);
  input_.resize(count * input_width_);
  query_.resize(count * query_columns_);
  multiply(kernels_, pool_, layer.input, x, config_.dim, static_cast<int>(count), input_.data(), static_cast<std::ptrdiff_t>(input_width_));
  if (rank == 0) {
    for (std::size_t t = 0; t < count; ++t) std::copy_n(input_.data() + t * input_width_, query_width_, query_.data() + t * query_columns_);
    return;
  }
  latent_.resize(count * rank);
  for (std::size_t t = 0; t < count; ++t) kernels_.rms_norm(input_.data() + t * input_width_, layer.q_norm.data(), kLatentNormEps, config_.q_rank, latent_.data() + t * rank);
  multiply(kernels_, pool_, layer.query, latent_.data(), config_.q_rank, static_cast<int>(count), query_.data(), static_cast<std::ptrdiff_t>(query_columns_));
}

void CpuAttention::write_cache(const CpuLayer& layer, const std::vector<CpuToken>& tokens, CpuLayerCache& cache) {
  const auto cache_dim = static_cast<std::size_t>(config_.cache_dim()), index_dim = static_cast<std::size_t>(config_.index_dim);
  const std::size_t at = config_.q_rank > 0 ? static_cast<std::size_t>(config_.q_rank) : query_width_;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    float* projected = input_.data() + t * input_width_ + at;
    float* entry = cache.latents.data() + static_cast<std::size_t>(tokens[t].row) * cache_dim;
    kernels_.rms_norm(projected, layer.kv_norm.data(), kLatentNormEps, config_.kv_rank, entry);
    std::copy_n(projected + config_.kv_rank, config_.rope_dim, entry + config_.kv_rank);
    rope_.rotate(entry + config_.kv_rank, tokens[t].position, RopeLayout::Interleaved);
    if (!config_.has_indexer()) continue;
    float* key = cache.index_keys.data() + static_cast<std::size_t>(tokens[t].row) * index_dim;
    std::copy_n(projected + cache_dim, index_dim, key);
    layer_norm(key, layer.index_k_norm, layer.index_k_norm_bias);
    rope_.rotate(key, tokens[t].position, RopeLayout::HalfSplit);
  }
}

/// Fills scratch.positions with what the token attends to.
void CpuAttention::choose(const CpuToken& token, std::size_t index, const CpuLayerCache& cache, Scratch& scratch) const {
  const auto count = static_cast<int>(token.position + 1);
  if (dense_ || count <= config_.index_topk) {
    scratch.positions.resize(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) scratch.positions[static_cast<std::size_t>(i)] = i;
    return;
  }
  const auto heads = static_cast<std::size_t>(config_.index_heads), dim = static_cast<std::size_t>(config_.index_dim);
  const std::size_t groups = (heads + 15) / 16;
  const float* weights = input_.data() + (index + 1) * input_width_ - heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(heads)) / std::sqrt(static_cast<float>(dim));
  scratch.index_query.assign(groups * dim * 16, 0.0f);
  scratch.head_weights.assign(groups * 16, 0.0f);
  std::vector<float> head(dim);
  for (std::size_t h = 0; h < heads; ++h) {
    std::copy_n(query_.data() + index * query_columns_ + query_width_ + h * dim, dim, head.data());
    rope_.rotate(head.data(), token.position, RopeLayout::HalfSplit);
    float* lane = scratch.index_query.data() + h / 16 * dim * 16 + h % 16;
    for (std::size_t d = 0; d < dim; ++d) lane[d * 16] = head[d];
    scratch.head_weights[h] = weights[h] * scale;
  }
  scratch.scores.resize(static_cast<std::size_t>(count));
  kernels_.index_scores({.queries = scratch.index_query.data(),
                         .head_weights = scratch.head_weights.data(),
                         .head_groups = static_cast<int>(groups),
                         .index_dim = config_.index_dim,
                         .keys = cache.index_keys.data(),
                         .pages = token.pages,
                         .page_tokens = kPageTokens,
                         .count = count,
                         .out = scratch.scores.data()});
  select_top(scratch.scores, config_.index_topk, scratch.keys, scratch.positions);
}

void CpuAttention::run(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x, CpuLayerCache& cache, float* y, std::vector<std::int32_t>* chosen) {
  const auto heads = static_cast<std::size_t>(config_.heads), qk = static_cast<std::size_t>(config_.qk_dim()), nope = static_cast<std::size_t>(config_.nope_dim);
  const auto rank = static_cast<std::size_t>(config_.kv_rank), cache_dim = static_cast<std::size_t>(config_.cache_dim()), v_dim = static_cast<std::size_t>(config_.v_dim);
  const std::size_t count = tokens.size();
  project(layer, tokens, x);
  write_cache(layer, tokens, cache);

  absorbed_.resize(count * heads * cache_dim);
  attended_.resize(count * heads * rank);
  mixed_.resize(count * heads * v_dim);
  pool_.run(heads, [&](std::size_t h, int) {
    kernels_.matmul(layer.key_up[h].product(query_.data() + h * qk, static_cast<std::ptrdiff_t>(query_columns_), static_cast<int>(count), absorbed_.data() + h * cache_dim, static_cast<std::ptrdiff_t>(heads * cache_dim)));
  });

  const std::size_t chosen_at = chosen != nullptr ? chosen->size() : 0;
  const auto topk = static_cast<std::size_t>(config_.index_topk);
  if (chosen != nullptr) chosen->resize(chosen_at + count * topk, -1);
  pool_.run(count, [&](std::size_t t, int thread) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
    choose(tokens[t], t, cache, scratch);
    const auto& positions = scratch.positions;
    if (chosen != nullptr) std::copy_n(positions.begin(), std::min(positions.size(), topk), chosen->begin() + static_cast<std::ptrdiff_t>(chosen_at + t * topk));
    scratch.rows.resize(positions.size());
    for (std::size_t i = 0; i < positions.size(); ++i) scratch.rows[i] = tokens[t].pages[positions[i] / kPageTokens] * kPageTokens + positions[i] % kPageTokens;
    scratch.weights.resize(heads * positions.size());
    for (std::size_t h = 0; h < heads; ++h) {
      float* rotary = absorbed_.data() + (t * heads + h) * cache_dim + rank;
      std::copy_n(query_.data() + t * query_columns_ + h * qk + nope, config_.rope_dim, rotary);
      rope_.rotate(rotary, tokens[t].position, RopeLayout::Interleaved);
    }
    kernels_.attend({.queries = absorbed_.data() + t * heads * cache_dim,
                     .cache = cache.latents.data(),
                     .rows = scratch.rows.data(),
                     .chosen = static_cast<int>(scratch.rows.size()),
                     .heads = config_.heads,
                     .latent_dim = config_.kv_rank,
                     .cache_dim = config_.cache_dim(),
                     .scale = static_cast<float>(config_.softmax_scale()),
                     .weights = scratch.weights.data(),
                     .out = attended_.data() + t * heads * rank});
  });
  pool_.run(heads, [&](std::size_t h, int) {
    kernels_.matmul(layer.value_up[h].product(attended_.data() + h * rank, static_cast<std::ptrdiff_t>(heads * rank), static_cast<int>(count), mixed_.data() + h * v_dim, static_cast<std::ptrdiff_t>(heads * v_dim)));
  });
  multiply(kernels_, pool_, layer.output, mixed_.data(), static_cast<std::ptrdiff_t>(heads * v_dim), static_cast<int>(count), y, config_.dim);
}

}  // namespace gauntlet
