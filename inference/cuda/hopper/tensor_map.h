#pragma once

// Descriptors of tensors in device memory for bulk copies of tiles (TMA).

#include <cuda.h>

#include <cstddef>
#include <span>

namespace gauntlet::kernels::hopper {

struct TensorMapSpec {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  void* data = nullptr;                           ///< aligned to 16 bytes
  std::span<const cuuint64_t> sizes;              ///< elements, innermost dimension first
  std::span<const cuuint64_t> strides_bytes;      ///< of all dimensions but the innermost; multiples of 16
  std::span<const cuuint32_t> box;                ///< elements of a tile
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
};

/// Error(Infrastructure) where the driver refuses it or cannot make one. Tiles read zeros beyond the tensor.
CUtensorMap make_tensor_map(const TensorMapSpec& spec);

}  // namespace gauntlet::kernels::hopper
