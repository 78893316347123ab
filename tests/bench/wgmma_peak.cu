#include "inference/cuda/hopper/wgmma_bf16.cuh"
#include "inference/cuda/hopper/wgmma_fp8.cuh"
#include "tests/bench/matrix_peak.h"

namespace gauntlet::bench {
namespace {

namespace hopper = kernels::hopper;

constexpr int kWarpgroups = 2;
constexpr int kThreads = kWarpgroups * hopper::kWarpgroup;
constexpr int kColumns = 256;
/// A tile of 64 rows of a for each warpgroup, and one of kColumns rows of b, each row 128 bytes.
constexpr int kSharedBytes = (kWarpgroups * 64 + kColumns) * 128;

/// Grid: one block a multiprocessor. Operands are numbers of ordinary size: power, and with it the clock, depends on them.
template <bool kFp8>
__global__ void __launch_bounds__(kThreads, 1) wgmma_peak_kernel(MatrixPeakArgs args) {
  extern __shared__ __align__(1024) unsigned char shared[];
  for (int i = static_cast<int>(threadIdx.x); i < kSharedBytes / 4; i += kThreads) {
    const unsigned random = (static_cast<unsigned>(i) * 2654435761U) ^ 0x9e3779b9U;
    // Signs and mantissas at random, exponents near one.
    reinterpret_cast<unsigned*>(shared)[i] = kFp8 ? (random & 0x87878787U) | 0x30303030U : (random & 0x807f807fU) | 0x3f003f00U;
  }
  hopper::fence_async_shared();
  __syncthreads();
  const unsigned a = kernels::shared_address(shared) + threadIdx.x / hopper::kWarpgroup * 64 * 128, b = kernels::shared_address(shared) + kWarpgroups * 64 * 128;
  float c[kColumns / 2] = {};
  for (int step = 0; step < args.steps; ++step) {
    hopper::products_begin();
#pragma unroll
    for (unsigned k = 0; k < 4; ++k) {
      if constexpr (kFp8) {
        hopper::multiply(c, hopper::tile_along_k(a + 32 * k), hopper::tile_along_k(b + 32 * k), true);
      } else {
        hopper::multiply<hopper::Major::K>(c, hopper::tile_along_k(a + 32 * k), hopper::tile_along_k(b + 32 * k), true);
      }
    }
    hopper::products_commit();
    hopper::products_wait<0>();
  }
  hopper::hold(c);
  float total = 0;
  for (const float value : c) total += value;
  if (total == 12345.678f) *args.out = total;
}

}  // namespace

double wgmma_peak_flops(const MatrixPeakArgs& args) {
  const double inner = args.unit == MatrixUnit::WgmmaFp8 ? 128 : 64;
  return static_cast<double>(multiprocessors()) * kWarpgroups * args.steps * 2 * 64 * kColumns * inner;
}

void wgmma_peak(const MatrixPeakArgs& args, CudaStream stream) {
  const auto kernel = args.unit == MatrixUnit::WgmmaFp8 ? wgmma_peak_kernel<true> : wgmma_peak_kernel<false>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  kernel<<<static_cast<unsigned>(multiprocessors()), kThreads, kSharedBytes, stream>>>(args);
  cuda_check(cudaGetLastError());
}

}  // namespace gauntlet::bench
