#pragma once

// What wgmma needs around its products: descriptors of tiles in shared memory, order, groups. All of a warpgroup's threads come by together.
//
// Tiles in shared memory are swizzled by 128 bytes: a tile is 8-row groups of 1,024 bytes, its address a multiple of 1,024, a row is 128 bytes, and the
// 16-byte unit u of row r lies at unit u ^ (r % 8). TMA writes that with CU_TENSOR_MAP_SWIZZLE_128B; swizzled() says where to write by hand.

#include <cstdint>

#include "inference/cuda/hopper/ptx.cuh"

namespace gauntlet::kernels::hopper {

/// Which of an operand's dimensions is contiguous: K, the inner one, or the outer.
enum class Major : int { K = 0, Outer = 1 };

/// Byte of the 16-byte unit `unit` (0 to 7) of row `row` in a tile of rows of 128 bytes.
__device__ constexpr unsigned swizzled(unsigned row, unsigned unit) { return row * 128 + ((unit ^ (row & 7U)) << 4); }

/// A tile whose rows of 128 bytes run along K: groups of 8 rows are 1,024 bytes apart. The next 32 bytes along K are at address + 32.
__device__ inline std::uint64_t tile_along_k(unsigned address) { return (std::uint64_t{1} << 62) | (std::uint64_t{1024 >> 4} << 32) | (std::uint64_t{1} << 16) | ((address & 0x3ffffU) >> 4); }
/// A tile whose rows of 128 bytes (64 bf16) run along the outer dimension, one row for each step along K; the next 64 columns are `columns_distance`
/// bytes away. The next 16 along K are at address + 2,048.
__device__ inline std::uint64_t tile_along_outer(unsigned address, unsigned columns_distance) {
  return (std::uint64_t{1} << 62) | (std::uint64_t{1024 >> 4} << 32) | (std::uint64_t{columns_distance >> 4} << 16) | ((address & 0x3ffffU) >> 4);
}

/// Before the first product that reads registers (accumulators too) which this thread has written.
__device__ inline void products_begin() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ inline void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
/// Until at most kLeft groups are unfinished.
template <int kLeft>
__device__ inline void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kLeft) : "memory");
}
/// Keeps the compiler from moving uses of these registers over products that run meanwhile.
template <int kCount>
__device__ inline void hold(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i])::"memory");
}
template <int kCount>
__device__ inline void hold(unsigned (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(values[i])::"memory");
}

}  // namespace gauntlet::kernels::hopper
