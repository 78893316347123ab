#include "inference/cuda/norm.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kThreads = 256;
/// Rows of at most so many elements are normed by one warp.
constexpr int kWarpDim = 1024;

bool aligned_16(const void* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; }

/// Grid: tokens; a block copies one row.
template <bool kVector>
__global__ void embed_kernel(EmbedArgs args) {
  begin_after_previous();
  const Bf16* from = args.table + static_cast<std::int64_t>(args.ids[blockIdx.x]) * args.dim;
  float* to = args.stream + static_cast<std::int64_t>(blockIdx.x) * args.dim;
  if constexpr (kVector) {
    for (int i = static_cast<int>(threadIdx.x) * 8; i < args.dim; i += static_cast<int>(blockDim.x) * 8) {
      const uint4 eight = *reinterpret_cast<const uint4*>(from + i);
      const auto low = [](unsigned pair) { return __uint_as_float(pair << 16); };
      const auto high = [](unsigned pair) { return __uint_as_float(pair & 0xffff0000U); };
      *reinterpret_cast<float4*>(to + i) = {low(eight.x), high(eight.x), low(eight.y), high(eight.y)};
      *reinterpret_cast<float4*>(to + i + 4) = {low(eight.z), high(eight.z), low(eight.w), high(eight.w)};
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < args.dim; i += static_cast<int>(blockDim.x)) to[i] = load_float(from + i);
  }
}

/// Grid: rows, one for each block, or for each warp of it where kWarpRow. A thread sums groups of four elements, `threads` groups apart.
template <bool kVector, bool kWarpRow>
__global__ void rms_norm_kernel(RmsNormArgs args) {
  begin_after_previous();
  __shared__ float scratch[32];
  const int threads = kWarpRow ? 32 : kThreads, thread = static_cast<int>(threadIdx.x) % threads;
  const int row = kWarpRow ? static_cast<int>(blockIdx.x) * (kThreads / 32) + static_cast<int>(threadIdx.x) / 32 : static_cast<int>(blockIdx.x);
  if (row >= args.rows) return;  // a whole warp or nobody
  const float* x = args.x + static_cast<std::int64_t>(args.source_rows != nullptr ? args.source_rows[row] : row) * args.dim;
  float sum = 0;
  for (int i = thread * 4; i < args.dim; i += threads * 4) {
    const float4 v = load_four<kVector>(x, i, args.dim);
    sum = fmaf(v.x, v.x, sum);
    sum = fmaf(v.y, v.y, sum);
    sum = fmaf(v.z, v.z, sum);
    sum = fmaf(v.w, v.w, sum);
  }
  if constexpr (kWarpRow) {
    sum = warp_sum(sum);
  } else {
    sum = block_sum(sum, scratch);
  }
  const float factor = 1.0f / sqrtf(sum / static_cast<float>(args.dim) + args.eps);
  Bf16* y = args.y + static_cast<std::int64_t>(row) * args.dim;
  Bf16* y_low = args.y_low != nullptr ? args.y_low + static_cast<std::int64_t>(row) * args.dim : nullptr;
  float* y_float = args.y_float != nullptr ? args.y_float + static_cast<std::int64_t>(row) * args.dim : nullptr;
  for (int i = thread * 4; i < args.dim; i += threads * 4) {
    const float4 v = load_four<kVector>(x, i, args.dim), w = load_four<kVector>(args.weight, i, args.dim);
    const float out[4] = {v.x * factor * w.x, v.y * factor * w.y, v.z * factor * w.z, v.w * factor * w.w};
    if constexpr (kVector) {
      *reinterpret_cast<uint2*>(y + i) = {pack_bf16(out[0], out[1]), pack_bf16(out[2], out[3])};
      if (y_float != nullptr) *reinterpret_cast<float4*>(y_float + i) = {out[0], out[1], out[2], out[3]};
      if (y_low != nullptr) {
        for (int j = 0; j < 4; ++j) y_low[i + j] = round_rest(out[j]);
      }
    } else {
      for (int j = 0; j < 4 && i + j < args.dim; ++j) {
        y[i + j] = round_bf16(out[j]);
        if (y_float != nullptr) y_float[i + j] = out[j];
        if (y_low != nullptr) y_low[i + j] = round_rest(out[j]);
      }
    }
  }
}

/// Grid: (rows, groups of kThreads × (4 or 1) columns); a thread makes that many neighbours.
template <bool kVector>
__global__ void silu_kernel(SiluArgs args) {
  begin_after_previous();
  constexpr int kEach = kVector ? 4 : 1;
  const int column = (static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x)) * kEach;
  if (column >= args.width) return;
  const float* gate = args.gate_up + static_cast<std::int64_t>(blockIdx.x) * 2 * args.width + column;
  const float* up = gate + args.width;
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * args.width + column;
  Bf16* y = args.y + at;
  if (args.gate_up_low != nullptr) {
    const float* gate_low = args.gate_up_low + static_cast<std::int64_t>(blockIdx.x) * 2 * args.width + column;
    for (int i = 0; i < kEach; ++i) {
      const float value = silu(gate[i] + gate_low[i]) * (up[i] + gate_low[args.width + i]);
      y[i] = round_bf16(value);
      args.y_low[at + i] = round_rest(value);
    }
  } else if constexpr (kVector) {
    const float4 g = *reinterpret_cast<const float4*>(gate), u = *reinterpret_cast<const float4*>(up);
    *reinterpret_cast<uint2*>(y) = {pack_bf16(silu(g.x) * u.x, silu(g.y) * u.y), pack_bf16(silu(g.z) * u.z, silu(g.w) * u.w)};
  } else {
    *y = round_bf16(silu(*gate) * *up);
  }
}

/// Grid: (rows, groups of kThreads columns).
__global__ void terms_kernel(TermsArgs args) {
  begin_after_previous();
  const int column = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (column >= args.columns) return;
  const std::int64_t from = static_cast<std::int64_t>(blockIdx.x) * args.columns + column, to = static_cast<std::int64_t>(blockIdx.x) * args.y_stride + column;
  const float value = args.x_low != nullptr ? args.x[from] + args.x_low[from] : args.x[from];
  args.y[to] = round_bf16(value);
  args.y_low[to] = round_rest(value);
}

}  // namespace

void embed(const EmbedArgs& args, CudaStream stream) {
  require(args.tokens >= 0 && args.dim > 0, ErrorKind::Internal, "embed: tokens must not be negative, dim must be positive");
  if (args.tokens == 0) return;
  const auto grid = static_cast<unsigned>(args.tokens);
  if (args.dim % 8 == 0 && aligned_16(args.table) && aligned_16(args.stream)) {
    start_kernel(embed_kernel<true>, grid, 128, 0, stream, args);
  } else {
    start_kernel(embed_kernel<false>, grid, 128, 0, stream, args);
  }
}

void rms_norm(const RmsNormArgs& args, CudaStream stream) {
  require(args.rows >= 0 && args.dim > 0, ErrorKind::Internal, "rms_norm: rows must not be negative, dim must be positive");
  if (args.rows == 0) return;
  const bool vector = args.dim % 4 == 0 && aligned_16(args.x) && aligned_16(args.weight) && aligned_16(args.y) && aligned_16(args.y_float);
  const auto rows = static_cast<unsigned>(args.rows);
  if (args.dim <= kWarpDim) {
    const unsigned grid = (rows + kThreads / 32 - 1) / (kThreads / 32);
    if (vector) {
      start_kernel(rms_norm_kernel<true, true>, grid, kThreads, 0, stream, args);
    } else {
      start_kernel(rms_norm_kernel<false, true>, grid, kThreads, 0, stream, args);
    }
  } else if (vector) {
    start_kernel(rms_norm_kernel<true, false>, rows, kThreads, 0, stream, args);
  } else {
    start_kernel(rms_norm_kernel<false, false>, rows, kThreads, 0, stream, args);
  }
}

void silu_multiply(const SiluArgs& args, CudaStream stream) {
  require(args.rows >= 0 && args.width > 0, ErrorKind::Internal, "silu_multiply: rows must not be negative, width must be positive");
  require((args.gate_up_low == nullptr) == (args.y_low == nullptr), ErrorKind::Internal, "silu_multiply: both second terms, or none");
  if (args.rows == 0) return;
  const bool vector = args.width % 4 == 0 && aligned_16(args.gate_up) && aligned_16(args.y);
  const int columns = kThreads * (vector ? 4 : 1);
  const dim3 grid(static_cast<unsigned>(args.rows), static_cast<unsigned>((args.width + columns - 1) / columns));
  if (vector) {
    start_kernel(silu_kernel<true>, grid, kThreads, 0, stream, args);
  } else {
    start_kernel(silu_kernel<false>, grid, kThreads, 0, stream, args);
  }
}

void split_terms(const TermsArgs& args, CudaStream stream) {
  require(args.rows >= 0 && args.columns > 0 && args.y_stride >= args.columns, ErrorKind::Internal, "split_terms: rows must not be negative, columns must be positive and fit the stride");
  if (args.rows == 0) return;
  const dim3 grid(static_cast<unsigned>(args.rows), static_cast<unsigned>((args.columns + kThreads - 1) / kThreads));
  start_kernel(terms_kernel, grid, kThreads, 0, stream, args);
}

}  // namespace gauntlet::kernels
