#pragma once

// The fastest kernel for the sizes at hand on the current device. Hopper's own kernels (hopper/) take DeepSeek-V3.2's sizes; everything else goes to
// the portable ones. Contracts are those of the portable kernels' headers.

#include "inference/cuda/index_scores.h"
#include "inference/cuda/sparse_attention.h"
#include "inference/cuda/top_positions.h"

namespace gauntlet::kernels {

enum class AttentionKernel {
  Portable,  ///< sparse_attention.h
  FewHeads,  ///< hopper/sparse_few_heads.h: up to 32 heads
  Fp8,       ///< hopper/sparse_decode.h: heads by 64, FP8 cache
  Bf16,      ///< hopper/sparse_prefill.h: heads by 64, bf16 cache
};

AttentionKernel attention_kernel(const SparseAttentionArgs& args);
const char* name_of(AttentionKernel kernel);

/// The `part` with which a pass of args.rows tokens is fastest. With another number of rows it may be another, and with it the bits of a row.
int fastest_part(const SparseAttentionArgs& args);

void attend(const SparseAttentionArgs& args, CudaStream stream);

/// Whether score_positions() wants queries in FP8 for these sizes: then `queries` may be null.
bool scores_in_fp8(const CacheLayout& layout, int heads);
void score_positions(const IndexScoresArgs& args, CudaStream stream);

void choose_positions(const TopPositionsArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
