#pragma once

// The model in plain float32 loops, one token at a time, attention in its multi-head form: the oracle of every backend. Formulas follow
// DeepSeek-V3.2's published inference code (December 2025) and, where switches below are off, transformers' DeepseekV32ForCausalLM.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "inference/rope.h"
#include "inference/weights.h"

namespace gauntlet {

/// Rounding steps of DeepSeek's FP8 deployment. All off: the exact function of the weights.
struct Fidelity {
  bool fp8_linears = false;   ///< activations of FP8 linears in e4m3, blocks of 128 columns, power-of-two scales
  bool fp8_latent = false;    ///< the cached latent goes through e4m3 in blocks of 128
  bool fp8_indexer = false;   ///< indexer queries and keys are Hadamard-rotated and go through e4m3 (index_dim must be a power of two)
  bool dense_attention = false;  ///< every position is attended to; what sparse attention is compared with
};

/// What a forward pass shows of itself to tests and `gauntlet model logits`.
struct ForwardTrace {
  /// (layer, position, chosen positions ascending, scores of all positions)
  std::function<void(int, std::int64_t, std::span<const std::int32_t>, std::span<const float>)> selected;
  /// (layer, position, residual stream [dim] after the layer)
  std::function<void(int, std::int64_t, std::span<const float>)> hidden;
  /// (layer, position, experts chosen ascending, corrected scores of all experts, -inf outside of the kept groups)
  std::function<void(int, std::int64_t, std::span<const std::int32_t>, std::span<const float>)> routed;

  /// (layer, position, what dense attention would pay to each position [position + 1], mean over heads)
  std::function<void(int, std::int64_t, std::span<const float>)> dense_attention;

  /// Decisions made elsewhere, to be followed instead of the own ones, which `selected` and `routed` still show: a choice is a step function, and
  /// two implementations that round differently can only be compared where they choose alike. (layer, position); may be empty functions.
  std::function<std::vector<std::int32_t>(int, std::int64_t)> forced_positions;
  std::function<std::vector<std::int32_t>(int, std::int64_t)> forced_experts;
};

class ReferenceModel {
 public:
  /// Copies all weights as float32. `positions` bounds the length of sequences.
  ReferenceModel(const ModelWeights& weights, std::int64_t positions, Fidelity fidelity = {});
  ~ReferenceModel();

  /// One sequence's cache.
  struct Sequence {
    std::int64_t length = 0;
    struct Layer {
      std::vector<float> keys;        ///< [length, heads, qk_dim]
      std::vector<float> values;      ///< [length, heads, v_dim]
      std::vector<float> index_keys;  ///< [length, index_dim]
    };
    std::vector<Layer> layers;
  };

  /// Appends `ids` and returns the logits after each of them, [ids, vocab]. Throws Error(Usage) for an id outside the vocabulary or a
  /// sequence that grows too long.
  std::vector<float> forward(Sequence& sequence, std::span<const std::int32_t> ids, const ForwardTrace& trace = {}) const;

  const ModelConfig& config() const { return config_; }

 private:
  struct Linear;
  struct Mlp;
  struct Moe;
  struct Layer;

  void attend(const Layer& layer, int index, const std::vector<float>& normed, Sequence& sequence, const ForwardTrace& trace, std::vector<float>& out) const;
  std::vector<std::int32_t> choose(const Layer& layer, int index, const std::vector<float>& normed, const std::vector<float>& query_latent, Sequence& sequence, const ForwardTrace& trace) const;

  ModelConfig config_;
  Fidelity fidelity_;
  RopeTable rope_;
  std::vector<float> embedding_, final_norm_;
  std::vector<Layer> layers_;
  std::vector<Linear> head_;  ///< one
};

}  // namespace gauntlet
