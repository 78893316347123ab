#pragma once

// Embedding rows, RMSNorm and the gated activation: what lies between matrix products.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

/// stream[t] = table[ids[t]]
struct EmbedArgs {
  int tokens = 0;
  int dim = 0;
  const std::int32_t* ids = nullptr;  ///< [tokens]
  const Bf16* table = nullptr;        ///< [vocab, dim]
  float* stream = nullptr;            ///< [tokens, dim]
};
void embed(const EmbedArgs& args, CudaStream stream);
void embed_ref(const EmbedArgs& args);

/// y = x / sqrt(mean(x²) + eps) · weight, row by row. Sums in a fixed order that depends on dim alone.
struct RmsNormArgs {
  int rows = 0;
  int dim = 0;
  float eps = 1e-6f;
  const std::int32_t* source_rows = nullptr;  ///< [rows]: row r reads x[source_rows[r]]; null: row r
  const float* x = nullptr;                   ///< [·, dim]
  const float* weight = nullptr;              ///< [dim]
  Bf16* y = nullptr;                          ///< [rows, dim]
  Bf16* y_low = nullptr;                      ///< [rows, dim]
  float* y_float = nullptr;                   ///< [rows, dim], unrounded; null: not wanted
};
void rms_norm(const RmsNormArgs& args, CudaStream stream);
void rms_norm_ref(const RmsNormArgs& args);

/// y = silu(gate) · up
struct SiluArgs {
  int rows = 0;
  int width = 0;
  const float* gate_up = nullptr;      ///< [rows, 2 × width]: gate, then up
  const float* gate_up_low = nullptr;  ///< the same shape, added to it
  Bf16* y = nullptr;                   ///< [rows, width]
  Bf16* y_low = nullptr;               ///< [rows, width]
};
void silu_multiply(const SiluArgs& args, CudaStream stream);
void silu_multiply_ref(const SiluArgs& args);

/// y + y_low = x + x_low.
struct TermsArgs {
  int rows = 0;
  int columns = 0;
  const float* x = nullptr;            ///< [rows, columns]
  const float* x_low = nullptr;        ///< [rows, columns]; null: nothing is added
  Bf16* y = nullptr;                   ///< [rows, columns], rows y_stride apart
  Bf16* y_low = nullptr;
  std::int64_t y_stride = 0;
};
void split_terms(const TermsArgs& args, CudaStream stream);
void split_terms_ref(const TermsArgs& args);

}  // namespace gauntlet::kernels
