#pragma once

// The choice of the k best of one row by a cluster of blocks; what each block of it does, step by step.

#include "inference/cuda/hopper/ptx.cuh"

namespace gauntlet::kernels::hopper {

/// Larger for what is chosen earlier; equal for equal scores.
__device__ inline unsigned order_key(float score) {
  if (score != score) return 0;  // below -inf's key
  const unsigned bits = __float_as_uint(score + 0.0f);  // -0 becomes +0
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
}

/// Scores >= the result are those with order_key() >= key, for keys above 0. NaN where no score has such a key.
__device__ inline float score_of_key(unsigned key) {
  constexpr unsigned kMinusInfinityKey = 0x007fffffU;
  if (key <= kMinusInfinityKey) return __uint_as_float(0xff800000U);
  return __uint_as_float((key >> 31) != 0 ? key ^ 0x80000000U : ~key);
}

__device__ inline unsigned load_remote(unsigned address) {
  unsigned out = 0;
  asm volatile("ld.shared::cluster.u32 %0, [%1];\n" : "=r"(out) : "r"(address));
  return out;
}
__device__ inline void store_remote(unsigned address, unsigned value) { asm volatile("st.shared::cluster.u32 [%0], %1;\n" ::"r"(address), "r"(value) : "memory"); }

/// The inclusive prefix sum over the warp.
__device__ inline unsigned warp_prefix(unsigned value, int lane) {
  for (int step = 1; step < 32; step *= 2) {
    const unsigned below = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += below;
  }
  return value;
}

/// The sum of kBins numbers in shared memory, of which lane l has those from l · kBins on; in an order in which eight lanes meet all banks.
template <int kBins>
__device__ inline unsigned sum_of_bins(const unsigned* bins, int lane) {
  constexpr int kVectors = kBins / 4;
  unsigned sum = 0;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const uint4 four = reinterpret_cast<const uint4*>(bins)[(i + (kVectors < 8 ? lane / (8 / kVectors) : lane)) % kVectors];
    sum += four.x + four.y + four.z + four.w;
  }
  return sum;
}

/// What is known of the k-th candidate in order.
struct Cut {
  unsigned key = 0;      ///< its key, in the digits found so far; the others are 0
  unsigned above = 0;    ///< candidates with larger digits
  unsigned inside = 0;   ///< candidates with the same digits
  bool last_bin = false; ///< the last digit is that of the last bin, which takes in all larger ones
};

/// What scores a block keeps.
struct Bound {
  bool everything = true;  ///< NaN too
  unsigned key = 0;        ///< no kept score has a lower key
  float least = 0;         ///< otherwise: scores from here on
};

/// Blocks of a cluster at most.
inline constexpr int kSelectorBlocks = 8;

/// A block of a cluster of `blocks`, which has a part of one row.
template <int kThreads>
struct PositionSelector {
  /// 16-byte loads of a thread in a step, and scores.
  static constexpr int kVectors = 4, kEach = kVectors * 4;
  static constexpr int kWarps = kThreads / 32, kStep = kThreads * kEach;
  static constexpr int kBins = 2048;
  static constexpr int kSample = 4096, kSampleBits = 13, kSampleBins = 1 << kSampleBits;

  // Shared memory
  float* ring;              // [stages, kStep]
  unsigned* keys;           // [capacity] of candidates, in ascending order of position
  unsigned* positions;      // [capacity]
  unsigned* bins;           // [kBins], zero when not in use
  unsigned* sums;           // [2, kWarps]
  unsigned long long* full; // [stages]
  unsigned* found;          // [4]
  unsigned* counts;         // [3, kSelectorBlocks], candidates of the cluster's blocks

  const float* scores;      // of this block's part of the row
  int first, own;           // its positions: [first, first + own)
  unsigned k;
  int rank, blocks, stages, capacity;
  int thread, lane, warp;
  int turn = 0;             // of `sums`
  int read = 0;             // steps read from the ring so far
  int count = 0;            // candidates

  /// The exclusive prefix sum over the block, and the sum of all in `total`. One __syncthreads().
  __device__ unsigned prefix(unsigned value, unsigned& total) {
    unsigned* out = sums + turn * kWarps;
    turn ^= 1;
    const unsigned mine = warp_prefix(value, lane);
    if (lane == 31) out[warp] = mine;
    __syncthreads();
    const unsigned of_lane = lane < kWarps ? out[lane] : 0U;
    total = __reduce_add_sync(kAllLanes, of_lane);
    return __reduce_add_sync(kAllLanes, lane < warp ? of_lane : 0U) + mine - value;
  }
  __device__ void clear(unsigned* what, int words) const {
    for (int i = thread; i < words / 4; i += kThreads) reinterpret_cast<uint4*>(what)[i] = make_uint4(0, 0, 0, 0);
  }
  __device__ void cluster_sync() const {
    cluster_arrive();
    cluster_wait();
  }

  // ---- The ring

  __device__ int steps() const { return (own + kStep - 1) / kStep; }
  /// Asks for a step of the part, as the `at`-th that the ring takes.
  __device__ void load_step(int step, int at) const {
    const unsigned barrier = shared_address(full + at % stages), bytes = static_cast<unsigned>(min(kStep, own - step * kStep) + 3) / 4 * 16;
    arrive_expecting(barrier, bytes);
    copy_bulk(shared_address(ring + at % stages * kStep), scores + static_cast<std::int64_t>(step) * kStep, bytes, barrier);
  }
  /// Asks for the first steps, from `begin` to `end` or the ring's end, before collect().
  __device__ void start_loads(int begin, int end) const {
    if (thread != 0) return;
    for (int step = begin; step < min(min(steps(), stages), end); ++step) load_step(step, read + step);
  }
  __device__ void wait_step() const { wait(shared_address(full + read % stages), static_cast<unsigned>(read / stages) & 1U); }

  // ---- Bounds

  static constexpr int kPieces = kSample / 4 / kThreads;
  struct Pieces {
    float4 four[kPieces];
  };
  /// This thread's share of kSample scores spread over the row, eight side by side: what memory reads at least.
  __device__ Pieces load_sample(const float* row, int length) const {
    Pieces out;
    for (int i = 0; i < kPieces; ++i) {
      const int half = i * kThreads + thread;
      const std::int64_t eight = static_cast<std::int64_t>(half / 2) * (length / 8) / (kSample / 8);
      out.four[i] = *reinterpret_cast<const float4*>(row + eight * 8 + half % 2 * 4);
    }
    return out;
  }
  /// A bound that a few more than k of the row's `length` scores lie above, if the sample is like the rest. `histogram` [kSampleBins] of zeros.
  __device__ Bound bound_of_sample(const Pieces& pieces, int length, unsigned* histogram) {
    for (int i = 0; i < kPieces; ++i) {
      const float each[4] = {pieces.four[i].x, pieces.four[i].y, pieces.four[i].z, pieces.four[i].w};
      for (int j = 0; j < 4; ++j) atomicAdd(&histogram[order_key(each[j]) >> (32 - kSampleBits)], 1U);
    }
    start_loads(1, stages);
    __syncthreads();
    // So many of the sample are among the k best on average, and four standard deviations more.
    const float mean = static_cast<float>(k) * static_cast<float>(kSample) / static_cast<float>(length);
    const unsigned goal = min(static_cast<unsigned>(mean + 4.0f * sqrtf(mean)) + 4U, static_cast<unsigned>(kSample));
    constexpr int kOwn = kSampleBins / kThreads;
    const int lowest = kSampleBins - kOwn * (thread + 1);  // thread 0 has the largest scores
    unsigned total = 0;
    const unsigned sum = sum_of_bins<kOwn>(histogram + lowest, lane);
    unsigned before = prefix(sum, total);
    if (before < goal && before + sum >= goal) {
      int bin = kOwn;
      while (before < goal) before += histogram[lowest + --bin];
      *found = static_cast<unsigned>(lowest + bin);
    }
    __syncthreads();
    const unsigned key = *found << (32 - kSampleBits);
    return {.everything = key == 0, .key = key, .least = score_of_key(key)};
  }

  // ---- The cut

  /// Finds the digit from bit `low` on of the cut among `many` keys, which hold at least k. Keys count if they are not below cut.key and at most `span` above it.
  __device__ void find_digit(const unsigned* among, int many, unsigned span, int low, Cut& cut) {
    constexpr int kOwn = kBins / kThreads;
    for (int at = thread * 4; at < many; at += kThreads * 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(among + at);
      const unsigned each[4] = {four.x - cut.key, four.y - cut.key, four.z - cut.key, four.w - cut.key};
      for (int i = 0; i < 4; ++i) {
        if (at + i < many && each[i] <= span) atomicAdd(&bins[min(each[i] >> low, kBins - 1U)], 1U);
      }
    }
    __syncthreads();
    const int lowest = kBins - kOwn * (thread + 1);  // thread 0 has the largest digits
    unsigned each[kOwn], sum = 0, total = 0;
    for (int i = 0; i < kOwn; i += 2) {
      const uint2 two = *reinterpret_cast<const uint2*>(bins + lowest + i);
      each[i] = two.x, each[i + 1] = two.y;
      sum += two.x + two.y;
      *reinterpret_cast<uint2*>(bins + lowest + i) = make_uint2(0, 0);
    }
    unsigned before = cut.above + prefix(sum, total);
    for (int i = kOwn - 1; i >= 0; --i) {
      if (before < k && before + each[i] >= k) found[0] = static_cast<unsigned>(lowest + i), found[1] = before, found[2] = each[i];
      before += each[i];
    }
    __syncthreads();
    cut.key += found[0] << low;
    cut.above = found[1];
    cut.inside = found[2];
    cut.last_bin = found[0] == kBins - 1;
  }
  /// The cut, or a lower one that at most `goal` (at least k) candidates lie above. No key is below `least`.
  __device__ Cut find_cut(const unsigned* among, int many, unsigned goal, unsigned least) {
    constexpr unsigned kAll = ~0U;
    const auto is_enough = [&](Cut& cut) {  // the other digits do not matter
      if (cut.above + cut.inside > goal || cut.key == 0) return false;
      --cut.key;
      cut.above += cut.inside;
      return true;
    };
    constexpr int kNear = 10;  // the cut most often lies this near: bins of 2^10 keys from `least` on
    if (least > 0) {
      Cut cut{.key = least};
      find_digit(among, many, kAll, kNear, cut);
      if (!cut.last_bin) {
        if (!is_enough(cut)) find_digit(among, many, (1U << kNear) - 1, 0, cut), is_enough(cut);
        return cut;
      }
    }
    Cut cut;
    find_digit(among, many, kAll, 21, cut);
    if (is_enough(cut)) return cut;
    find_digit(among, many, (1U << 21) - 1, 10, cut);
    if (is_enough(cut)) return cut;
    find_digit(among, many, (1U << 10) - 1, 0, cut);
    is_enough(cut);
    return cut;
  }

  /// Calls emit(index, position, key) for candidates above `key` and for those equal to it that come before the `ties`-th of the row, in order;
  /// `above` and `equal` candidates of other blocks come before. A thread may overwrite what has been emitted up to its own.
  template <class Emit>
  __device__ void keep_best(unsigned key, unsigned ties, unsigned above, unsigned equal, Emit emit) {
    for (int base = 0; base < count; base += kThreads * 4) {
      const int at = base + thread * 4;
      unsigned run_keys[4] = {}, run_positions[4] = {}, sum = 0;  // above in the low half, equal in the high half
      if (at < count) {
        const uint4 a = *reinterpret_cast<const uint4*>(keys + at), b = *reinterpret_cast<const uint4*>(positions + at);
        run_keys[0] = a.x, run_keys[1] = a.y, run_keys[2] = a.z, run_keys[3] = a.w;
        run_positions[0] = b.x, run_positions[1] = b.y, run_positions[2] = b.z, run_positions[3] = b.w;
        for (int i = 0; i < 4; ++i) {
          if (at + i < count) sum += run_keys[i] > key ? 1U : run_keys[i] == key ? 0x10000U : 0U;
        }
      }
      unsigned total = 0;
      const unsigned before = prefix(sum, total);
      unsigned own_above = above + (before & 0xffffU), own_equal = equal + (before >> 16);
      for (int i = 0; i < 4; ++i) {
        const bool is_above = at + i < count && run_keys[i] > key, is_equal = at + i < count && run_keys[i] == key;
        if (is_above || (is_equal && own_equal < ties)) emit(own_above + min(own_equal, ties), run_positions[i], run_keys[i]);
        own_above += is_above ? 1U : 0U;
        own_equal += is_equal ? 1U : 0U;
      }
      above += total & 0xffffU;
      equal += total >> 16;
    }
  }

  /// Drops candidates that are not among the k best, until at most `goal` (at least k) are left. Returns what can still be among them.
  __device__ Bound drop_candidates(unsigned goal) {
    __syncthreads();
    const Cut cut = find_cut(keys, count, goal, 0);
    const unsigned ties = cut.above < k ? k - cut.above : 0;
    keep_best(cut.key, ties, 0, 0, [&](unsigned index, unsigned position, unsigned key) {
      keys[index] = key;
      positions[index] = position;
    });
    count = static_cast<int>(cut.above + ties);
    __syncthreads();
    return {.everything = false, .key = cut.key + 1, .least = score_of_key(cut.key + 1)};
  }

  // ---- Candidates

  /// Makes candidates of the part's scores that `bound` keeps.
  __device__ void collect(Bound bound) {
    const int all_steps = steps();
    for (int step = 0; step < all_steps; ++step, ++read) {
      wait_step();
      const int offset = (warp * 32 + lane) * kEach, left = own - step * kStep - offset;  // a thread's scores lie side by side
      const float* from = ring + read % stages * kStep + offset;
      unsigned kept = 0;  // a bit for each score
      for (int j = 0; j < kVectors; ++j) {
        const int vector = (j + lane / (8 / kVectors)) % kVectors;  // so that eight lanes meet all banks
        const float4 four = *reinterpret_cast<const float4*>(from + vector * 4);
        const unsigned bits = (four.x >= bound.least ? 1U : 0U) | (four.y >= bound.least ? 2U : 0U) | (four.z >= bound.least ? 4U : 0U) | (four.w >= bound.least ? 8U : 0U);
        kept |= bits << (4 * vector);
      }
      if (bound.everything) kept = (1U << kEach) - 1;
      if (left < kEach) kept &= (1U << max(left, 0)) - 1;
      unsigned total = 0;
      const unsigned before = prefix(static_cast<unsigned>(__popc(kept)), total);  // and all threads are done with the step before
      if (thread == 0 && step > 0 && step + stages - 1 < all_steps) load_step(step + stages - 1, read + stages - 1);
      const int position = first + step * kStep + offset;
      for (unsigned done = 0; done < total;) {  // once, most often
        const unsigned fit = min(total - done, static_cast<unsigned>(capacity - count));
        unsigned at = before - done;
        for (unsigned bits = kept; bits != 0; bits &= bits - 1, ++at) {
          if (at >= fit) continue;
          const int score = __ffs(static_cast<int>(bits)) - 1;
          keys[static_cast<unsigned>(count) + at] = order_key(from[score]);
          positions[static_cast<unsigned>(count) + at] = static_cast<unsigned>(position + score);
        }
        count += static_cast<int>(fit);
        done += fit;
        if (done < total) bound = drop_candidates((k + static_cast<unsigned>(capacity)) / 2);
      }
    }
    __syncthreads();
  }

  /// The number of candidates in the cluster and, in `lower`, in the blocks of lower rank. Each slot of counts can be used once.
  __device__ unsigned count_cluster(int slot, unsigned& lower) const {
    if (blocks == 1) return static_cast<unsigned>(count);
    unsigned* all = counts + slot * kSelectorBlocks;
    if (thread < blocks) store_remote(map_shared(shared_address(all + rank), static_cast<unsigned>(thread)), static_cast<unsigned>(count));
    cluster_sync();
    const unsigned of_lane = lane < blocks ? all[lane] : 0U;
    lower = __reduce_add_sync(kAllLanes, lane < rank ? of_lane : 0U);
    return __reduce_add_sync(kAllLanes, of_lane);
  }
  /// The keys of all the cluster's candidates, `total`, in ascending order of position.
  __device__ void gather_keys(int slot, unsigned total, unsigned* gathered) const {
    constexpr unsigned kBatch = 4;
    const unsigned own_keys = shared_address(keys), *all = counts + slot * kSelectorBlocks;
    unsigned ends[kSelectorBlocks - 1], end = 0;
    for (int r = 0; r < kSelectorBlocks - 1; ++r) ends[r] = end += r < blocks ? all[r] : 0U;
    for (unsigned base = static_cast<unsigned>(thread); base < total; base += kBatch * kThreads) {
      unsigned values[kBatch];
      for (unsigned j = 0; j < kBatch; ++j) {
        const unsigned at = min(base + j * kThreads, total - 1);
        unsigned from = 0, start = 0;
        for (int r = 0; r < kSelectorBlocks - 1; ++r) {
          if (at >= ends[r]) start = ends[r], ++from;
        }
        values[j] = load_remote(map_shared(own_keys + (at - start) * 4, from));
      }
      for (unsigned j = 0; j < kBatch; ++j) {
        if (base + j * kThreads < total) gathered[base + j * kThreads] = values[j];
      }
    }
    __syncthreads();
  }
};

}  // namespace gauntlet::kernels::hopper
