#pragma once

// From a product of 64 keys and the heads of some queries to scores: relu, weights, the sum over heads.
//
// A score's sum has one order, however the heads lie in the product: four partial sums, of the heads with head % 8 / 2 = 0 to 3, each from the first head to the last; then
// (sum 0 + sum 2) + (sum 1 + sum 3). A product's columns 8 j + 2 l and 8 j + 2 l + 1 are with lane l of each four, so
//   where columns are heads (HeadColumns), each lane has one of a query's partial sums;
//   where the columns of four queries are mixed (MixedColumns), each lane has all heads of one query, and no sums go across lanes.

#include "inference/cuda/hopper/index_scores_fp8_schedule.cuh"

namespace gauntlet::kernels::hopper::index_fp8 {

// sum + relu(x) · weight, in two ways that give the same bits. Half of each was measured faster than either alone: ordinary instructions slow the tensor cores down
// when they write registers, which a comparison into a predicate does not.
__device__ inline float add_maximum(float sum, float x, float weight) { return fmaf(fmaxf(x, 0.0f), weight, sum); }
__device__ inline float add_above(float sum, float x, float weight) {
  asm("{\n.reg .pred above;\nsetp.gt.f32 above, %1, 0f00000000;\n@above fma.rn.f32 %0, %1, %2, %0;\n}\n" : "+f"(sum) : "f"(x), "f"(weight));
  return sum;
}

/// Sum of `kept` over two lanes, where the other lane keeps what this one gives.
__device__ inline float trade(bool upper, float low, float high, int distance) {
  const float kept = upper ? high : low, given = upper ? low : high;
  return kept + __shfl_xor_sync(kAllLanes, given, distance);
}

/// Of a product of 64 keys with kColumns heads, of kColumns / kHeads queries: a thread's weights, and the scores that it stores.
template <int kHeads, int kColumns>
class HeadColumns {
 public:
  static constexpr int kQueries = kColumns / kHeads;

  /// `weights` [kColumns] in shared memory, of the item's first queries.
  __device__ HeadColumns(const IndexScoresArgs& args, const Item<kHeads>& item, const float* weights) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int j = 0; j < kColumns / 8; ++j) {
      const float2 two = *reinterpret_cast<const float2*>(weights + 8 * j + lane % 4 * 2);
      weights_[2 * j] = two.x;
      weights_[2 * j + 1] = two.y;
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int query = 2 * i + (kQueries > 1 ? lane % 2 : 0);
      left_[i] = item.counts[query] - key();
      to_[i] = args.scores + (item.row + query) * args.score_stride + key();
    }
  }

  /// The key within a page whose scores this lane stores: the four lanes of a row share out rows and queries.
  __device__ static int key() {
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroupThreads;
    return thread / 32 * 16 + thread % 32 / 4 + 8 * (thread / 2 % 2);
  }

  /// Stores the scores of a page that begins at `position`; `scale`: of the lane's key.
  __device__ void store(const float (&c)[kColumns / 2], float scale, int position) const {
    const unsigned lane = threadIdx.x % 32;
    float sums[kQueries];
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      float low = 0, high = 0;
#pragma unroll
      for (int i = 0; i < kHeads / 8; ++i) {
        const int j = q * (kHeads / 8) + i;
        low = add_maximum(low, c[4 * j], weights_[2 * j]);
        high = add_maximum(high, c[4 * j + 2], weights_[2 * j]);
        low = add_maximum(low, c[4 * j + 1], weights_[2 * j + 1]);
        high = add_maximum(high, c[4 * j + 3], weights_[2 * j + 1]);
      }
      sums[q] = trade((lane & 2U) != 0, low, high, 2);
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const float total = kQueries > 1 ? trade((lane & 1U) != 0, sums[2 * i], sums[(2 * i + 1) % kQueries], 1) : sums[0] + __shfl_xor_sync(kAllLanes, sums[0], 1);
      if (position < left_[i]) to_[i][position] = total * scale;
    }
  }

 private:
  static constexpr int kOwn = (kQueries + 1) / 2;
  float weights_[kColumns / 4];
  float* to_[kOwn];
  int left_[kOwn];
};

/// Of products of 64 keys with kMixedHeads heads of four queries, the columns mixed: column 8 j + 2 l + i is head 2 j + i of query l.
template <int kHeads>
class MixedColumns {
 public:
  /// `weights` [.., kHeads] in shared memory, of the item's queries, of which `first` is the first of the four.
  __device__ MixedColumns(const IndexScoresArgs& args, const Item<kHeads>& item, const float* weights, int first) {
    const int query = first + static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int h = 0; h < kHeads; h += 4) {
      const float4 four = *reinterpret_cast<const float4*>(weights + query * kHeads + h);
      weights_[h] = four.x;
      weights_[h + 1] = four.y;
      weights_[h + 2] = four.z;
      weights_[h + 3] = four.w;
    }
    left_ = item.counts[query] - key();
    to_ = args.scores + (item.row + query) * args.score_stride + key();
  }

  /// The keys within a page whose scores this lane stores: this one and 8 further.
  __device__ static int key() {
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroupThreads;
    return thread / 32 * 16 + thread % 32 / 4;
  }

  /// Adds heads [kPart · kMixedHeads, ...).
  template <int kPart>
  __device__ void add(const float (&c)[kSetColumns / 2]) {
#pragma unroll
    for (int j = 0; j < kMixedHeads / 2; ++j) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        float& sum = sums_[row][j % 4];
        if (kPart == 0 && j < 4) sum = 0;
        sum = add_maximum(sum, c[4 * j + 2 * row], weights_[kPart * kMixedHeads + 2 * j]);
        sum = add_above(sum, c[4 * j + 2 * row + 1], weights_[kPart * kMixedHeads + 2 * j + 1]);
      }
    }
  }

  /// Stores the scores of a page that begins at `position`; they are too many for the L2 cache.
  __device__ void store(float scale_low, float scale_high, int position) const {
    float* to = to_ + position;
    if (position < left_) __stcs(to, total(0) * scale_low);
    if (position + 8 < left_) __stcs(to + 8, total(1) * scale_high);
  }

 private:
  __device__ float total(int row) const { return (sums_[row][0] + sums_[row][2]) + (sums_[row][1] + sums_[row][3]); }

  float weights_[kHeads];
  float sums_[2][4];
  float* to_;
  int left_;
};

}  // namespace gauntlet::kernels::hopper::index_fp8
