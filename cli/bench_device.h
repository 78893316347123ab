#pragma once

// A checkpoint on a device, ready to be measured: the only place of `gauntlet model bench` that knows devices.

#include <string>

#include "inference/cuda/cuda_backend.h"
#include "inference/model_bench.h"

namespace gauntlet {

struct BenchDeviceOptions {
  std::string folder;
  std::string device = "cpu";
  std::string weights = "exact";   ///< or int8
  std::string cache = "bf16";      ///< or fp8; on cuda
  std::string queries = "bf16";    ///< or fp8; on cuda
  int threads = 0;                 ///< 0: one for each core
  int pages = 64;                  ///< of the cache
  int masked_from = CudaBackendOptions{}.masked_from;  ///< see there; on cuda
};

/// Throws Error(Usage) for a device or a form of weights that does not exist here, naming what does.
BenchDevice open_bench_device(const BenchDeviceOptions& options);

}  // namespace gauntlet
