#pragma once

// Matrix products with the model's dense weights through cuBLASLt. The library is opened when the first CUDA backend is made, so that
// programs start without it and run where it is not installed.
//
// One algorithm for each shape, chosen once and without a split of the inner dimension, whatever the number of rows: so a row's bits
// do not depend on how many rows are in the batch.

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "inference/float_types.h"

namespace gauntlet {

enum class ProductOutput {
  Float,     ///< y = x Wᵀ in float32
  AddFloat,  ///< y += x Wᵀ in float32
  Bf16,      ///< y = x Wᵀ rounded to bf16
};

/// y[r, o] = Σ_i x[r, i] · weights[o, i], for each of `batches` independent problems.
struct ProductArgs {
  int rows = 0;
  int outputs = 0;
  int inner = 0;
  const Bf16* weights = nullptr;   ///< [outputs, inner]
  bool transposed = false;         ///< weights are [inner, outputs]
  const Bf16* x = nullptr;         ///< [rows, inner], rows x_stride apart
  std::int64_t x_stride = 0;
  void* y = nullptr;               ///< [rows, outputs], rows y_stride apart
  std::int64_t y_stride = 0;
  ProductOutput output = ProductOutput::Float;
  int batches = 1;                 ///< with the distances below, in elements, between problems
  std::int64_t weights_distance = 0, x_distance = 0, y_distance = 0;
};

/// Used from one thread.
class DenseProducts {
 public:
  /// For products of up to so many rows. Throws Error(Infrastructure) naming what could not be opened.
  explicit DenseProducts(int most_rows);
  ~DenseProducts();

  /// Device pointers; may be captured into a graph once the shape has been used before.
  void multiply(const ProductArgs& args, cudaStream_t stream);
  /// Of the library, as results depend on it.
  std::string version() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
