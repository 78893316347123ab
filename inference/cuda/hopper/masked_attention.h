#pragma once

// Causal attention of whole sequences in the form that is not absorbed, for Hopper: every head has keys and values of its own, made from the latents.
// For a (query, key, head) that is 192 + 128 multiply-adds, where the absorbed form (sparse_attention.h) needs 576 + 512; but every position up to the
// query's own is attended to, so it serves passes whose sequences are no longer than the list of chosen positions would be.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

/// Sizes of a head of this kernel: content and rotary part of queries and keys, values.
inline constexpr int kMaskedContent = 128, kMaskedRotary = 64, kMaskedQuery = kMaskedContent + kMaskedRotary, kMaskedValue = 128;
/// Integers of its workspace.
inline constexpr int kMaskedWork = 2;

/// out(t, h) = softmax_s(scale · q(t, h) · k(s, h)) · v(s, h) over the tokens s of t's sequence up to t itself.
struct MaskedAttentionArgs {
  TokenBatch batch;                     ///< of it `tokens` and `positions`. A sequence's tokens stand together and start at position 0, so t attends to [t - positions[t], t]
  int first = 0;                        ///< queries: tokens [first, first + rows) of the batch; keys are the whole batch's
  int rows = 0;
  int heads = 0;
  float scale = 1.0f;                   ///< above 0
  const Bf16* queries = nullptr;        ///< [batch.tokens, heads, 192]: content, then the rotated part
  const Bf16* keys_values = nullptr;    ///< [batch.tokens, heads, 256]: the key's content, then the value
  const Bf16* rotary_keys = nullptr;    ///< [batch.tokens, 64], rotated, shared by all heads
  std::int32_t* work = nullptr;         ///< workspace [kMaskedWork]: zeros before the first call, zeros again after each. Calls that share it must not overlap
  Bf16* out = nullptr;                  ///< [batch.tokens, heads, 128]; other tokens' rows stay as they are
  float* lse = nullptr;                 ///< [rows, heads], natural log of Σ exp. May be null
};

/// True where masked_attention() accepts the arguments and the current device is of compute capability 9.0.
bool masked_attention_takes(const MaskedAttentionArgs& args);

/// A row's bits depend on its own sequence up to itself only: not on the other sequences, nor on `first` and `rows`. Values that are not finite stay in
/// their sequence; within it, they may reach rows before them, but none before the last position that is a multiple of 128.
void masked_attention(const MaskedAttentionArgs& args, CudaStream stream);
void masked_attention_ref(const MaskedAttentionArgs& args);

}  // namespace gauntlet::kernels
