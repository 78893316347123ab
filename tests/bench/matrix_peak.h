#pragma once

// What the device's matrix units do at best with the instruction that our kernels use, operands in registers.

#include "inference/cuda/types.h"

namespace gauntlet::bench {

struct MatrixPeakArgs {
  int blocks = 0;
  int steps = 0;
  float* out = nullptr;  ///< [1]: never written, but the compiler cannot know

  /// Of one launch.
  double flops() const;
};
void matrix_peak(const MatrixPeakArgs& args, CudaStream stream);

}  // namespace gauntlet::bench
