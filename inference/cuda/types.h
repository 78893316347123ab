#pragma once

// What the kernels' headers share. Plain C++: no CUDA toolkit is needed to include it.
//
// Glossary: tokens = rows of one pass over all sequences; a token's sequence gives its row in the page tables; a cache row is
// page × 64 + position % 64. Sizes are in elements unless a name ends in _bytes.

#include <cstddef>
#include <cstdint>

#include "inference/backend.h"
#include "inference/float_types.h"
#include "inference/model_config.h"

// CUDA's own name for a stream's type.
struct CUstream_st;

namespace gauntlet {
using CudaStream = CUstream_st*;
}

namespace gauntlet::kernels {

// Two terms: an activation may travel as the sum of two bf16 numbers, its rounding and the rounding of the rest, which together hold 16 bits of
// it. Products run over both and are summed in float32. Members named …_low are the second terms; null: there are none.

enum class ActivationTerms { One, Two };

/// Elements that share one FP8 scale in caches.
inline constexpr int kCacheBlock = 128;

constexpr int round_up(int value, int unit) { return (value + unit - 1) / unit * unit; }

/// Where a token's latent, rotary key and indexer key lie. Dimensions are padded to multiples of 16 with zeros, so that any size of
/// model reaches the matrix units.
///
/// Latent rows, one a token:  Bf16: latent [latent_padded] bf16, rotary key [rope_padded] bf16.
///                            Fp8:  latent [latent_padded] e4m3, scales [latent_blocks] float32, rotary key [rope_padded] bf16
///                                  (V3.2: 512 + 16 + 128 = 656 bytes); rows padded to 16 bytes.
/// Index pages, 64 tokens:    Bf16: keys [64, index_padded] bf16.
///                            Fp8:  keys [64, index_padded] e4m3, then scales [64, index_blocks] float32 (V3.2: 132 bytes a token).
struct CacheLayout {
  CacheFormat format = CacheFormat::Bf16;
  int latent = 0, rope = 0, index = 0;  ///< sizes of the model; index 0: no indexer

  constexpr int latent_padded() const { return round_up(latent, 16); }
  constexpr int rope_padded() const { return round_up(rope, 16); }
  constexpr int index_padded() const { return round_up(index, 16); }
  /// Of a query or key in attention.
  constexpr int width() const { return latent_padded() + rope_padded(); }
  constexpr int latent_blocks() const { return (latent + kCacheBlock - 1) / kCacheBlock; }
  constexpr int index_blocks() const { return (index + kCacheBlock - 1) / kCacheBlock; }
  constexpr int rope_offset_bytes() const { return format == CacheFormat::Bf16 ? 2 * latent_padded() : round_up(latent_padded() + 4 * latent_blocks(), 16); }
  constexpr int row_bytes() const { return rope_offset_bytes() + 2 * rope_padded(); }
  constexpr int index_scales_offset_bytes() const { return kPageTokens * index_padded(); }
  constexpr int index_page_bytes() const {
    return format == CacheFormat::Bf16 ? kPageTokens * index_padded() * 2 : round_up(index_scales_offset_bytes() + kPageTokens * index_blocks() * 4, 16);
  }
};

inline CacheLayout cache_layout(const ModelConfig& config, CacheFormat format) {
  return {.format = format, .latent = config.kv_rank, .rope = config.rope_dim, .index = config.has_indexer() ? config.index_dim : 0};
}

/// The tokens of one pass. All pointers are to memory of the device that runs the kernel (of the host in references).
struct TokenBatch {
  int tokens = 0;
  const std::int32_t* ids = nullptr;        ///< [tokens]
  const std::int32_t* positions = nullptr;  ///< [tokens], from 0 within the sequence
  const std::int32_t* sequences = nullptr;  ///< [tokens], row of the page table
  const std::int32_t* pages = nullptr;      ///< [sequences, page_stride], physical pages in the order of positions
  int page_stride = 0;
};

}  // namespace gauntlet::kernels
