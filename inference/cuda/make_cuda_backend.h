#pragma once

// The door to the CUDA backend for code that is built with and without CUDA.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "inference/cuda/cuda_backend.h"

namespace gauntlet {

struct CudaDevice {
  std::string name;
  int major = 0, minor = 0;          ///< compute capability
  std::int64_t memory_bytes = 0;
  std::int64_t free_bytes = 0;
};

/// The device that a CUDA backend would use. Nothing, with the reason in `why`, in builds without CUDA, without a driver that is recent enough,
/// and where no device of compute capability 8.0 or later can be used.
std::optional<CudaDevice> find_cuda_device(std::string* why = nullptr);

/// The same; Error(Infrastructure) with the reason where there is none.
CudaDevice need_cuda_device();

/// Bytes read plus bytes written a second, when so many bytes are copied within device memory over and over.
double measure_cuda_copy_rate(std::size_t bytes);

/// Throws as CudaBackend does, and Error(Usage) in builds without CUDA.
std::unique_ptr<CudaBackend> make_cuda_backend(const ModelWeights& weights, const CudaBackendOptions& options);

}  // namespace gauntlet
