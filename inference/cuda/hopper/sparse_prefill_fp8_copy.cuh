#pragma once

// How a warpgroup of sparse_prefill_fp8.cu that scores gets its keys: every other block of each item. A warp has 16 of a block's 64 positions.

#include "inference/cuda/hopper/sparse_decode_keys.cuh"
#include "inference/cuda/hopper/sparse_prefill_fp8_work.cuh"

namespace gauntlet::kernels::hopper::fp8_queries {

/// Four bytes of the cache into shared memory asynchronously; zeros if not `valid`.
__device__ inline void copy_cache_4(unsigned to, const std::byte* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 4 : 0) : "memory");
}

/// Where rows lie is found in three steps, each of which asks for what the next needs and leaves it until the next block: a list's entry, its page, the row.
/// Entries and pages come through shared memory, asynchronously: a register that waits for memory would be waited for when it has to make room.
template <int kSelf>
class KeyCopier {
 public:
  __device__ KeyCopier(const SparseAttentionArgs& args, unsigned shared, std::byte* shared_bytes, int groups, int items)
      : args_(args),
        shared_(shared),
        shared_bytes_(shared_bytes),
        groups_(groups),
        items_(items),
        item_(static_cast<int>(blockIdx.x) - static_cast<int>(gridDim.x)) {
    find_next();
    find_next();
  }

  /// Whether there is a next block.
  __device__ bool more() const { return paged_; }
  /// Copies it; keys_full says when it is there.
  __device__ void copy() {
    const int own_row = find_next();
    const unsigned thread = thread_anew(), warp = thread / 32, lane = thread % 32, unit = lane % 8, first = warp * 16 + lane / 8;
    const unsigned valid = __ballot_sync(kAllLanes, own_row >= 0) & 0xffffU;
    if (lane == 0) *reinterpret_cast<std::uint16_t*>(shared_bytes_ + At::valid + kSelf * 8 + warp * 2) = static_cast<std::uint16_t>(valid);
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      const int row = __shfl_sync(kAllLanes, own_row, static_cast<int>(lane / 8 + 4 * i));
      const std::byte* from = args_.latent_rows + static_cast<std::int64_t>(max(row, 0)) * kRowBytes + unit * 16;
      const unsigned to = keys_at(shared_, kSelf, 0) + swizzled(first + 4 * i, unit);
#pragma unroll
      for (int tile = 0; tile < kAllTiles; ++tile) copy_cache_16(to + static_cast<unsigned>(tile * kTileBytes), from + tile * kCacheBlock + (tile == kKeyTiles ? 16 : 0), row >= 0);
    }
    // Lanes l and l + 16 have the same position, and two of its scales each.
    const std::byte* scales = args_.latent_rows + static_cast<std::int64_t>(max(own_row, 0)) * kRowBytes + kLatent + lane / 16 * 8;
    const unsigned to = shared_ + At::scales + ((kSelf * kKeyTiles + lane / 16 * 2) * kBlock + warp * 16 + lane % 16) * 4;
    copy_cache_4(to, scales, own_row >= 0);
    copy_cache_4(to + kBlock * 4, scales + 4, own_row >= 0);
    arrive_after_copies(shared_ + At::keys_full + kSelf * 8);
    arrive_warp(shared_ + At::keys_full + kSelf * 8);
  }

 private:
  /// Of the next block a lane's row, or -1.
  __device__ int find_next() {
    const unsigned thread = thread_anew(), position = thread / 32 * 16 + thread % 16, entry_at = At::entries + (kSelf * kBlock + position) * 4, page_at = entry_at + 2 * kBlock * 4;
    commit_copies();
    wait_copies<0>();
    __syncwarp();
    const int page = *reinterpret_cast<const int*>(shared_bytes_ + page_at);
    const int row = within_ < 0 ? -1 : page * kPageTokens + within_;

    const int at = block_ * kBlock + static_cast<int>(position), entry = args_.chosen == nullptr ? at : *reinterpret_cast<const int*>(shared_bytes_ + entry_at);
    const bool valid = listed_ && at < length_ && entry >= 0 && entry <= own_;
    paged_ = listed_;
    within_ = valid ? entry % kPageTokens : -1;
    __syncwarp();
    if (valid) copy_cache_4(shared_ + page_at, reinterpret_cast<const std::byte*>(pages_ + entry / kPageTokens), true);

    block_ += 2;
    if (block_ >= blocks_) {
      item_ += static_cast<int>(gridDim.x);
      listed_ = item_ < items_;
      block_ = kSelf;
      blocks_ = 0;
      if (!listed_) return row;
      const DecodeItem item(item_, 1, groups_);
      const int token = args_.first + item.row;
      list_row_ = item.row;
      own_ = args_.batch.positions[token];
      pages_ = args_.batch.pages + static_cast<std::int64_t>(args_.batch.sequences[token]) * args_.batch.page_stride;
      length_ = list_length(args_, own_);
      blocks_ = even_blocks_of(args_, item);
    }
    const int next = block_ * kBlock + static_cast<int>(position);
    if (args_.chosen != nullptr && next < length_) {
      const std::int32_t* list = args_.chosen + static_cast<std::int64_t>(list_row_) * args_.k;
      copy_cache_4(shared_ + entry_at, reinterpret_cast<const std::byte*>(list + next), true);
    }
    return row;
  }

  const SparseAttentionArgs& args_;
  unsigned shared_;
  std::byte* shared_bytes_;
  int groups_, items_;
  int item_, list_row_ = 0, block_ = 0, blocks_ = 0, own_ = 0, length_ = 0, within_ = -1;
  bool listed_ = false, paged_ = false;
  const std::int32_t* pages_ = nullptr;
};

}  // namespace gauntlet::kernels::hopper::fp8_queries
