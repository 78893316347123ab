#pragma once

// Rotary position embedding: one table of angles, two layouts. MLA rotates neighbouring pairs (2j, 2j+1); the indexer of V3.2 rotates
// (j, j + n/2). Using the wrong one still gives fluent text, so both are named at every use.

#include <cstdint>
#include <vector>

#include "inference/model_config.h"

namespace gauntlet {

enum class RopeLayout { Interleaved, HalfSplit };

class RopeTable {
 public:
  /// cos and sin for positions [0, positions).
  RopeTable(const ModelConfig& config, std::int64_t positions);

  std::int64_t positions() const { return positions_; }
  /// [rope_dim / 2]
  const float* cosines(std::int64_t position) const { return cos_.data() + position * half_; }
  const float* sines(std::int64_t position) const { return sin_.data() + position * half_; }

  /// Rotates `values` [rope_dim] in place.
  void rotate(float* values, std::int64_t position, RopeLayout layout) const;

 private:
  std::int64_t positions_;
  int half_;
  std::vector<float> cos_, sin_;  ///< [positions, rope_dim / 2]
};

/// Angle per position of each pair, [rope_dim / 2]: theta^(-2i/n), with YaRN blended towards 1/factor of it between the two correction
/// dimensions (Peng et al. 2023, equations 23 and 24, as in DeepSeek's reference code).
std::vector<float> rope_frequencies(const ModelConfig& config);

}  // namespace gauntlet
