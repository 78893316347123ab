#pragma once

// Sparse attention for few heads (a tensor-parallel shard has 8 or 16 of a model's 128): sparse_attention() where the fetching of keys is to be the
// cost, not the arithmetic for heads that are not there. For Hopper, keys of 512 + 64, up to 32 heads.
//
// As in sparse_attention(), parts are joined in order, and a row's bits depend on its own list and `part` alone. Up to kFewHeadsParts parts are joined
// in the same launch, without a workspace. More go through part_out and part_stats, in sparse_attention()'s format, but for this: the logit to which a
// part's weights are relative is its largest rounded up to a whole one.

#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {

/// Parts of a row up to which sparse_few_heads() needs no workspace.
inline constexpr int kFewHeadsParts = 16;

/// Whether sparse_few_heads() takes a call. It asks neither which device there is nor whether what pointers point to begins at 16 bytes, as it must.
bool sparse_few_heads_takes(const SparseAttentionArgs& args);

/// The `part` that suits so many rows with lists of up to `longest` on this device; never more than kFewHeadsParts.
int few_heads_part(int rows, int longest);

/// Writes out and lse, whatever the number of parts.
void sparse_few_heads(const SparseAttentionArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
