#pragma once

// The positions that the lightning indexer chooses for many tokens, as of a prompt: scores, then the k best, a run of rows at a time, so that the scores of
// all rows are never in memory at once. Which rows are scored together does not show in the result.

#include "inference/cuda/index_scores.h"
#include "inference/cuda/top_positions.h"

namespace gauntlet::kernels {

struct SelectPositionsArgs {
  IndexScoresArgs scores;            ///< of all rows; its `scores` is memory for scratch, its skip_up_to is not looked at
  std::int64_t scratch_floats = 0;   ///< that `scores` has room for: a row of score_stride at least
  int k = 0;
  std::int32_t* chosen = nullptr;    ///< [rows, k]: as of TopPositionsArgs, from positions up to each token's own
};

/// Rows that are scored at a time. With 1,024 or more little time is lost between the kernels; with 64 about a fifth.
int select_positions_run(const SelectPositionsArgs& args);

void select_positions(const SelectPositionsArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
