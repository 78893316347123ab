#pragma once

// The exact choice of the k best positions for each token, in the total order of inference/selection.h: score descending, then position
// ascending; -0 equals +0; NaN last. Deterministic, whatever runs beside it.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

struct TopPositionsArgs {
  int rows = 0;
  int k = 0;
  const std::int32_t* last = nullptr;   ///< [rows]: candidates of row r are positions [0, last[r]]
  const float* scores = nullptr;        ///< [rows, score_stride]; not read where last[r] < k
  std::int64_t score_stride = 0;
  std::int32_t* chosen = nullptr;       ///< [rows, k]: min(k, last[r] + 1) positions, ascending; the rest -1
};

void top_positions(const TopPositionsArgs& args, CudaStream stream);
void top_positions_ref(const TopPositionsArgs& args);

}  // namespace gauntlet::kernels
