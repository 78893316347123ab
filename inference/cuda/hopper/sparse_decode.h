#pragma once

// Sparse attention (inference/cuda/sparse_attention.h says what it computes) over the FP8 cache of V3.2's sizes, for Hopper: latents of 512, rotary keys
// of 64, heads a multiple of 64, one term. A latent is its e4m3 values times the scale of its 128, the scale rounded to bf16, the product rounded to bf16
// (exact for scales that are powers of two, as our caches have). e4m3's own NaN reads as 480: where a value is NaN, our caches have a scale that is.

#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {

/// Whether sparse_decode() can compute this. What pointers point to must begin at 16 bytes, which it does not ask.
bool sparse_decode_takes(const SparseAttentionArgs& args);
/// What sparse_attention() does, on a device of compute capability 9.0.
void sparse_decode(const SparseAttentionArgs& args, CudaStream stream);
/// The part length with which a batch of so many rows, with lists of at most `longest`, is fastest.
int decode_part(int rows, int heads, int longest);

/// Joins the parts of args.part_out and args.part_stats in order, into args.out and args.lse. For latents that are a multiple of 128, at most 1,024.
void join_attention_parts(const SparseAttentionArgs& args, CudaStream stream);

}  // namespace gauntlet::kernels
