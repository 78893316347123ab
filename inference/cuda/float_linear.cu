#include "inference/cuda/float_linear.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

/// The inner dimension is cut into groups of 128 elements (four for each lane), which go round the block's warps. Then lanes are summed, then
/// warps in order. No tile size changes this, so an output's bits depend on its own row alone.
constexpr int kWarps = 4;
constexpr int kGroup = 128;

/// Grid: (tiles of kRows rows, tiles of kOutputs outputs); a block makes one tile, each of its warps over its share of the inner dimension.
template <int kRows, int kOutputs, bool kVector>
__global__ void __launch_bounds__(kWarps * 32) float_linear_kernel(FloatLinearArgs args) {
  begin_after_previous();
  __shared__ float sums[kWarps][kRows * kOutputs];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int first_row = static_cast<int>(blockIdx.x) * kRows, first_output = static_cast<int>(blockIdx.y) * kOutputs;
  // Beyond the end the last row is computed again, and not written.
  const float* x[kRows];
  const float* weight[kOutputs];
#pragma unroll
  for (int r = 0; r < kRows; ++r) x[r] = args.x + static_cast<std::int64_t>(min(first_row + r, args.rows - 1)) * args.dim;
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) weight[o] = args.weight + static_cast<std::int64_t>(min(first_output + o, args.outputs - 1)) * args.dim;

  float sum[kRows][kOutputs] = {};
#pragma unroll(kRows * kOutputs <= 8 ? 4 : 1)
  for (int i = warp * kGroup + lane * 4; i < args.dim; i += kWarps * kGroup) {
    float4 b[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) b[r] = load_four<kVector>(x[r], i, args.dim);
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      const float4 a = load_four<kVector>(weight[o], i, args.dim);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float s = sum[r][o];
        s = fmaf(a.x, b[r].x, s);
        s = fmaf(a.y, b[r].y, s);
        s = fmaf(a.z, b[r].z, s);
        sum[r][o] = fmaf(a.w, b[r].w, s);
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      const float total = warp_sum(sum[r][o]);
      if (lane == 0) sums[warp][r * kOutputs + o] = total;
    }
  }
  __syncthreads();
  const int at = static_cast<int>(threadIdx.x), row = first_row + at / kOutputs, output = first_output + at % kOutputs;
  if (at >= kRows * kOutputs || row >= args.rows || output >= args.outputs) return;
  float total = sums[0][at];
  for (int w = 1; w < kWarps; ++w) total += sums[w][at];
  const std::int64_t to = static_cast<std::int64_t>(row) * args.outputs + output;
  const float value = args.scale * total;
  args.y[to] = args.factors == nullptr ? value : value * args.factors[to];
}

template <int kRows, int kOutputs>
void launch(const FloatLinearArgs& args, CudaStream stream) {
  const dim3 grid(static_cast<unsigned>((args.rows + kRows - 1) / kRows), static_cast<unsigned>((args.outputs + kOutputs - 1) / kOutputs));
  const auto aligned = [](const float* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
  if (args.dim % 4 == 0 && aligned(args.x) && aligned(args.weight)) {
    start_kernel(float_linear_kernel<kRows, kOutputs, true>, grid, kWarps * 32, 0, stream, args);
  } else {
    start_kernel(float_linear_kernel<kRows, kOutputs, false>, grid, kWarps * 32, 0, stream, args);
  }
}

}  // namespace

void float_linear(const FloatLinearArgs& args, CudaStream stream) {
  require(args.rows >= 0 && args.dim > 0 && args.outputs > 0 && args.outputs <= 65535, ErrorKind::Internal,
          "float_linear: rows must not be negative, dim must be positive, outputs 1 to 65535");
  if (args.rows == 0) return;
  // Few rows: enough blocks to read the weights at full speed. Many: each value loaded is used several times.
  if (args.rows <= 2) {
    launch<1, 1>(args, stream);
  } else if (args.rows <= 8) {
    launch<4, 2>(args, stream);
  } else if (args.rows <= 128) {
    launch<8, 4>(args, stream);
  } else {
    launch<8, 8>(args, stream);
  }
}

}  // namespace gauntlet::kernels
