#include "inference/cpu/cpu_moe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr float kGateEpsilon = 1e-20f;  // as transformers; without effect unless all gates are 0

template <class T>
T* room(std::vector<T>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

/// Below this many elements a fork costs more than it saves.
constexpr std::size_t kInlineElements = 8192;

void for_rows(ThreadPool& pool, std::size_t rows, std::size_t width, const std::function<void(std::size_t)>& work) {
  if (rows * width <= kInlineElements) {
    for (std::size_t r = 0; r < rows; ++r) work(r);
  } else {
    pool.run(rows, [&](std::size_t r, int) { work(r); });
  }
}

void silu_rows(const Products& products, float* gate_up, std::size_t rows, int width) {
  for_rows(products.pool(), rows, static_cast<std::size_t>(width), [&](std::size_t r) {
    float* row = gate_up + r * 2 * static_cast<std::size_t>(width);
    products.kernels().silu_multiply(row, row + width, width);
  });
}

}  // namespace

void run_mlp(Products& products, const CpuMlp& mlp, const float* x, int tokens, int dim, float* y, CpuMoeScratch& scratch) {
  float* gate_up = room(scratch.gate_up, static_cast<std::size_t>(tokens) * 2 * static_cast<std::size_t>(mlp.width));
  products.multiply(mlp.gate_up, {x, dim, tokens}, {gate_up, 2 * mlp.width});
  silu_rows(products, gate_up, static_cast<std::size_t>(tokens), mlp.width);
  products.multiply(mlp.down, {gate_up, 2 * mlp.width, tokens}, {y, dim});
}

void route(const ModelConfig& config, const std::vector<float>& correction, float* scores, std::int32_t* chosen, float* weights) {
  const auto experts = static_cast<std::size_t>(config.experts), group_size = experts / static_cast<std::size_t>(config.groups);
  std::vector<float> ranked(experts);
  for (std::size_t i = 0; i < experts; ++i) {
    scores[i] = 1.0f / (1.0f + std::exp(-scores[i]));
    ranked[i] = scores[i] + correction[i];
  }
  if (config.groups > 1) {
    std::vector<float> totals;
    for (std::size_t g = 0; g < experts; g += group_size) {
      float first = -std::numeric_limits<float>::infinity(), second = first;
      for (std::size_t i = g; i < g + group_size; ++i) {
        if (ranked[i] > first) {
          second = std::exchange(first, ranked[i]);
        } else {
          second = std::max(second, ranked[i]);
        }
      }
      totals.push_back(first + second);
    }
    const auto kept = select_top_reference(totals, config.groups_kept);
    for (std::size_t i = 0; i < experts; ++i) {
      if (!std::binary_search(kept.begin(), kept.end(), static_cast<std::int32_t>(i / group_size))) ranked[i] = -std::numeric_limits<float>::infinity();
    }
  }
  const auto best = select_top_reference(ranked, config.experts_per_token);
  float total = 0;
  for (const auto e : best) total += scores[static_cast<std::size_t>(e)];
  for (std::size_t i = 0; i < best.size(); ++i) {
    chosen[i] = best[i];
    weights[i] = scores[static_cast<std::size_t>(best[i])] / (config.normalise_gates ? total + kGateEpsilon : 1.0f) * static_cast<float>(config.routed_scale);
  }
}

void run_moe(Products& products, const CpuMoe& moe, const ModelConfig& config, const float* x, int tokens, float* y, CpuMoeScratch& scratch) {
  const auto dim = static_cast<std::size_t>(config.dim), experts = static_cast<std::size_t>(config.experts);
  const auto per_token = static_cast<std::size_t>(config.experts_per_token), all = static_cast<std::size_t>(tokens), routed = all * per_token;
  float* scores = room(scratch.scores, all * experts);
  std::int32_t* chosen = room(scratch.chosen, routed);
  float* weights = room(scratch.weights, routed);
  products.multiply(moe.gate, {x, config.dim, tokens}, {scores, config.experts});
  for_rows(products.pool(), all, 32 * experts, [&](std::size_t t) { route(config, moe.correction, scores + t * experts, chosen + t * per_token, weights + t * per_token); });

  // Rows are gathered by expert, so that each expert's weights are read once.
  scratch.first.assign(experts + 1, 0);
  for (std::size_t i = 0; i < routed; ++i) ++scratch.first[static_cast<std::size_t>(chosen[i]) + 1];
  for (std::size_t e = 0; e < experts; ++e) scratch.first[e + 1] += scratch.first[e];
  std::vector<int> next(scratch.first.begin(), scratch.first.end() - 1);
  scratch.slot.resize(routed);
  for (std::size_t i = 0; i < routed; ++i) scratch.slot[i] = next[static_cast<std::size_t>(chosen[i])]++;

  // The shared expert reads the same rows in their own order; its products run beside the routed ones', and its activations lie behind theirs.
  const int width = config.expert_width, shared_width = moe.shared ? moe.shared->width : 0;
  const std::size_t shared_rows = moe.shared ? all : 0, rows = routed + shared_rows;
  float* gathered = room(scratch.gathered, rows * dim);
  const std::size_t wide = 2 * static_cast<std::size_t>(std::max(width, shared_width));
  float* gate_up = room(scratch.gate_up, rows * wide);
  float* out = room(scratch.out, rows * dim);
  for (std::size_t i = 0; i < routed; ++i) std::copy_n(x + i / per_token * dim, dim, gathered + static_cast<std::size_t>(scratch.slot[i]) * dim);
  std::copy_n(x, shared_rows * dim, gathered + routed * dim);

  scratch.up.clear();
  scratch.down.clear();
  const auto add = [&](const CpuMlp& mlp, int first, int count) {
    const auto at = static_cast<std::size_t>(first);
    scratch.up.push_back({.matrix = &mlp.gate_up, .first = first, .count = count, .out = {gate_up + at * wide, static_cast<std::ptrdiff_t>(wide)}});
    scratch.down.push_back({.matrix = &mlp.down, .first = first, .count = count, .out = {out + at * dim, config.dim}});
  };
  for (std::size_t e = 0; e < experts; ++e) {
    if (scratch.first[e + 1] == scratch.first[e]) continue;
    ++scratch.touched;
    add(moe.experts[e], scratch.first[e], scratch.first[e + 1] - scratch.first[e]);
  }
  if (moe.shared) add(*moe.shared, static_cast<int>(routed), tokens);
  products.multiply(scratch.up, {gathered, config.dim, static_cast<int>(rows)});
  for_rows(products.pool(), rows, wide / 2, [&](std::size_t r) {
    const int here = r < routed ? width : shared_width;
    products.kernels().silu_multiply(gate_up + r * wide, gate_up + r * wide + here, here);
  });
  if (shared_width == width || !moe.shared) {
    products.multiply(scratch.down, {gate_up, static_cast<std::ptrdiff_t>(wide), static_cast<int>(rows)});
  } else {
    // Several shared experts are one of another width, so their input is rounded apart.
    const PartProduct shared = scratch.down.back();
    scratch.down.pop_back();
    products.multiply(scratch.down, {gate_up, static_cast<std::ptrdiff_t>(wide), static_cast<int>(routed)});
    products.multiply(*shared.matrix, {gate_up + routed * wide, static_cast<std::ptrdiff_t>(wide), tokens}, shared.out);
  }

  for_rows(products.pool(), all, (per_token + 1) * dim, [&](std::size_t t) {
    float* row = y + t * dim;
    std::fill_n(row, dim, 0.0f);
    for (std::size_t j = 0; j < per_token; ++j) {
      const float* part = out + static_cast<std::size_t>(scratch.slot[t * per_token + j]) * dim;
      const float weight = weights[t * per_token + j];
      for (std::size_t d = 0; d < dim; ++d) row[d] += weight * part[d];
    }
    if (!moe.shared) return;
    const float* part = out + (routed + t) * dim;
    for (std::size_t d = 0; d < dim; ++d) row[d] += part[d];
  });
}

}  // namespace gauntlet
