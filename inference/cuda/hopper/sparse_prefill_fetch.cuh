#pragma once

// The warpgroup of sparse_prefill that fetches: copies cache rows into shared memory, and finds out which.

#include "inference/cuda/hopper/sparse_prefill_work.cuh"

namespace gauntlet::kernels::hopper::prefill {

__device__ inline void copy_16_async(unsigned to, const std::byte* from, bool valid, std::uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;\n" ::"r"(to), "l"(from), "r"(valid ? 16 : 0), "l"(policy) : "memory");
}

/// Looks up the cache rows of pairs in three steps, each using what the step before loaded a pair earlier, so that a warp never waits for memory.
class Lister {
 public:
  __device__ Lister(const Problem& problem, std::byte* shared, unsigned base) : problem_(problem), shared_(shared), base_(base), walk_(problem) {}

  /// Loads the next pair's entries of its list.
  __device__ void load() {
    const SparseAttentionArgs& args = problem_.args;
    begin_ += kPair;
    if (begin_ >= item_.end) {
      left_ = left_ && walk_.next(item_);
      if (!left_) return;
      begin_ = item_.begin;
      own_ = args.batch.positions[item_.token];
      sequence_ = args.batch.sequences[item_.token];
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = begin_ + i * 32 + static_cast<int>(threadIdx.x % 32);
      entries_[i] = at >= item_.end ? -1 : args.chosen == nullptr ? at : args.chosen[static_cast<std::int64_t>(item_.row) * args.k + at];
    }
    loaded_ = true;
  }
  /// Loads the pages of the entries.
  __device__ void resolve() {
    resolved_ = loaded_;
    loaded_ = false;
    if (!resolved_) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) rows_[i] = entries_[i] < 0 || entries_[i] > own_ ? -1 : static_cast<int>(cache_row(problem_.args.batch, sequence_, entries_[i]));
  }
  /// Writes the rows where copiers and masks are read.
  __device__ void publish() {
    if (!resolved_) return;
    wait(base_ + At::kListFree + ring_.slot * 8, ring_.parity ^ 1);
    unsigned valid[4];
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      valid[i] = __ballot_sync(kAllLanes, rows_[i] >= 0);
      reinterpret_cast<int*>(shared_ + At::kRows)[ring_.slot * kPair + i * 32 + threadIdx.x % 32] = rows_[i];
    }
    if (threadIdx.x % 32 == 0) *reinterpret_cast<uint4*>(shared_ + At::kMasks + ring_.slot * 16) = make_uint4(valid[0], valid[1], valid[2], valid[3]);
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(base_ + At::kListed + ring_.slot * 8);
    ring_.advance();
  }

 private:
  const Problem& problem_;
  std::byte* shared_;
  unsigned base_;
  Walk walk_;
  RingAt ring_;
  Item item_;
  int begin_ = 0, own_ = 0, sequence_ = 0;
  int entries_[4], rows_[4];
  bool left_ = true, loaded_ = false, resolved_ = false;
};

/// All threads of the warpgroup. Eight of them copy the 128 bytes of a row in a chunk.
__device__ inline void fetch(const Problem& problem, std::byte* shared, unsigned base) {
  constexpr int kRowsAtOnce = kWarpgroup / 8, kPasses = kTile / kRowsAtOnce;
  const unsigned thread = threadIdx.x % kWarpgroup, unit = thread % 8, first = thread / 8;
  const bool lists = thread >= kWarpgroup - 32;
  const unsigned to = base + At::kKeys + swizzled(first, unit);
  const std::byte* from = problem.args.latent_rows + unit * 16;
  Lister lister(problem, shared, base);
  if (lists) {
    for (int i = 0; i < 2; ++i) {
      lister.load();
      lister.resolve();
      lister.publish();
    }
    lister.load();
    lister.resolve();
    lister.load();
  }
  Walk walk(problem);
  RingAt ring;
  Item item;
  unsigned parity = 0;
  while (walk.next(item)) {
    const int pairs = item.pairs();
    for (int pair = 0; pair < pairs; ++pair) {
      wait(base + At::kListed + ring.slot * 8, ring.parity);
      int rows[2][kPasses], all = 0;
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
        for (int pass = 0; pass < kPasses; ++pass) {
          rows[tile][pass] = reinterpret_cast<const int*>(shared + At::kRows)[ring.slot * kPair + static_cast<unsigned>(tile * kTile + pass * kRowsAtOnce) + first];
          all |= rows[tile][pass];
        }
      }
      __syncwarp();
      if (thread % 32 == 0) arrive_after(base + At::kListFree + ring.slot * 8, static_cast<unsigned>(all));
      ring.advance();
#pragma unroll
      for (int group = 0; group < kGroups; ++group) {
        wait(base + At::kFree + group * 8, parity ^ 1);
#pragma unroll
        for (int pass = 0; pass < kPasses; ++pass) {
          const int row = rows[group_tile(group)][pass];
          const std::byte* at = from + static_cast<std::int64_t>(max(row, 0)) * (kWidth * 2);
#pragma unroll
          for (int i = 0; i < group_chunks(group); ++i) {
            const int chunk = group_chunk(group, i);
            copy_16_async(to + static_cast<unsigned>((group_tile(group) * kChunks + chunk) * kChunkBytes + pass * kRowsAtOnce * 128), at + chunk * 128, row >= 0, kEvictLast);
          }
        }
        arrive_after_copies(base + At::kFull + group * 8);
      }
      parity ^= 1;
      if (lists) {
        lister.publish();  // two pairs ahead of the copies; what lay there has been read
        lister.resolve();
        lister.load();
      }
    }
  }
}

}  // namespace gauntlet::kernels::hopper::prefill
