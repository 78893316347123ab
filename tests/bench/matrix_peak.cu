#include "tests/bench/matrix_peak.h"

#include "inference/cuda/common.cuh"

namespace gauntlet::bench {
namespace {

constexpr int kBlocks = 1024;
constexpr int kThreads = 256;
constexpr int kChains = 8;  ///< independent products of a warp, so that none waits for another

/// Grid: any; each warp multiplies in kChains chains.
__global__ void __launch_bounds__(kThreads) matrix_peak_kernel(MatrixPeakArgs args) {
  const unsigned seed = threadIdx.x + blockIdx.x;
  // Pairs of bf16 numbers between 0.5 and 2, with signs: power, and with it the clock, depends on operands.
  const auto pair = [seed](unsigned i) { return (((seed + i) * 2654435761U) & 0x80ff80ffU) | 0x3f003f00U; };
  const unsigned a[4] = {pair(0), pair(1), pair(2), pair(3)};
  unsigned b[kChains];
  for (unsigned c = 0; c < kChains; ++c) b[c] = pair(4 + c);
  float sums[kChains][4] = {};
  for (int step = 0; step < args.steps; ++step) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) kernels::multiply_add(sums[c], a, b[c], b[c] ^ 0x80000000U);
  }
  float total = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) total += sums[c][0] + sums[c][1] + sums[c][2] + sums[c][3];
  if (total == 12345.678f) *args.out = total;
}

}  // namespace

double MatrixPeakArgs::flops() const {
  if (unit != MatrixUnit::Mma) return wgmma_peak_flops(*this);
  return static_cast<double>(kBlocks) * (kThreads / 32) * steps * kChains * 2 * 16 * 8 * 16;
}

void matrix_peak(const MatrixPeakArgs& args, CudaStream stream) {
  if (args.unit != MatrixUnit::Mma) return wgmma_peak(args, stream);
  matrix_peak_kernel<<<kBlocks, kThreads, 0, stream>>>(args);
  cuda_check(cudaGetLastError());
}

}  // namespace gauntlet::bench
