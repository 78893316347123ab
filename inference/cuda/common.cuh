#pragma once

// Warp, block and matrix-unit primitives of all kernels. Every reduction has one order, so results do not depend on timing.

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "inference/cuda/cuda.h"
#include "inference/cuda/types.h"

namespace gauntlet::kernels {

inline constexpr unsigned kAllLanes = 0xffffffffU;

__device__ inline __nv_bfloat16 as_cuda(Bf16 value) { return __ushort_as_bfloat16(value.bits); }
__device__ inline float load_float(const Bf16* at) { return __uint_as_float(static_cast<unsigned>(at->bits) << 16); }
__device__ inline Bf16 round_bf16(float value) { return {__bfloat16_as_ushort(__float2bfloat16_rn(value))}; }
__device__ inline unsigned pack_bf16(float low, float high) {
  return static_cast<unsigned>(round_bf16(low).bits) | (static_cast<unsigned>(round_bf16(high).bits) << 16);
}

/// What rounding to bf16 leaves, rounded to bf16.
__device__ inline Bf16 round_rest(float value) { return round_bf16(value - __bfloat162float(__float2bfloat16_rn(value))); }

/// e4m3 to float, exact.
__device__ inline float fp8_to_float(std::uint8_t bits) {
  __nv_fp8_e4m3 value;
  value.__x = bits;
  return static_cast<float>(value);
}
/// Saturating, to nearest even.
__device__ inline std::uint8_t float_to_fp8(float value) { return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3); }

__device__ inline float silu(float x) { return x / (1.0f + expf(-x)); }

/// Four elements from `at`, zeros from `dim` on. The same elements whether they are loaded in one go or not.
template <bool kVector>
__device__ inline float4 load_four(const float* row, int at, int dim) {
  if constexpr (kVector) return *reinterpret_cast<const float4*>(row + at);
  return {row[at], at + 1 < dim ? row[at + 1] : 0.0f, at + 2 < dim ? row[at + 2] : 0.0f, at + 3 < dim ? row[at + 3] : 0.0f};
}

/// Sixteen e4m3 values times a power of two, as bf16 (exact).
__device__ inline void widen_16(const uint4& packed, float scale, Bf16* to) {
  const unsigned words[4] = {packed.x, packed.y, packed.z, packed.w};
  uint4 out[2];
  unsigned* halves = reinterpret_cast<unsigned*>(out);
  for (int i = 0; i < 8; ++i) {
    const unsigned two = words[i / 2] >> (i % 2 * 16);
    halves[i] = pack_bf16(fp8_to_float(static_cast<std::uint8_t>(two & 0xffU)) * scale, fp8_to_float(static_cast<std::uint8_t>((two >> 8) & 0xffU)) * scale);
  }
  reinterpret_cast<uint4*>(to)[0] = out[0];
  reinterpret_cast<uint4*>(to)[1] = out[1];
}

__device__ inline float warp_sum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}
__device__ inline float warp_max(float value) {
  for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

/// The sum over a block of whole warps, in every thread. `scratch` [32] floats of shared memory; may be used again after the call.
__device__ inline float block_sum(float value, float* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  value = warp_sum(value);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  float total = warp_sum(lane < warps ? scratch[lane] : 0.0f);
  __syncthreads();
  return total;
}

/// Rotation of a pair by one angle.
__device__ inline void rotate_pair(float& a, float& b, float cosine, float sine) {
  const float x = a, y = b;
  a = x * cosine - y * sine;
  b = y * cosine + x * sine;
}

__device__ inline std::int64_t cache_row(const TokenBatch& batch, int sequence, int position) {
  return static_cast<std::int64_t>(batch.pages[static_cast<std::int64_t>(sequence) * batch.page_stride + position / kPageTokens]) * kPageTokens + position % kPageTokens;
}

__device__ inline unsigned shared_address(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }

/// 16 bytes from global to shared memory, asynchronously; zeros when `valid` is false.
__device__ inline void copy_16_async(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0));
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;\n" ::); }
template <int kLeft>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kLeft));
}

/// Four 8×8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
__device__ inline void load_matrices(unsigned (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)));
}
__device__ inline void load_matrices_transposed(unsigned (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared_address(row)));
}

/// c[16×8] += a[16×16] b[16×8]; bf16 operands, float32 sums (PTX ISA, mma.m16n8k16).
__device__ inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace gauntlet::kernels
