#pragma once

// The lightning indexer's scores on Hopper, from an FP8 cache and FP8 queries:
// score(t, s) = scale of key s · Σ_heads weights_fp8(t, h) · relu(queries_fp8(t, h) · key s), with products of e4m3 on the tensor cores and sums over heads in float32.

#include "inference/cuda/index_scores.h"

namespace gauntlet::kernels {

/// Whether index_scores_fp8() computes these: an FP8 cache with keys of 128, 32 or 64 heads, FP8 queries and their weights, all on 16 bytes. It needs compute capability 9.0,
/// which this does not ask for.
bool index_scores_fp8_takes(const IndexScoresArgs& args);

/// As index_scores(), with finite weights: any mixture of sequences, positions beyond a token's own left as they are. A score's bits depend on its own token and key only, not on what else is in
/// the call.
void index_scores_fp8(const IndexScoresArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
