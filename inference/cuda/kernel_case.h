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

/// The same for kernels with Hopper's own instructions.
inline bool skip_without_hopper() {
  if (skip_without_device()) return true;
  static const bool other = compute_capability() != 90;
  if (!other) return false;
  static const bool said = [] {
    MESSAGE("skipped: the CUDA device is not of compute capability 9.0");
    return true;
  }();
  return said;
}

}  // namespace gauntlet::kernels
