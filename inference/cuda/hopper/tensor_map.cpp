#include "inference/cuda/hopper/tensor_map.h"

#include <array>
#include <string>

#include "inference/cuda/cuda.h"

namespace gauntlet::kernels::hopper {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

/// The driver's function, found at run time: the program also starts where there is no driver.
Encode encoder() {
  static const Encode found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result));
    require(result == cudaDriverEntryPointSuccess && function != nullptr, ErrorKind::Infrastructure, "CUDA: the driver has no cuTensorMapEncodeTiled; CUDA 12.0 or later is needed");
    return reinterpret_cast<Encode>(function);
  }();
  return found;
}

}  // namespace

CUtensorMap make_tensor_map(const TensorMapSpec& spec) {
  require(spec.sizes.size() >= 1 && spec.sizes.size() <= 5 && spec.strides_bytes.size() + 1 == spec.sizes.size() && spec.box.size() == spec.sizes.size(), ErrorKind::Internal, "tensor map: ranks differ");
  const std::array<cuuint32_t, 5> steps{1, 1, 1, 1, 1};
  CUtensorMap map{};
  const CUresult status = encoder()(&map, spec.type, static_cast<cuuint32_t>(spec.sizes.size()), spec.data, spec.sizes.data(), spec.strides_bytes.data(), spec.box.data(), steps.data(),
                                    CU_TENSOR_MAP_INTERLEAVE_NONE, spec.swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  require(status == CUDA_SUCCESS, ErrorKind::Infrastructure, "CUDA: cuTensorMapEncodeTiled failed with code " + std::to_string(static_cast<int>(status)));
  return map;
}

}  // namespace gauntlet::kernels::hopper
