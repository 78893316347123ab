#include "inference/cuda/make_cuda_backend.h"

#include <algorithm>

#include "inference/cuda/cuda.h"

namespace gauntlet {

std::optional<CudaDevice> find_cuda_device(std::string* why) {
  const auto nothing = [&](const std::string& reason) {
    cudaGetLastError();
    if (why != nullptr) *why = reason;
    return std::nullopt;
  };
  int count = 0, index = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) return nothing("no CUDA device was found");
  if (status == cudaErrorInsufficientDriver) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return nothing("no CUDA driver was found");
    const auto version = [](int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); };
    return nothing("the driver is for CUDA " + version(driver) + "; this program needs one for " + version(CUDART_VERSION));
  }
  cudaDeviceProp properties{};
  std::size_t free = 0, total = 0;
  if (status == cudaSuccess) status = cudaGetDevice(&index);
  if (status == cudaSuccess) status = cudaGetDeviceProperties(&properties, index);
  if (status == cudaSuccess) status = cudaMemGetInfo(&free, &total);
  if (status != cudaSuccess) return nothing(std::string("no CUDA device can be used: ") + cudaGetErrorString(status));
  if (properties.major < 8) return nothing(std::string("the CUDA device ") + properties.name + " has compute capability " + std::to_string(properties.major) + "." + std::to_string(properties.minor) + "; 8.0 or later is needed");
  return CudaDevice{.name = properties.name, .major = properties.major, .minor = properties.minor, .memory_bytes = static_cast<std::int64_t>(total), .free_bytes = static_cast<std::int64_t>(free)};
}

CudaDevice need_cuda_device() {
  std::string why;
  const auto device = find_cuda_device(&why);
  if (!device) fail(ErrorKind::Infrastructure, why + "; `--device cpu` runs on the processor");
  return *device;
}

double measure_cuda_copy_rate(std::size_t bytes) {
  constexpr int kRepeats = 20;
  const std::size_t half = std::max<std::size_t>(bytes / 2, 1);
  DeviceBuffer<std::byte> from(half), to(half);
  const Stream stream;
  Event begun, ended;
  cuda_check(cudaMemsetAsync(from.data(), 1, half, stream.get()));
  for (int i = -2; i < kRepeats; ++i) {
    if (i == 0) begun.record(stream);
    cuda_check(cudaMemcpyAsync(to.data(), from.data(), half, cudaMemcpyDeviceToDevice, stream.get()));
  }
  ended.record(stream);
  return 2.0 * static_cast<double>(half) * kRepeats / (1e-3 * static_cast<double>(ended.ms_since_blocking(begun)));
}

std::unique_ptr<CudaBackend> make_cuda_backend(const ModelWeights& weights, const CudaBackendOptions& options) { return std::make_unique<CudaBackend>(weights, options); }

}  // namespace gauntlet
