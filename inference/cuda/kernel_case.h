#pragma once

// What every kernel's test needs: its data, and to say so when there is no device to run on.

#include <doctest/doctest.h>

#include "inference/cuda/cuda.h"
#include "inference/cuda/kernel_data.h"

namespace gauntlet::kernels {

/// True where there is no device: the test case says that it was skipped, and returns.
inline bool skip_without_device() {
  static const int devices = cuda_devices();
  if (devices > 0) return false;
  static const bool said = [] {
    MESSAGE("skipped: no CUDA device");
    return true;
  }();
  return said;
}

}  // namespace gauntlet::kernels
