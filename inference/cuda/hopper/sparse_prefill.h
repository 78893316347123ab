#pragma once

// sparse_attention() for Hopper where the cache is bf16 and its rows have V3.2's sizes (latent 512, rotary key 64): the same inputs, workspace and
// results, at the tensor cores' speed. For batches whose tokens keep the device busy by themselves, as in prefill.

#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {

/// Whether sparse_prefill() computes this. What pointers point to must begin at 16 bytes, which it does not ask.
bool sparse_prefill_takes(const SparseAttentionArgs& args);

/// As sparse_attention(), but where there are several parts it stops at `part_out` and `part_stats`: they are still to be joined. Parts that a
/// token's list does not reach have statistics (-inf, 0) alone.
void sparse_prefill(const SparseAttentionArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
