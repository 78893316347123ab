#pragma once

// The lightning indexer's scores (DeepSeek-V3.2, equation 1): for token t and every position s up to its own,
// I(t, s) = Σ_heads w(t, h) · relu(q(t, h) · k(s)). Products in bf16 with float32 sums in a fixed order.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

struct IndexScoresArgs {
  TokenBatch batch;
  CacheLayout layout;
  int first = 0;                        ///< tokens [first, first + rows) of the batch
  int rows = 0;
  int heads = 0;
  int longest = 0;                      ///< at least the largest position + 1 among them
  int skip_up_to = 0;                   ///< tokens with so many positions or fewer need no scores (all are selected)
  const Bf16* queries = nullptr;        ///< [batch.tokens, heads, index_padded]
  const float* weights = nullptr;       ///< [batch.tokens, heads], with all scales in it
  const std::uint8_t* queries_fp8 = nullptr;  ///< [batch.tokens, heads, index_padded]: e4m3 values of the queries, without their scales. Null: none
  const float* weights_fp8 = nullptr;   ///< [batch.tokens, heads]: weights times the scale of that token's and head's query. Null: none
  const std::byte* index_pages = nullptr;
  float* scores = nullptr;              ///< [rows, score_stride]; beyond a token's own position left as they are
  std::int64_t score_stride = 0;        ///< at least `longest`, a multiple of 4
};

void index_scores(const IndexScoresArgs& args, CudaStream stream);
/// Shared memory that a block needs.
int index_scores_shared_bytes(const CacheLayout& layout, int heads);
void index_scores_ref(const IndexScoresArgs& args);

}  // namespace gauntlet::kernels
