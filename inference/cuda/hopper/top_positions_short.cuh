#pragma once

// The choice of the k best of a row that fits into the registers of one block: a radix search over histograms of all its keys, 13 + 11 + 8 bits.

#include "inference/cuda/hopper/position_selector.cuh"
#include "inference/cuda/launch.cuh"
#include "inference/cuda/top_positions.h"

namespace gauntlet::kernels::hopper {

template <int kThreads>
struct ShortRow {
  static constexpr int kWarps = kThreads / 32, kVectors = 4, kEach = kVectors * 4, kLongest = kThreads * kEach;
  static constexpr int kFirstBits = 13, kSecondBits = 11, kThirdBits = 8;
  static constexpr int kBins = (1 << kFirstBits) + (1 << kSecondBits) + (1 << kThirdBits);
  static_assert(kFirstBits + kSecondBits + kThirdBits == 32);

  unsigned* bins;   // [kBins] of zeros: a histogram for each digit
  unsigned* sums;   // [2, kWarps]
  unsigned* found;  // [3, 4]
  int thread, lane, warp;
  unsigned keys[kEach] = {};  // of positions 4 (128 kVectors warp / 4 + 32 j + lane) + i, at 4 j + i
  unsigned valid = 0;         // a bit for each

  __device__ int position(int j) const { return ((warp * kVectors + j) * 32 + lane) * 4; }

  __device__ void load(const float* scores, int length) {
    float4 four[kVectors];
#pragma unroll
    for (int j = 0; j < kVectors; ++j) four[j] = position(j) < length ? *reinterpret_cast<const float4*>(scores + position(j)) : float4{0, 0, 0, 0};
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      const float each[4] = {four[j].x, four[j].y, four[j].z, four[j].w};
      for (int i = 0; i < 4; ++i) {
        keys[4 * j + i] = order_key(each[i]);
        if (position(j) + i < length) valid |= 1U << (4 * j + i);
      }
    }
  }

  /// Finds the cut's digit of kBits from bit kLow on among the keys that begin with the cut's digits so far, which hold at least k.
  template <int kBits, int kLow>
  __device__ void find_digit(unsigned* histogram, unsigned k, Cut& cut, int turn) {
    constexpr int kCount = 1 << kBits, kOwn = kCount >= kThreads * 4 ? kCount / kThreads : 4;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const unsigned above = keys[e] - cut.key;
      if ((valid >> e & 1U) != 0 && (kBits + kLow == 32 || above >> (kBits + kLow) % 32 == 0)) atomicAdd(&histogram[above >> kLow], 1U);
    }
    __syncthreads();
    const int lowest = kCount - kOwn * (thread + 1);  // thread 0 has the largest digits
    const unsigned sum = lowest >= 0 ? sum_of_bins<kOwn>(histogram + lowest, lane) : 0U;
    unsigned before = cut.above + prefix(sum, turn);
    if (before < k && before + sum >= k) {
      int bin = kOwn;
      unsigned inside = 0;
      while (before + inside < k) before += inside, inside = histogram[lowest + --bin];
      found[4 * turn] = static_cast<unsigned>(lowest + bin), found[4 * turn + 1] = before, found[4 * turn + 2] = inside;
    }
    __syncthreads();
    cut.key += found[4 * turn] << kLow;
    cut.above = found[4 * turn + 1];
    cut.inside = found[4 * turn + 2];
  }

  /// The exclusive prefix sum over the block. Turns alternate.
  __device__ unsigned prefix(unsigned value, int turn) const {
    unsigned* out = sums + turn % 2 * kWarps;
    const unsigned mine = warp_prefix(value, lane);
    if (lane == 31) out[warp] = mine;
    __syncthreads();
    return __reduce_add_sync(kAllLanes, lane < warp ? out[lane] : 0U) + mine - value;
  }

  /// The cut: keys above it are chosen, and the first of those equal to it, so that they are k.
  __device__ Cut find_cut(unsigned k) {
    Cut cut;
    const auto is_enough = [&] {  // all that are left: their other digits do not matter
      if (cut.above + cut.inside != k || cut.key == 0) return false;
      --cut.key;
      cut.above = k;
      return true;
    };
    find_digit<kFirstBits, 32 - kFirstBits>(bins, k, cut, 0);
    if (is_enough()) return cut;
    find_digit<kSecondBits, kThirdBits>(bins + (1 << kFirstBits), k, cut, 1);
    if (is_enough()) return cut;
    find_digit<kThirdBits, 0>(bins + (1 << kFirstBits) + (1 << kSecondBits), k, cut, 2);
    return cut;
  }

  /// Positions of the chosen, ascending.
  __device__ void write(const Cut& cut, unsigned k, std::int32_t* chosen) const {
    const unsigned ties = k - cut.above;
    unsigned above = 0, equal = 0, above_counts = 0, equal_counts = 0;  // a bit for each key; a byte for each load
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      above |= keys[e] > cut.key ? 1U << e : 0U;
      equal |= keys[e] == cut.key ? 1U << e : 0U;
    }
    above &= valid;
    equal = ties > 0 ? equal & valid : 0U;
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      above_counts |= static_cast<unsigned>(__popc(above >> (4 * j) & 0xfU)) << (8 * j);
      equal_counts |= static_cast<unsigned>(__popc(equal >> (4 * j) & 0xfU)) << (8 * j);
    }
    // Up to 128 in each byte.
    const unsigned above_ends = warp_prefix(above_counts, lane), equal_ends = ties > 0 ? warp_prefix(equal_counts, lane) : 0U;
    const unsigned above_warp = __shfl_sync(kAllLanes, above_ends, 31), equal_warp = __shfl_sync(kAllLanes, equal_ends, 31);
    unsigned* totals = sums + kWarps;  // turn 1: free if the last digit was the first or the third; else all have read it before the last barrier
    if (lane == 31) totals[warp] = sum_of_bytes(above_warp) | sum_of_bytes(equal_warp) << 16;
    __syncthreads();
    const unsigned before = __reduce_add_sync(kAllLanes, lane < warp ? totals[lane] : 0U);
    unsigned above_start = before & 0xffffU, equal_start = before >> 16;
#pragma unroll
    for (int j = 0; j < kVectors; ++j) {
      unsigned own_above = above_start + ((above_ends - above_counts) >> (8 * j) & 0xffU), own_equal = equal_start + ((equal_ends - equal_counts) >> (8 * j) & 0xffU);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool is_above = (above >> (4 * j + i) & 1U) != 0, is_equal = (equal >> (4 * j + i) & 1U) != 0;
        if (is_above || (is_equal && own_equal < ties)) chosen[own_above + min(own_equal, ties)] = position(j) + i;
        own_above += is_above ? 1U : 0U;
        own_equal += is_equal ? 1U : 0U;
      }
      above_start += above_warp >> (8 * j) & 0xffU;
      equal_start += equal_warp >> (8 * j) & 0xffU;
    }
  }
  __device__ static unsigned sum_of_bytes(unsigned bytes) {
    const unsigned pairs = (bytes & 0xff00ffU) + (bytes >> 8 & 0xff00ffU);
    return (pairs & 0xffffU) + (pairs >> 16);
  }
};

// A block a row of at most 16 · kThreads scores.
template <int kThreads, int kBlocks>
__global__ void __launch_bounds__(kThreads, kBlocks) top_positions_short_kernel(const TopPositionsArgs args) {
  using Row = ShortRow<kThreads>;
  __shared__ __align__(16) unsigned bins[Row::kBins];
  __shared__ unsigned sums[2 * Row::kWarps];
  __shared__ unsigned found[3 * 4];
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < Row::kBins / 4; i += kThreads) reinterpret_cast<uint4*>(bins)[i] = make_uint4(0, 0, 0, 0);
  Row row{.bins = bins, .sums = sums, .found = found, .thread = thread, .lane = thread % 32, .warp = thread / 32};

  begin_after_previous();
  const int length = args.last[blockIdx.x] + 1;
  std::int32_t* chosen = args.chosen + static_cast<std::int64_t>(blockIdx.x) * args.k;
  if (length <= args.k) {
    for (int i = thread; i < args.k; i += kThreads) chosen[i] = i < length ? i : -1;
    return;
  }
  row.load(args.scores + static_cast<std::int64_t>(blockIdx.x) * args.score_stride, length);
  __syncthreads();
  const unsigned k = static_cast<unsigned>(args.k);
  const Cut cut = row.find_cut(k);
  row.write(cut, k, chosen);
}

}  // namespace gauntlet::kernels::hopper
