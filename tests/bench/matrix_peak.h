#pragma once

// What the device's matrix units do at best: mma.sync with operands in registers, wgmma (on compute capability 9.0) with tiles in shared memory.

#include "inference/cuda/types.h"

namespace gauntlet::bench {

/// The ways to multiply matrices.
enum class MatrixUnit { Mma, WgmmaBf16, WgmmaFp8 };

struct MatrixPeakArgs {
  MatrixUnit unit = MatrixUnit::Mma;
  int steps = 0;
  float* out = nullptr;  ///< [1]: never written, but the compiler cannot know

  /// Of one launch on the current device.
  double flops() const;
};
void matrix_peak(const MatrixPeakArgs& args, CudaStream stream);

/// The kernels of wgmma, in machine code of their own.
double wgmma_peak_flops(const MatrixPeakArgs& args);
void wgmma_peak(const MatrixPeakArgs& args, CudaStream stream);

}  // namespace gauntlet::bench
