#pragma once

// What sizes of a model the kernels take, told before anything is uploaded.

#include "inference/cuda/types.h"

namespace gauntlet {

struct CudaLimits {
  int major = 0, minor = 0;         ///< compute capability
  int shared_bytes = 0;             ///< that a block may ask for
};

/// Throws Error(Usage) naming the first size that is out of bounds, what was found and what is accepted. `name`: of the device.
void check_cuda_model(const ModelConfig& config, CacheFormat cache, kernels::ActivationTerms terms, const CudaLimits& limits, const std::string& name);

}  // namespace gauntlet
