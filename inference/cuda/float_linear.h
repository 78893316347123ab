#pragma once

// Small products that decide something (router, weights of the indexer's heads), in float32 from unrounded inputs: y = scale · W x,
// times a factor for each of its elements where there are factors.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

struct FloatLinearArgs {
  int rows = 0;                     ///< tokens
  int outputs = 0;
  int dim = 0;
  float scale = 1.0f;
  const float* x = nullptr;         ///< [rows, dim]
  const float* weight = nullptr;    ///< [outputs, dim]
  const float* factors = nullptr;   ///< [rows, outputs]. May be null: ones
  float* y = nullptr;               ///< [rows, outputs]
};

void float_linear(const FloatLinearArgs& args, CudaStream stream);
void float_linear_ref(const FloatLinearArgs& args);

}  // namespace gauntlet::kernels
