#include "inference/reference_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "inference/float_types.h"
#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr double kLatentNormEps = 1e-6;

std::vector<float> rms_norm(std::span<const float> x, const std::vector<float>& weight, double eps) {
  float sum = 0;
  for (const float v : x) sum += v * v;
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(x.size()) + static_cast<float>(eps));
  std::vector<float> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = weight[i] * (x[i] * scale);
  return out;
}

void layer_norm(std::vector<float>& x, const std::vector<float>& weight, const std::vector<float>& bias) {
  float mean = 0;
  for (const float v : x) mean += v;
  mean /= static_cast<float>(x.size());
  float variance = 0;
  for (const float v : x) variance += (v - mean) * (v - mean);
  variance /= static_cast<float>(x.size());
  const float scale = 1.0f / std::sqrt(variance + static_cast<float>(kLatentNormEps));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

/// Through e4m3 and back, in blocks of 128 with power-of-two scales.
void round_through_fp8(std::span<float> x) {
  for (std::size_t start = 0; start < x.size(); start += kFp8Block) {
    const auto block = x.subspan(start, std::min<std::size_t>(kFp8Block, x.size() - start));
    float amax = 0;
    for (const float v : block) amax = std::max(amax, std::fabs(v));
    const float scale = fp8_block_scale(amax);
    for (float& v : block) v = to_float(to_fp8(v / scale)) * scale;
  }
}

/// Walsh-Hadamard transform, orthonormal.
void hadamard(std::span<float> x) {
  for (std::size_t width = 1; width < x.size(); width *= 2) {
    for (std::size_t i = 0; i < x.size(); i += 2 * width) {
      for (std::size_t j = i; j < i + width; ++j) {
        const float a = x[j], b = x[j + width];
        x[j] = a + b;
        x[j + width] = a - b;
      }
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(x.size()));
  for (float& v : x) v *= scale;
}

float silu(float v) { return v / (1.0f + std::exp(-v)); }

}  // namespace

struct ReferenceModel::Linear {
  std::vector<float> weight;
  std::size_t rows = 0, cols = 0;
  bool quantise_input = false;

  Linear(const Matrix& matrix, const Fidelity& fidelity)
      : weight(to_floats(matrix)), rows(static_cast<std::size_t>(matrix.rows)), cols(static_cast<std::size_t>(matrix.cols)), quantise_input(fidelity.fp8_linears && matrix.dtype == DType::Fp8E4M3) {}

  std::vector<float> operator()(std::span<const float> input) const {
    std::vector<float> x(input.begin(), input.end());
    if (quantise_input) round_through_fp8(x);
    std::vector<float> y(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (std::size_t c = 0; c < cols; ++c) sum += weight[r * cols + c] * x[c];
      y[r] = sum;
    }
    return y;
  }
};

struct ReferenceModel::Mlp {
  Linear gate, up, down;

  Mlp(const MlpWeights& w, const Fidelity& f) : gate(w.gate, f), up(w.up, f), down(w.down, f) {}

  std::vector<float> operator()(const std::vector<float>& x) const {
    std::vector<float> a = gate(x);
    const std::vector<float> b = up(x);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = silu(a[i]) * b[i];
    return down(a);
  }
};

struct ReferenceModel::Moe {
  Linear gate;
  std::vector<float> correction;
  std::vector<Mlp> experts;
  std::vector<Mlp> shared;  ///< none or one

  Moe(const MoeWeights& w, const Fidelity& f) : gate(w.gate, f), correction(w.correction) {
    for (const auto& expert : w.experts) experts.emplace_back(expert, f);
    if (w.shared) shared.emplace_back(*w.shared, f);
  }

  std::vector<float> operator()(const std::vector<float>& x, const ModelConfig& c, int layer, std::int64_t position, const ForwardTrace& trace) const {
    std::vector<float> scores = gate(x);
    for (float& s : scores) s = 1.0f / (1.0f + std::exp(-s));
    std::vector<float> ranked(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i) ranked[i] = scores[i] + correction[i];
    const std::size_t group_size = scores.size() / static_cast<std::size_t>(c.groups);
    if (c.groups > 1) {  // Only experts of the best groups stay; a group counts as much as its two best.
      std::vector<float> totals;
      for (std::size_t g = 0; g < scores.size(); g += group_size) {
        std::vector<float> group(ranked.begin() + static_cast<std::ptrdiff_t>(g), ranked.begin() + static_cast<std::ptrdiff_t>(g + group_size));
        std::sort(group.begin(), group.end(), std::greater<>());
        totals.push_back(group[0] + group[1]);
      }
      const auto kept = select_top_reference(totals, c.groups_kept);
      for (std::size_t i = 0; i < ranked.size(); ++i) {
        if (!std::binary_search(kept.begin(), kept.end(), static_cast<std::int32_t>(i / group_size))) ranked[i] = -std::numeric_limits<float>::infinity();
      }
    }
    auto chosen = select_top_reference(ranked, c.experts_per_token);
    if (trace.routed) trace.routed(layer, position, chosen, ranked);
    if (trace.forced_experts) chosen = trace.forced_experts(layer, position);
    float total = 0;
    for (const auto e : chosen) total += scores[static_cast<std::size_t>(e)];
    std::vector<float> out(x.size(), 0.0f);
    for (const auto e : chosen) {
      const float weight = scores[static_cast<std::size_t>(e)] / (c.normalise_gates ? total + 1e-20f : 1.0f) * static_cast<float>(c.routed_scale);
      const auto y = experts[static_cast<std::size_t>(e)](x);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * y[i];
    }
    for (const auto& expert : shared) {
      const auto y = expert(x);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += y[i];
    }
    return out;
  }
};

struct ReferenceModel::Layer {
  std::vector<float> attention_norm, mlp_norm;
  std::vector<Linear> q_proj, q_a, q_b;  ///< one of q_proj, or q_a and q_b
  std::vector<float> q_norm, kv_norm;
  Linear kv_a, kv_b, o;
  struct Indexer {
    Linear wq_b, wk, weights_proj;
    std::vector<float> k_norm, k_norm_bias;
  };
  std::vector<Indexer> indexer;          ///< none or one
  std::vector<Mlp> dense;                ///< one of dense and moe
  std::vector<Moe> moe;

  Layer(const LayerWeights& w, const Fidelity& f)
      : attention_norm(w.attention_norm), mlp_norm(w.mlp_norm), q_norm(w.attention.q_norm), kv_norm(w.attention.kv_norm), kv_a(w.attention.kv_a, f), kv_b(w.attention.kv_b, f), o(w.attention.o, f) {
    if (w.attention.q_norm.empty()) {
      q_proj.emplace_back(w.attention.q_proj, f);
    } else {
      q_a.emplace_back(w.attention.q_a, f);
      q_b.emplace_back(w.attention.q_b, f);
    }
    if (const auto& i = w.attention.indexer) {
      indexer.push_back({.wq_b = Linear(i->wq_b, f), .wk = Linear(i->wk, f), .weights_proj = Linear(i->weights_proj, f), .k_norm = i->k_norm, .k_norm_bias = i->k_norm_bias});
    }
    if (w.dense) dense.emplace_back(*w.dense, f);
    if (w.moe) moe.emplace_back(*w.moe, f);
  }
};

ReferenceModel::ReferenceModel(const ModelWeights& weights, std::int64_t positions, Fidelity fidelity)
    : config_(weights.config), fidelity_(fidelity), rope_(weights.config, positions), embedding_(to_floats(weights.embedding)), final_norm_(weights.final_norm) {
  const int index_dim = config_.index_dim;
  require(!fidelity.fp8_indexer || (index_dim & (index_dim - 1)) == 0, ErrorKind::Usage, fmt::format("the indexer's Hadamard rotation needs a power of two; index_head_dim is {}", index_dim));
  for (const auto& layer : weights.layers) layers_.emplace_back(layer, fidelity);
  head_.emplace_back(weights.head, fidelity);
}

ReferenceModel::~ReferenceModel() = default;

std::vector<std::int32_t> ReferenceModel::choose(const Layer& layer, int index, const std::vector<float>& normed, const std::vector<float>& query_latent, Sequence& sequence, const ForwardTrace& trace) const {
  const auto dim = static_cast<std::size_t>(config_.index_dim);
  const auto heads = static_cast<std::size_t>(config_.index_heads);
  const auto& indexer = layer.indexer.front();
  auto& keys = sequence.layers[static_cast<std::size_t>(index)].index_keys;

  // Within an indexer head the rotary dims come first, and they rotate in halves.
  const auto finish = [&](std::span<float> vector) {
    rope_.rotate(vector.data(), sequence.length, RopeLayout::HalfSplit);
    if (!fidelity_.fp8_indexer) return;
    hadamard(vector);
    round_through_fp8(vector);
  };
  std::vector<float> key = indexer.wk(normed);
  layer_norm(key, indexer.k_norm, indexer.k_norm_bias);
  finish(key);
  keys.insert(keys.end(), key.begin(), key.end());

  std::vector<float> query = indexer.wq_b(query_latent);
  for (std::size_t h = 0; h < heads; ++h) finish(std::span(query).subspan(h * dim, dim));
  std::vector<float> weights = indexer.weights_proj(normed);
  const float scale = 1.0f / std::sqrt(static_cast<float>(heads)) / std::sqrt(static_cast<float>(dim));
  std::vector<float> scores(static_cast<std::size_t>(sequence.length) + 1, 0.0f);
  for (std::size_t s = 0; s < scores.size(); ++s) {
    for (std::size_t h = 0; h < heads; ++h) {
      float dot = 0;
      for (std::size_t d = 0; d < dim; ++d) dot += query[h * dim + d] * keys[s * dim + d];
      scores[s] += std::max(dot, 0.0f) * (weights[h] * scale);
    }
  }
  auto chosen = select_top_reference(scores, config_.index_topk);
  if (trace.selected) trace.selected(index, sequence.length, chosen, scores);
  if (trace.forced_positions) chosen = trace.forced_positions(index, sequence.length);
  return chosen;
}

void ReferenceModel::attend(const Layer& layer, int index, const std::vector<float>& normed, Sequence& sequence, const ForwardTrace& trace, std::vector<float>& out) const {
  const auto heads = static_cast<std::size_t>(config_.heads);
  const auto nope = static_cast<std::size_t>(config_.nope_dim), rope = static_cast<std::size_t>(config_.rope_dim), v_dim = static_cast<std::size_t>(config_.v_dim);
  const std::size_t qk = nope + rope;
  auto& cache = sequence.layers[static_cast<std::size_t>(index)];

  std::vector<float> latent, query;
  if (layer.q_proj.empty()) {
    latent = rms_norm(layer.q_a.front()(normed), layer.q_norm, kLatentNormEps);
    query = layer.q_b.front()(latent);
  } else {
    query = layer.q_proj.front()(normed);
  }
  for (std::size_t h = 0; h < heads; ++h) rope_.rotate(query.data() + h * qk + nope, sequence.length, RopeLayout::Interleaved);

  std::vector<float> kv = layer.kv_a(normed);
  rope_.rotate(kv.data() + config_.kv_rank, sequence.length, RopeLayout::Interleaved);
  std::vector<float> content = rms_norm(std::span(kv).first(static_cast<std::size_t>(config_.kv_rank)), layer.kv_norm, kLatentNormEps);
  if (fidelity_.fp8_latent) round_through_fp8(content);
  const std::vector<float> expanded = layer.kv_b(content);
  for (std::size_t h = 0; h < heads; ++h) {
    const float* head = expanded.data() + h * (nope + v_dim);
    cache.keys.insert(cache.keys.end(), head, head + nope);
    cache.keys.insert(cache.keys.end(), kv.begin() + config_.kv_rank, kv.end());
    cache.values.insert(cache.values.end(), head + nope, head + nope + v_dim);
  }

  std::vector<std::int32_t> chosen;
  if (!layer.indexer.empty()) chosen = choose(layer, index, normed, latent, sequence, trace);
  if (layer.indexer.empty() || fidelity_.dense_attention) {
    chosen.resize(static_cast<std::size_t>(sequence.length) + 1);
    for (std::size_t s = 0; s < chosen.size(); ++s) chosen[s] = static_cast<std::int32_t>(s);
  }

  const auto scale = static_cast<float>(config_.softmax_scale());
  std::vector<float> mixed(heads * v_dim, 0.0f);
  std::vector<float> weight(chosen.size());
  for (std::size_t h = 0; h < heads; ++h) {
    float most = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const float* key = cache.keys.data() + (static_cast<std::size_t>(chosen[i]) * heads + h) * qk;
      float dot = 0;
      for (std::size_t d = 0; d < qk; ++d) dot += query[h * qk + d] * key[d];
      weight[i] = dot * scale;
      most = std::max(most, weight[i]);
    }
    float total = 0;
    for (float& w : weight) total += w = std::exp(w - most);
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      const float* value = cache.values.data() + (static_cast<std::size_t>(chosen[i]) * heads + h) * v_dim;
      for (std::size_t d = 0; d < v_dim; ++d) mixed[h * v_dim + d] += weight[i] / total * value[d];
    }
  }
  out = layer.o(mixed);
  if (!trace.dense_attention) return;
  std::vector<float> mean(static_cast<std::size_t>(sequence.length) + 1, 0.0f), paid(mean.size());
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t s = 0; s < paid.size(); ++s) {
      paid[s] = 0;
      for (std::size_t d = 0; d < qk; ++d) paid[s] += query[h * qk + d] * cache.keys[(s * heads + h) * qk + d];
    }
    const float most = *std::max_element(paid.begin(), paid.end()) * scale;
    float total = 0;
    for (float& p : paid) total += p = std::exp(p * scale - most);
    for (std::size_t s = 0; s < paid.size(); ++s) mean[s] += paid[s] / total / static_cast<float>(heads);
  }
  trace.dense_attention(index, sequence.length, mean);
}

std::vector<float> ReferenceModel::forward(Sequence& sequence, std::span<const std::int32_t> ids, const ForwardTrace& trace) const {
  const auto dim = static_cast<std::size_t>(config_.dim);
  sequence.layers.resize(layers_.size());
  std::vector<float> logits;
  for (const auto id : ids) {
    require(id >= 0 && id < config_.vocab, ErrorKind::Usage, fmt::format("found the token id {}; accepted: 0 to {}", id, config_.vocab - 1));
    require(sequence.length < rope_.positions(), ErrorKind::Usage, fmt::format("the sequence grew past the {} positions that were prepared", rope_.positions()));
    std::vector<float> x(embedding_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(id) * dim), embedding_.begin() + static_cast<std::ptrdiff_t>((static_cast<std::size_t>(id) + 1) * dim));
    std::vector<float> added;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      attend(layer, static_cast<int>(i), rms_norm(x, layer.attention_norm, config_.norm_eps), sequence, trace, added);
      for (std::size_t d = 0; d < dim; ++d) x[d] += added[d];
      const auto normed = rms_norm(x, layer.mlp_norm, config_.norm_eps);
      added = layer.dense.empty() ? layer.moe.front()(normed, config_, static_cast<int>(i), sequence.length, trace) : layer.dense.front()(normed);
      for (std::size_t d = 0; d < dim; ++d) x[d] += added[d];
      if (trace.hidden) trace.hidden(static_cast<int>(i), sequence.length, x);
    }
    const auto row = head_.front()(rms_norm(x, final_norm_, config_.norm_eps));
    logits.insert(logits.end(), row.begin(), row.end());
    ++sequence.length;
  }
  return logits;
}

}  // namespace gauntlet
