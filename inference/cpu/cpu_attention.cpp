#include "inference/cpu/cpu_attention.h"

#include <algorithm>
#include <cmath>

#include "inference/backend.h"
#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr float kLatentNormEps = 1e-6f;
constexpr std::int64_t kScorePositions = 8 * kPageTokens;  ///< of one task

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

CpuAttention::CpuAttention(const ModelConfig& config, Products& products, const RopeTable& rope, bool dense)
    : config_(config),
      products_(products),
      kernels_(products.kernels()),
      pool_(products.pool()),
      rope_(rope),
      dense_(dense || !config.has_indexer()),
      query_width_(static_cast<std::size_t>(config.heads) * static_cast<std::size_t>(config.qk_dim())),
      index_query_width_(static_cast<std::size_t>(config.index_heads) * static_cast<std::size_t>(config.index_dim)),
      input_width_((config.q_rank > 0 ? static_cast<std::size_t>(config.q_rank) : query_width_) + static_cast<std::size_t>(config.cache_dim() + config.index_dim + config.index_heads)),
      query_columns_(query_width_ + index_query_width_),
      choices_(static_cast<std::size_t>(pool_.threads())),
      weights_(static_cast<std::size_t>(pool_.threads())) {}

void CpuAttention::project(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x) {
  const std::size_t count = tokens.size();
  const auto rank = static_cast<std::size_t>(config_.q_rank);
  input_.resize(count * input_width_);
  query_.resize(count * query_columns_);
  products_.multiply(layer.input, {x, config_.dim, static_cast<int>(count)}, {input_.data(), static_cast<std::ptrdiff_t>(input_width_)});
  if (rank == 0) {
    for (std::size_t t = 0; t < count; ++t) std::copy_n(input_.data() + t * input_width_, query_width_, query_.data() + t * query_columns_);
    return;
  }
  latent_.resize(count * rank);
  for (std::size_t t = 0; t < count; ++t) kernels_.rms_norm(input_.data() + t * input_width_, layer.q_norm.data(), kLatentNormEps, config_.q_rank, latent_.data() + t * rank);
  products_.multiply(layer.query, {latent_.data(), config_.q_rank, static_cast<int>(count)}, {query_.data(), static_cast<std::ptrdiff_t>(query_columns_)});
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

void CpuAttention::prepare_scores(const CpuToken& token, std::size_t index, Choice& choice) const {
  const auto heads = static_cast<std::size_t>(config_.index_heads), dim = static_cast<std::size_t>(config_.index_dim);
  const std::size_t groups = (heads + 15) / 16;
  const float* weights = input_.data() + (index + 1) * input_width_ - heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(heads)) / std::sqrt(static_cast<float>(dim));
  choice.index_query.assign(groups * dim * 16, 0.0f);
  choice.head_weights.assign(groups * 16, 0.0f);
  std::vector<float> head(dim);
  for (std::size_t h = 0; h < heads; ++h) {
    std::copy_n(query_.data() + index * query_columns_ + query_width_ + h * dim, dim, head.data());
    rope_.rotate(head.data(), token.position, RopeLayout::HalfSplit);
    float* lane = choice.index_query.data() + h / 16 * dim * 16 + h % 16;
    for (std::size_t d = 0; d < dim; ++d) lane[d * 16] = head[d];
    choice.head_weights[h] = weights[h] * scale;
  }
  choice.scores.resize(static_cast<std::size_t>(token.position + 1));
}

/// Scores of positions [first, last); first is a page's.
void CpuAttention::score(const CpuToken& token, std::int64_t first, std::int64_t last, const CpuLayerCache& cache, Choice& choice) const {
  kernels_.index_scores({.queries = choice.index_query.data(),
                         .head_weights = choice.head_weights.data(),
                         .head_groups = static_cast<int>(choice.head_weights.size() / 16),
                         .index_dim = config_.index_dim,
                         .keys = cache.index_keys.data(),
                         .pages = token.pages + first / kPageTokens,
                         .page_tokens = kPageTokens,
                         .count = static_cast<int>(last - first),
                         .out = choice.scores.data() + first});
}

/// From scores to positions and cache rows.
void CpuAttention::choose(const CpuToken& token, Choice& choice) const {
  if (chooses(token)) {
    select_top(choice.scores, config_.index_topk, choice.keys, choice.positions);
  } else {
    choice.positions.resize(static_cast<std::size_t>(token.position + 1));
    for (std::size_t i = 0; i < choice.positions.size(); ++i) choice.positions[i] = static_cast<std::int32_t>(i);
  }
  choice.rows.resize(choice.positions.size());
  for (std::size_t i = 0; i < choice.rows.size(); ++i) choice.rows[i] = token.pages[choice.positions[i] / kPageTokens] * kPageTokens + choice.positions[i] % kPageTokens;
}

void CpuAttention::attend(const CpuToken& token, std::size_t index, std::size_t first_head, std::size_t last_head, const CpuLayerCache& cache, const Choice& choice, std::vector<float>& weights) {
  const auto heads = static_cast<std::size_t>(config_.heads), qk = static_cast<std::size_t>(config_.qk_dim()), nope = static_cast<std::size_t>(config_.nope_dim);
  const auto rank = static_cast<std::size_t>(config_.kv_rank), cache_dim = static_cast<std::size_t>(config_.cache_dim());
  float* absorbed = absorbed_.data() + index * heads * cache_dim;
  float* attended = attended_.data() + index * heads * rank;
  for (std::size_t h = first_head; h < last_head; ++h) {
    const float* query = query_.data() + index * query_columns_ + h * qk;
    std::copy_n(query + nope, config_.rope_dim, absorbed + h * cache_dim + rank);
    rope_.rotate(absorbed + h * cache_dim + rank, token.position, RopeLayout::Interleaved);
  }
  weights.resize((last_head - first_head) * choice.rows.size());
  kernels_.attend({.queries = absorbed + first_head * cache_dim,
                   .cache = cache.latents.data(),
                   .rows = choice.rows.data(),
                   .chosen = static_cast<int>(choice.rows.size()),
                   .heads = static_cast<int>(last_head - first_head),
                   .latent_dim = config_.kv_rank,
                   .cache_dim = config_.cache_dim(),
                   .scale = static_cast<float>(config_.softmax_scale()),
                   .weights = weights.data(),
                   .out = attended + first_head * rank});
}

void CpuAttention::key_up(const CpuLayer& layer, std::size_t head, std::size_t first, int count) {
  const auto heads = static_cast<std::ptrdiff_t>(config_.heads), dim = static_cast<std::ptrdiff_t>(config_.cache_dim()), h = static_cast<std::ptrdiff_t>(head), t = static_cast<std::ptrdiff_t>(first);
  const auto columns = static_cast<std::ptrdiff_t>(query_columns_);
  kernels_.matmul(layer.key_up[head].product(query_.data() + t * columns + h * config_.qk_dim(), columns, count, absorbed_.data() + (t * heads + h) * dim, heads * dim));
}

void CpuAttention::value_up(const CpuLayer& layer, std::size_t head, std::size_t first, int count) {
  const auto heads = static_cast<std::ptrdiff_t>(config_.heads), rank = static_cast<std::ptrdiff_t>(config_.kv_rank), h = static_cast<std::ptrdiff_t>(head), t = static_cast<std::ptrdiff_t>(first);
  kernels_.matmul(layer.value_up[head].product(attended_.data() + (t * heads + h) * rank, heads * rank, count, mixed_.data() + (t * heads + h) * config_.v_dim, heads * config_.v_dim));
}

void CpuAttention::report(const Choice& choice, std::size_t index, std::int32_t* chosen) const {
  const auto topk = static_cast<std::size_t>(config_.index_topk);
  if (chosen != nullptr) std::copy_n(choice.positions.begin(), std::min(choice.positions.size(), topk), chosen + index * topk);
}

/// Enough tokens for all threads: one at a time each.
void CpuAttention::run_tokens(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, std::int32_t* chosen) {
  const auto heads = static_cast<std::size_t>(config_.heads);
  const int count = static_cast<int>(tokens.size());
  pool_.run(heads, [&](std::size_t h, int) { key_up(layer, h, 0, count); });
  pool_.run(tokens.size(), [&](std::size_t t, int thread) {
    Choice& choice = choices_[static_cast<std::size_t>(thread)];
    if (chooses(tokens[t])) {
      prepare_scores(tokens[t], t, choice);
      score(tokens[t], 0, tokens[t].position + 1, cache, choice);
    }
    choose(tokens[t], choice);
    report(choice, t, chosen);
    attend(tokens[t], t, 0, heads, cache, choice, weights_[static_cast<std::size_t>(thread)]);
  });
  pool_.run(heads, [&](std::size_t h, int) { value_up(layer, h, 0, count); });
}

/// Fewer tokens than threads: their positions are shared out for the scores, their heads for the rest.
void CpuAttention::run_heads(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, std::int32_t* chosen) {
  const auto heads = static_cast<std::size_t>(config_.heads);
  const std::size_t parts = std::min(heads, static_cast<std::size_t>(pool_.threads()));
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    Choice& choice = choices_[t];
    if (chooses(tokens[t])) {
      prepare_scores(tokens[t], t, choice);
      const std::int64_t end = tokens[t].position + 1;
      pool_.run(static_cast<std::size_t>((end + kScorePositions - 1) / kScorePositions), [&](std::size_t part, int) {
        const auto first = static_cast<std::int64_t>(part) * kScorePositions;
        score(tokens[t], first, std::min(end, first + kScorePositions), cache, choice);
      });
    }
    choose(tokens[t], choice);
    report(choice, t, chosen);
  }
  pool_.run(tokens.size() * parts, [&](std::size_t item, int thread) {
    const std::size_t t = item / parts, first = heads * (item % parts) / parts, last = heads * (item % parts + 1) / parts;
    for (std::size_t h = first; h < last; ++h) key_up(layer, h, t, 1);
    attend(tokens[t], t, first, last, cache, choices_[t], weights_[static_cast<std::size_t>(thread)]);
    for (std::size_t h = first; h < last; ++h) value_up(layer, h, t, 1);
  });
}

/// The queries in latent space are those that attention has just used.
void CpuAttention::measure_recall(const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, const std::int32_t* chosen, QueryRecall* shares) {
  const auto heads = static_cast<std::size_t>(config_.heads), topk = static_cast<std::size_t>(config_.index_topk);
  pool_.run(tokens.size(), [&](std::size_t t, int) {
    if (!chooses(tokens[t])) return;
    const auto positions = static_cast<std::size_t>(tokens[t].position + 1);
    std::vector<std::int32_t> rows(positions);
    for (std::size_t s = 0; s < positions; ++s) rows[s] = tokens[t].pages[s / kPageTokens] * kPageTokens + static_cast<std::int32_t>(s % kPageTokens);
    std::vector<float> weights(heads * positions), mixed(heads * static_cast<std::size_t>(config_.kv_rank));
    kernels_.attend({.queries = absorbed_.data() + t * heads * static_cast<std::size_t>(config_.cache_dim()),
                     .cache = cache.latents.data(),
                     .rows = rows.data(),
                     .chosen = static_cast<int>(positions),
                     .heads = config_.heads,
                     .latent_dim = config_.kv_rank,
                     .cache_dim = config_.cache_dim(),
                     .scale = static_cast<float>(config_.softmax_scale()),
                     .weights = weights.data(),
                     .out = mixed.data()});
    std::vector<double> sums(positions, 0.0);
    for (std::size_t h = 0; h < heads; ++h) {
      const float* head = weights.data() + h * positions;  // not divided by their sum
      double all = 0;
      for (std::size_t s = 0; s < positions; ++s) all += head[s];
      for (std::size_t s = 0; s < positions; ++s) sums[s] += head[s] / all;
    }
    // Both sets are summed over the very values that the best one is selected by, in order of position: no rounding puts it below the other.
    const std::vector<float> paid(sums.begin(), sums.end());
    std::vector<std::uint64_t> keys;
    std::vector<std::int32_t> best;
    select_top(paid, config_.index_topk, keys, best);
    const auto share = [&](const std::int32_t* set) {
      double inside = 0;
      for (std::size_t i = 0; i < topk; ++i) inside += paid[static_cast<std::size_t>(set[i])];
      return static_cast<float>(inside / static_cast<double>(heads));
    };
    shares[t] = {.chosen = share(chosen + t * topk), .attainable = share(best.data())};
  });
}

void CpuAttention::run(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x, CpuLayerCache& cache, float* y, std::vector<std::int32_t>* chosen, std::vector<QueryRecall>* recall) {
  const auto heads = static_cast<std::size_t>(config_.heads), count = tokens.size();
  const auto mixed_width = heads * static_cast<std::size_t>(config_.v_dim);
  project(layer, tokens, x);
  write_cache(layer, tokens, cache);
  absorbed_.resize(count * heads * static_cast<std::size_t>(config_.cache_dim()));
  attended_.resize(count * heads * static_cast<std::size_t>(config_.kv_rank));
  mixed_.resize(count * mixed_width);
  std::vector<std::int32_t> own;
  if (recall != nullptr && chosen == nullptr) chosen = &own;
  std::int32_t* into = nullptr;
  if (chosen != nullptr) {
    const std::size_t at = chosen->size();
    chosen->resize(at + count * static_cast<std::size_t>(config_.index_topk), -1);
    into = chosen->data() + at;
  }
  if (count < static_cast<std::size_t>(pool_.threads())) {
    run_heads(layer, tokens, cache, into);
  } else {
    run_tokens(layer, tokens, cache, into);
  }
  if (recall != nullptr) {
    recall->resize(recall->size() + count);
    measure_recall(tokens, cache, into, recall->data() + recall->size() - count);
  }
  products_.multiply(layer.output, {mixed_.data(), static_cast<std::ptrdiff_t>(mixed_width), static_cast<int>(count)}, {y, config_.dim});
}

}  // namespace gauntlet
