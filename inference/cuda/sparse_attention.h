#pragma once

// Attention in the absorbed form (multi-query: all heads share one latent key, whose first part is the value) over chosen positions of a
// paged cache. out(t, h) = softmax_s(scale · q(t, h) · k(s)) · k(s)[0, latent).
//
// Work is cut into parts of `part` positions of a token's list, and parts are joined in order: so a row's bits depend on its own list and `part`
// alone, not on the batch.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

inline constexpr int kAttentionPart = 512;

/// Where a list's positions stand.
enum class ListForm {
  Any,     ///< anywhere among entries that are none
  Packed,  ///< first, as top_positions writes them: what lies beyond the token's own number of positions is not looked at
};

struct SparseAttentionArgs {
  TokenBatch batch;
  CacheLayout layout;
  int first = 0;                          ///< tokens [first, first + rows) of the batch
  int rows = 0;
  int heads = 0;
  int longest = 0;                        ///< at least the longest list among them
  int part = kAttentionPart;              ///< positions of a part, a multiple of 64
  float scale = 1.0f;
  const Bf16* queries = nullptr;          ///< [batch.tokens, heads, layout.width()]
  const Bf16* queries_low = nullptr;      ///< the same shape
  const std::int32_t* chosen = nullptr;   ///< [rows, k]: positions; entries outside [0, own position] count as none. Null: all up to the own
  int k = 0;
  ListForm form = ListForm::Any;
  const std::byte* latent_rows = nullptr;
  float* part_out = nullptr;              ///< workspace [rows, parts, heads, latent_padded]; not needed if parts is 1
  float* part_stats = nullptr;            ///< workspace [rows, parts, heads, 2]: largest logit (base 2), sum
  Bf16* out = nullptr;                    ///< [batch.tokens, heads, latent]
  Bf16* out_low = nullptr;                ///< the same shape
  float* lse = nullptr;                   ///< [rows, heads], natural log of Σ exp; +inf where the list is empty (then out is 0). May be null

  constexpr int parts() const { return longest / part + (longest % part != 0 ? 1 : 0); }
};

void sparse_attention(const SparseAttentionArgs& args, CudaStream stream);
/// Shared memory that a block needs at least; sizes of keys are bounded by what the device has.
int sparse_attention_shared_bytes(const CacheLayout& layout, ActivationTerms terms);
void sparse_attention_ref(const SparseAttentionArgs& args);

}  // namespace gauntlet::kernels
