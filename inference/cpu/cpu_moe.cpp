#include "inference/cpu/cpu_moe.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "inference/selection.h"

namespace gauntlet {
namespace {

constexpr float kGateEpsilon = 1e-20f;  // as transformers; without effect unless all gates are 0

template <class T>
T* room(std::vector<T>& buffer, std::size_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

void silu_rows(const CpuKernels& kernels, ThreadPool& pool, float* gate_up, int tokens, int width) {
  pool.run(static_cast<std::size_t>(tokens), [&](std::size_t t, int) {
    float* row = gate_up + t * 2 * static_cast<std::size_t>(width);
    kernels.silu_multiply(row, row + width, width);
  });
}

}  // namespace

void run_mlp(const CpuKernels& kernels, ThreadPool& pool, const CpuMlp& mlp, const float* x, int tokens, int dim, float* y, CpuMoeScratch& scratch) {
  float* gate_up = room(scratch.gate_up, static_cast<std::size_t>(tokens) * 2 * static_cast<std::size_t>(mlp.width));
  multiply(kernels, pool, mlp.gate_up, x, dim, tokens, gate_up, 2 * mlp.width);
  silu_rows(kernels, pool, gate_up, tokens, mlp.width);
  multiply(kernels, pool, mlp.down, gate_up, 2 * mlp.width, tokens, y, dim);
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

void run_moe(const CpuKernels& kernels, ThreadPool& pool, const CpuMoe& moe, const ModelConfig& config, const float* x, int tokens, float* y, CpuMoeScratch& scratch) {
  const auto dim = static_cast<std::size_t>(config.dim), experts = static_cast<std::size_t>(config.experts), width = static_cast<std::size_t>(config.expert_width);
  const auto per_token = static_cast<std::size_t>(config.experts_per_token), all = static_cast<std::size_t>(tokens);
  float* scores = room(scratch.scores, all * experts);
  std::int32_t* chosen = room(scratch.chosen, all * per_token);
  float* weights = room(scratch.weights, all * per_token);
  multiply(kernels, pool, moe.gate, x, config.dim, tokens, scores, config.experts);
  pool.run(all, [&](std::size_t t, int) { route(config, moe.correction, scores + t * experts, chosen + t * per_token, weights + t * per_token); });

  // Rows are gathered by expert, so that each expert's weights are read once.
  scratch.first.assign(experts + 1, 0);
  for (std::size_t i = 0; i < all * per_token; ++i) ++scratch.first[static_cast<std::size_t>(chosen[i]) + 1];
  for (std::size_t e = 0; e < experts; ++e) scratch.first[e + 1] += scratch.first[e];
  std::vector<int> next(scratch.first.begin(), scratch.first.end() - 1);
  scratch.slot.resize(all * per_token);
  for (std::size_t i = 0; i < all * per_token; ++i) scratch.slot[i] = next[static_cast<std::size_t>(chosen[i])]++;

  float* gathered = room(scratch.gathered, all * per_token * dim);
  float* gate_up = room(scratch.expert_gate_up, all * per_token * 2 * width);
  float* out = room(scratch.expert_out, all * per_token * dim);
  for (std::size_t i = 0; i < all * per_token; ++i) std::copy_n(x + i / per_token * dim, dim, gathered + static_cast<std::size_t>(scratch.slot[i]) * dim);

  std::vector<MatmulArgs> up, down;
  for (std::size_t e = 0; e < experts; ++e) {
    const auto row = static_cast<std::size_t>(scratch.first[e]);
    const int rows = scratch.first[e + 1] - scratch.first[e];
    if (rows == 0) continue;
    ++scratch.touched;
    up.push_back(moe.experts[e].gate_up.product(gathered + row * dim, config.dim, rows, gate_up + row * 2 * width, 2 * config.expert_width));
    down.push_back(moe.experts[e].down.product(gate_up + row * 2 * width, 2 * config.expert_width, rows, out + row * dim, config.dim));
  }
  multiply_all(kernels, pool, up);
  silu_rows(kernels, pool, gate_up, static_cast<int>(all * per_token), config.expert_width);
  multiply_all(kernels, pool, down);

  if (moe.shared) {
    run_mlp(kernels, pool, *moe.shared, x, tokens, config.dim, y, scratch);
  } else {
    std::fill_n(y, all * dim, 0.0f);
  }
  pool.run(all, [&](std::size_t t, int) {
    float* row = y + t * dim;
    std::vector<float> sum(dim, 0.0f);
    for (std::size_t j = 0; j < per_token; ++j) {
      const float* part = out + static_cast<std::size_t>(scratch.slot[t * per_token + j]) * dim;
      const float weight = weights[t * per_token + j];
      for (std::size_t d = 0; d < dim; ++d) sum[d] += weight * part[d];
    }
    for (std::size_t d = 0; d < dim; ++d) row[d] = sum[d] + row[d];
  });
}

}  // namespace gauntlet
