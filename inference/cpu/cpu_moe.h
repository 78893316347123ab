#pragma once

// The feed-forward half of a layer on the CPU.

#include <vector>

#include "inference/cpu/cpu_weights.h"
#include "inference/cpu/products.h"

namespace gauntlet {

/// Buffers that are reused between layers and calls.
struct CpuMoeScratch {
  std::vector<float> gate_up, scores, gathered, out;
  std::vector<PartProduct> up, down;
  std::vector<std::int32_t> chosen;       ///< [tokens, experts_per_token], ascending
  std::vector<float> weights;             ///< [tokens, experts_per_token]
  std::int64_t touched = 0;               ///< experts that were read, added up over layers
  std::vector<int> first, slot;           ///< rows of each expert; place of (token, choice) among the gathered rows
};

/// y [tokens, dim] = MLP(x [tokens, dim])
void run_mlp(Products& products, const CpuMlp& mlp, const float* x, int tokens, int dim, float* y, CpuMoeScratch& scratch);

/// y = Σ weight · expert(x) in ascending order of experts, plus the shared expert: the same order as the reference, whatever the batch.
void run_moe(Products& products, const CpuMoe& moe, const ModelConfig& config, const float* x, int tokens, float* y, CpuMoeScratch& scratch);

/// The experts of one token, ascending, and their weights. `scores` [experts] are logits on entry and probabilities on return.
void route(const ModelConfig& config, const std::vector<float>& correction, float* scores, std::int32_t* chosen, float* weights);

}  // namespace gauntlet
