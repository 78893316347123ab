#pragma once

// Products with dense weights for small models, in one launch each: the norm before them, the split of activations into two terms (types.h) and
// what follows them (adding to the residual stream, the gated activation, the next product's terms) included.
//
// The order of a row's sums depends on `inner` alone. So its bits do not depend on how many rows are in the call, nor on the tile.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

/// The largest inner dimension.
inline constexpr int kTermProductInner = 2048;

enum class TermOutput {
  Float,      ///< y = x Wᵀ
  AddFloat,   ///< y += x Wᵀ
  Terms,      ///< y_high + y_low = x Wᵀ
  GateTerms,  ///< y_high + y_low = silu(x Gᵀ) · (x Uᵀ), where W is G and U, one below the other
};

/// Rows and outputs that a block makes. All give the same bits.
enum class TermTile { Auto, Few, Many };

/// y[r, o] = Σ_i x[r, i] · weights[o, i], for each of `batches` independent problems. What is written must not overlap x.
struct TermProductArgs {
  int rows = 0;
  int outputs = 0;                            ///< of y
  int inner = 0;                              ///< at most kTermProductInner
  /// What is read before the launches before this one have ended, so none of these may write it: weights, norm_weight and source_rows.
  const Bf16* weights = nullptr;              ///< [outputs, inner]; GateTerms: [2 × outputs, inner]
  const float* norm_weight = nullptr;         ///< [inner]: x is RMS-normed first, with this weight; null: it is not
  float eps = 1e-6f;                          ///< of the norm

  const float* x = nullptr;                   ///< [rows, inner]; or null, and the terms below
  const Bf16* x_high = nullptr;               ///< [rows, inner]
  const Bf16* x_low = nullptr;                ///< [rows, inner]; null: one term
  std::int64_t x_stride = 0;                  ///< between rows of x
  const std::int32_t* source_rows = nullptr;  ///< [rows]: row r reads x's row source_rows[r]; null: row r
  ActivationTerms terms = ActivationTerms::Two;  ///< that float32 rows are split into

  TermOutput output = TermOutput::Float;
  float* y = nullptr;                         ///< [rows, outputs]: Float, AddFloat
  Bf16* y_high = nullptr;                     ///< [rows, outputs]: Terms, GateTerms
  Bf16* y_low = nullptr;                      ///< the same; may be null
  std::int64_t y_stride = 0;                  ///< between rows of y

  /// The normed rows for other readers, each [rows, inner], without gaps. May be null; only with norm_weight and one problem.
  float* normed = nullptr;
  Bf16* normed_high = nullptr;

  int batches = 1;                            ///< with the distances below, in elements, between problems
  std::int64_t weights_distance = 0, x_distance = 0, y_distance = 0;
  TermTile tile = TermTile::Auto;
};

void term_product(const TermProductArgs& args, CudaStream stream);
/// In double, from unsplit float32 rows.
void term_product_ref(const TermProductArgs& args);

}  // namespace gauntlet::kernels
