#pragma once

// From the first projections of a layer to what attention reads: the query's latent, normed; and the cache entries of the new tokens:
// latent normed, rotary key rotated in neighbouring pairs, indexer key layer-normed and rotated in halves.
// With an FP8 cache the latent goes to e4m3 in blocks of 128 with power-of-two scales, and the indexer key likewise after a Hadamard
// rotation, as DeepSeek's published inference code does (December 2025).

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

struct LatentsArgs {
  TokenBatch batch;
  CacheLayout layout;
  int q_rank = 0;                         ///< 0: the whole query is there in place of its latent, and is left alone
  int input_stride = 0;                   ///< of `input`
  int kv_offset = 0;                      ///< columns of `input` before the kv part: latent, then rotary key, then indexer key
  const float* input = nullptr;           ///< [tokens, input_stride]
  const float* input_low = nullptr;       ///< the same shape, added to it
  const float* q_norm = nullptr;          ///< [q_rank]
  const float* kv_norm = nullptr;         ///< [latent]
  const float* index_norm = nullptr;      ///< [index], with index_norm_bias [index]; null without an indexer
  const float* index_norm_bias = nullptr;
  const float* cosines = nullptr;         ///< [positions, rope / 2]
  const float* sines = nullptr;
  Bf16* q_latent = nullptr;               ///< [tokens, q_rank]
  Bf16* q_latent_low = nullptr;           ///< [tokens, q_rank]
  std::byte* latent_rows = nullptr;       ///< [pages × 64, layout.row_bytes()]
  std::byte* index_pages = nullptr;       ///< [pages, layout.index_page_bytes()]
};

void write_latents(const LatentsArgs& args, CudaStream stream);
void write_latents_ref(const LatentsArgs& args);

/// From the query projection to attention's operands: content part to bf16 (for the product with W_UK), rotary part rotated in neighbouring
/// pairs straight into the query's place, indexer queries rotated in halves (and, with an FP8 cache, Hadamard-rotated and rounded through
/// e4m3, which bf16 holds exactly).
struct QueriesArgs {
  TokenBatch batch;
  CacheLayout layout;
  int heads = 0;
  int nope = 0;
  int index_heads = 0;                    ///< 0: none
  int query_stride = 0;                   ///< of `query`
  const float* query = nullptr;           ///< [tokens, query_stride]: heads × (nope | rope), then index_heads × index
  const float* query_low = nullptr;       ///< the same shape, added to it
  const float* cosines = nullptr;
  const float* sines = nullptr;
  Bf16* content = nullptr;                ///< [tokens, heads, nope]
  Bf16* content_low = nullptr;            ///< [tokens, heads, nope]
  Bf16* absorbed = nullptr;               ///< [tokens, heads, layout.width()]: only the rotary part is written, with its padding
  Bf16* absorbed_low = nullptr;           ///< the same of the second terms
  Bf16* joined = nullptr;                 ///< [tokens, heads, nope + rope]: content and rotated part side by side, as masked attention reads them. May be null
  Bf16* index_queries = nullptr;          ///< [tokens, index_heads, layout.index_padded()]. May be null with an FP8 cache
  std::uint8_t* index_queries_fp8 = nullptr;  ///< the same shape: e4m3 values without their scales; with an FP8 cache of one scale a key. May be null
  float* index_query_scales = nullptr;    ///< [tokens, index_heads]: those scales, powers of two; with index_queries_fp8
};

void split_queries(const QueriesArgs& args, CudaStream stream);
void split_queries_ref(const QueriesArgs& args);

/// The pass's own cache entries, as they are stored, out of the cache again: for attention that makes keys and values of them.
struct ReadLatentsArgs {
  TokenBatch batch;
  CacheLayout layout;
  const std::byte* latent_rows = nullptr;
  Bf16* latents = nullptr;                ///< [tokens, layout.latent]; FP8 entries times their scales, rounded
  Bf16* rotary_keys = nullptr;            ///< [tokens, layout.rope]
};

void read_latents(const ReadLatentsArgs& args, CudaStream stream);
void read_latents_ref(const ReadLatentsArgs& args);

}  // namespace gauntlet::kernels
