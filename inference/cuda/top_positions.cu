#include "inference/cuda/top_positions.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;
constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;
static_assert(kBins == 2 * kThreads);

/// Larger for what is chosen earlier; equal for equal scores.
__device__ unsigned order_key(float score) {
  if (score != score) return 0;  // below -inf's key
  const unsigned bits = __float_as_uint(score + 0.0f);  // -0 becomes +0
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
}

/// Exclusive prefix sum over the block; `total` in every thread. `scratch` [32].
__device__ unsigned prefix_sum(unsigned value, unsigned* scratch, unsigned& total) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  unsigned sum = value;
  for (int step = 1; step < 32; step *= 2) {
    const unsigned below = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += below;
  }
  if (lane == 31) scratch[warp] = sum;
  __syncthreads();
  unsigned before = lane < kWarps ? scratch[lane] : 0;
  for (int step = 1; step < 32; step *= 2) {
    const unsigned below = __shfl_up_sync(kAllLanes, before, step);
    if (lane >= step) before += below;
  }
  total = __shfl_sync(kAllLanes, before, kWarps - 1);
  const unsigned own = warp == 0 ? 0 : __shfl_sync(kAllLanes, before, warp - 1);
  __syncthreads();
  return own + sum - value;
}

struct Cut {
  unsigned key = 0;     ///< of the k-th in order
  unsigned above = 0;   ///< how many have a larger key
};

/// Radix search for the k-th largest key, 11 + 11 + 10 bits.
__device__ Cut find_cut(const float* scores, int count, unsigned k, unsigned* bins, unsigned* scratch, unsigned* found) {
  Cut cut;
  unsigned mask = 0;
  for (int shift = 32 - kDigitBits; ; shift = max(shift - kDigitBits, 0)) {
    const unsigned digits = shift == 0 ? (1U << (32 - 2 * kDigitBits)) - 1 : kBins - 1;
    bins[threadIdx.x] = 0;
    bins[threadIdx.x + kThreads] = 0;
    __syncthreads();
    for (int at = static_cast<int>(threadIdx.x) * 4; at < count; at += kThreads * 4) {
      const float4 four = *reinterpret_cast<const float4*>(scores + at);
      const float values[4] = {four.x, four.y, four.z, four.w};
      for (int i = 0; i < 4; ++i) {
        const unsigned key = order_key(values[i]);
        if (at + i < count && (key & mask) == cut.key) atomicAdd(&bins[(key >> shift) & digits], 1U);
      }
    }
    __syncthreads();
    // Thread t looks after the bins 2t and 2t + 1 from the top.
    const unsigned high = bins[kBins - 1 - 2 * threadIdx.x], low = bins[kBins - 2 - 2 * threadIdx.x];
    unsigned total = 0;
    const unsigned before = cut.above + prefix_sum(high + low, scratch, total);
    if (before < k && before + high >= k) {
      found[0] = kBins - 1 - 2 * threadIdx.x;
      found[1] = before;
    } else if (before + high < k && before + high + low >= k) {
      found[0] = kBins - 2 - 2 * threadIdx.x;
      found[1] = before + high;
    }
    __syncthreads();
    cut.key |= found[0] << shift;
    cut.above = found[1];
    mask |= digits << shift;
    __syncthreads();
    if (shift == 0) return cut;
  }
}

// A block a row.
__global__ void __launch_bounds__(kThreads) top_positions_kernel(const TopPositionsArgs args) {
  begin_after_previous();
  __shared__ unsigned bins[kBins];
  __shared__ unsigned scratch[32];
  __shared__ unsigned found[2];
  const int row = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int count = args.last[row] + 1;
  std::int32_t* chosen = args.chosen + static_cast<std::int64_t>(row) * args.k;
  if (count <= args.k) {
    for (int i = thread; i < args.k; i += kThreads) chosen[i] = i < count ? i : -1;
    return;
  }
  const float* scores = args.scores + static_cast<std::int64_t>(row) * args.score_stride;
  const Cut cut = find_cut(scores, count, static_cast<unsigned>(args.k), bins, scratch, found);
  const unsigned ties = static_cast<unsigned>(args.k) - cut.above;  // so many of the equal ones, lowest positions first

  unsigned above_before = 0, equal_before = 0;
  for (int base = 0; base < count; base += kThreads * 4) {
    const int at = base + thread * 4;
    unsigned keys[4] = {0, 0, 0, 0};
    unsigned counts = 0;  // above in the low half, equal in the high half
    if (at < count) {
      const float4 four = *reinterpret_cast<const float4*>(scores + at);
      const float values[4] = {four.x, four.y, four.z, four.w};
      for (int i = 0; i < 4; ++i) {
        keys[i] = order_key(values[i]);
        if (at + i < count) counts += keys[i] > cut.key ? 1U : keys[i] == cut.key ? 0x10000U : 0U;
      }
    }
    unsigned total = 0;
    const unsigned before = prefix_sum(counts, scratch, total);
    unsigned above = above_before + (before & 0xffffU), equal = equal_before + (before >> 16);
    for (int i = 0; i < 4; ++i) {
      if (at + i >= count) break;
      const bool is_above = keys[i] > cut.key, is_equal = keys[i] == cut.key;
      if (is_above || (is_equal && equal < ties)) chosen[above + min(equal, ties)] = at + i;
      above += is_above ? 1U : 0U;
      equal += is_equal ? 1U : 0U;
    }
    above_before += total & 0xffffU;
    equal_before += total >> 16;
  }
}

}  // namespace

void top_positions(const TopPositionsArgs& args, CudaStream stream) {
  require(args.k >= 1 && args.score_stride % 4 == 0, ErrorKind::Internal, "top_positions: k must be at least 1 and the stride a multiple of 4");
  if (args.rows == 0) return;
  start_kernel(top_positions_kernel, static_cast<unsigned>(args.rows), kThreads, 0, stream, args);
}

}  // namespace gauntlet::kernels
