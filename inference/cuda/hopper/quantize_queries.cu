#include "inference/cuda/hopper/quantize_queries.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kWidth = kQueryLatent + kQueryRotary;
/// Magnitudes of bf16: where infinity and NaN begin; mantissa bits.
constexpr unsigned kInfinite = 0x7f80, kMantissa = 0x7f;

/// The larger magnitude of the two bf16 in a word, as bits: magnitudes are ordered as their bits are, NaN above all.
__device__ unsigned larger(unsigned pair) { return max(pair & 0x7fffU, pair >> 16 & 0x7fffU); }
__device__ unsigned larger(const uint4& words) { return max(max(larger(words.x), larger(words.y)), max(larger(words.z), larger(words.w))); }

/// Two bf16 times `factor` to two e4m3.
__device__ unsigned narrow(unsigned pair, float factor) {
  const float2 values = make_float2(__uint_as_float(pair << 16) * factor, __uint_as_float(pair & 0xffff0000U) * factor);
  return __nv_cvt_float2_to_fp8x2(values, __NV_SATFINITE, __NV_E4M3);
}
/// A power of two from its exponent, which is in the range of normal numbers.
__device__ float power_of_two(int exponent) { return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23); }

// Grid: heads / warps. A warp takes a head; a lane 16 of its latent columns, lanes 0 to 7 eight rotary columns each.
__global__ void __launch_bounds__(kThreads) quantize_queries_kernel(const QuantizeQueriesArgs args) {
  begin_after_previous();
  const int lane = static_cast<int>(threadIdx.x) % 32, head = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (head >= args.heads) return;
  const uint4* from = reinterpret_cast<const uint4*>(args.queries + static_cast<std::int64_t>(head) * kWidth);
  const uint4 first = from[2 * lane], second = from[2 * lane + 1];
  const bool rotary = lane < kQueryRotary / 8;
  const uint4 third = rotary ? from[kQueryLatent / 8 + lane] : make_uint4(0, 0, 0, 0);

  const unsigned latent_most = __reduce_max_sync(kAllLanes, max(larger(first), larger(second))), rotary_most = __reduce_max_sync(kAllLanes, larger(third));
  // With a mantissa of at most 1.75, the largest e4m3's, 2^8 is the power that fits.
  const auto exponent_of = [](unsigned most) { return static_cast<int>(most >> 7) - 127 - ((most & kMantissa) <= 0x60U ? 8 : 7); };
  const bool finite = max(latent_most, rotary_most) < kInfinite;
  const int exponent = finite ? max(max(exponent_of(latent_most), exponent_of(rotary_most) - 32), -109) : 0;
  const float factor = finite ? power_of_two(-exponent) : __int_as_float(0x7fffffff);

  const std::int64_t at = head;
  const auto four = [&](unsigned a, unsigned b) { return narrow(a, factor) | narrow(b, factor) << 16; };
  reinterpret_cast<uint4*>(args.queries_fp8 + at * kQueryLatent)[lane] =
      make_uint4(four(first.x, first.y), four(first.z, first.w), four(second.x, second.y), four(second.z, second.w));
  if (rotary) {
    const auto two = [&](unsigned pair) { return pack_bf16(__uint_as_float(pair << 16) * factor, __uint_as_float(pair & 0xffff0000U) * factor); };
    reinterpret_cast<uint4*>(args.query_rotary + at * kQueryRotary)[lane] = make_uint4(two(third.x), two(third.y), two(third.z), two(third.w));
  }
  if (lane == 0) args.query_scales[at] = power_of_two(exponent);
}

}  // namespace

void quantize_queries(const QuantizeQueriesArgs& args, CudaStream stream) {
  if (args.heads == 0) return;
  start_kernel(quantize_queries_kernel, static_cast<unsigned>((args.heads + kWarps - 1) / kWarps), kThreads, 0, stream, args);
}

}  // namespace gauntlet::kernels
