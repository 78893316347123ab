#include "inference/cuda/make_cuda_backend.h"

#include "inference/cuda/cuda.h"

namespace gauntlet {

std::optional<CudaDevice> find_cuda_device() {
  if (cuda_devices() == 0) return std::nullopt;
  int index = 0;
  cuda_check(cudaGetDevice(&index));
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, index));
  std::size_t free = 0, total = 0;
  cuda_check(cudaMemGetInfo(&free, &total));
  return CudaDevice{.name = properties.name, .major = properties.major, .minor = properties.minor, .memory_bytes = static_cast<std::int64_t>(total), .free_bytes = static_cast<std::int64_t>(free)};
}

std::unique_ptr<CudaBackend> make_cuda_backend(const ModelWeights& weights, const CudaBackendOptions& options) { return std::make_unique<CudaBackend>(weights, options); }

}  // namespace gauntlet
