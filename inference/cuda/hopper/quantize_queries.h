#pragma once

// Queries of absorbed attention in FP8, for sparse_prefill_fp8.h. A head's latent columns go to e4m3 with one power of two for all of them, such that the
// largest magnitude lies in (224, 448]; its rotary columns stay bf16 and are divided by the same power of two, so that products of both are added unscaled.
// The power of two is larger where the rotary columns are more than 2^32 times the latent ones, and at least 2^-109: rotary columns always stay finite.
// A head that holds a NaN or an infinity becomes NaN in all of its columns, its scale 1.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

inline constexpr int kQueryLatent = 512, kQueryRotary = 64;

struct QuantizeQueriesArgs {
  int heads = 0;                       ///< of all tokens together: a head is a row
  const Bf16* queries = nullptr;       ///< [heads, 512 + 64]
  std::uint8_t* queries_fp8 = nullptr; ///< [heads, 512], e4m3
  Bf16* query_rotary = nullptr;        ///< [heads, 64]
  float* query_scales = nullptr;       ///< [heads]: what both are to be multiplied by
};

/// Pointers begin at 16 bytes.
void quantize_queries(const QuantizeQueriesArgs& args, CudaStream stream);
void quantize_queries_ref(const QuantizeQueriesArgs& args);

}  // namespace gauntlet::kernels
