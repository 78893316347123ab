#pragma once

// Sparse attention (inference/cuda/sparse_attention.h says what it computes) over the FP8 cache of V3.2's sizes with FP8 queries, for Hopper: an option for
// passes of many tokens. Queries come from quantize_queries.h, and
//   logit(t, h, s) = scale · query_scale(t, h) · (Σ_b key_scale(s, b) · (q8 · k8)_b + q_rotary · k_rotary),   b: blocks of 128 of the 512 latent columns,
// whose sums of e4m3 products the tensor cores keep to about 14 bits. Values and weights are those of sparse_decode.h: bf16, sums float32; in values, unlike in
// logits, the scales of keys are rounded to bf16 (exact for powers of two, as our caches have). e4m3's own NaN makes logits NaN.

#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {

struct SparsePrefillFp8Args {
  SparseAttentionArgs attention;              ///< its queries are not looked at; one part alone: longest <= part, no workspace
  const std::uint8_t* queries_fp8 = nullptr;  ///< [batch.tokens, heads, 512], e4m3
  const Bf16* query_rotary = nullptr;         ///< [batch.tokens, heads, 64]
  const float* query_scales = nullptr;        ///< [batch.tokens, heads]
};

/// Whether sparse_prefill_fp8() takes these sizes. It does not ask for the queries, nor whether what pointers point to begins at 16 bytes, as it must.
bool sparse_prefill_fp8_takes(const SparsePrefillFp8Args& args);
/// What sparse_attention() does, on a device of compute capability 9.0.
void sparse_prefill_fp8(const SparsePrefillFp8Args& args, CudaStream stream);
/// sparse_attention_ref() of the queries that the FP8 ones stand for.
void sparse_prefill_fp8_ref(const SparsePrefillFp8Args& args);

}  // namespace gauntlet::kernels
