#pragma once

// Two warpgroups of sparse_decode.cu that fetch rows of the cache and write them to shared memory as bf16.
//
// A block's 64 positions are shared out as 8 to a warp and one to four lanes, of which each takes 16 bytes of every 64. So a store of 8 lanes goes to
// all 32 banks (rows r and r + 1, whose even and odd units the swizzle swaps). Rows are found up to four blocks ahead, one by each lane; their latents come
// into registers a whole block ahead. Half a block is less than the cache's latency, and the block's 72 registers a thread hold no more.

#include "inference/cuda/hopper/sparse_decode_work.cuh"

namespace gauntlet::kernels::hopper {

/// 16 bytes of the cache; zeros if not `valid`. Read as data that nobody writes while the kernel runs, which holds although it may be placed early: between
/// the kernel that writes a pass's entries and this one there is always a launch that does not overlap (a product through cuBLASLt).
__device__ inline uint4 load_cache_16(const std::byte* from, bool valid) {
  uint4 out;
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %5, 0;\nmov.b32 %0, 0;\nmov.b32 %1, 0;\nmov.b32 %2, 0;\nmov.b32 %3, 0;\n"
      "@p ld.global.nc.L1::evict_last.v4.b32 {%0, %1, %2, %3}, [%4];\n}\n"
      : "=&r"(out.x), "=&r"(out.y), "=&r"(out.z), "=&r"(out.w)
      : "l"(from), "r"(static_cast<int>(valid)));
  return out;
}
__device__ inline void store_16(unsigned to, const uint4& value) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"r"(to), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w) : "memory");
}
/// Into shared memory asynchronously; zeros if not `valid`.
__device__ inline void copy_cache_16(unsigned to, const std::byte* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}

__device__ inline unsigned multiply_pair(unsigned a, unsigned b) {
  unsigned out = 0;
  asm("mul.rn.bf16x2 %0, %1, %2;\n" : "=r"(out) : "r"(a), "r"(b));
  return out;
}

/// What the four bf16 that four e4m3 values become are multiplied by: with its seven bits moved to the low end of bf16's exponent and the high end of its
/// mantissa, an e4m3 value is 2^120 times too small, subnormals included. NaN reads as 480: the scale of values that hold one is NaN (latents.cu).
inline constexpr unsigned kTwo120 = 0x7b807b80U;

__device__ inline uint2 widen_4(unsigned packed, unsigned factor_pair) {
  const unsigned high = (packed & 0x80808080U) | ((packed >> 4) & 0x07070707U), low = (packed << 4) & 0xf0f0f0f0U;
  return {multiply_pair(__byte_perm(low, high, 0x5140), factor_pair), multiply_pair(__byte_perm(low, high, 0x7362), factor_pair)};
}

/// The rows of a warp's positions, four blocks at a time: lane l has that of position l % 8 in block l / 8. In three steps, each of which loads what the
/// next needs.
class RowLookup {
 public:
  __device__ RowLookup(const SparseAttentionArgs& args, int warp, int lane, int parts, int groups, int items)
      : args_(args),
        slot_(lane / 8 * kBlock + warp * 8 + lane % 8),
        parts_(parts),
        groups_(groups),
        items_(items),
        item_(static_cast<int>(blockIdx.x) - static_cast<int>(gridDim.x)) {}

  /// The next blocks: of the next item, if this one has no more.
  __device__ void find_entry() {
    block_ += 4;
    if (block_ >= blocks_) {
      item_ += static_cast<int>(gridDim.x);
      block_ = 0;
      blocks_ = 0;
      if (item_ >= items_) return;
      const DecodeItem item(item_, parts_, groups_);
      const int token = args_.first + item.row;
      own_ = args_.batch.positions[token];
      pages_ = args_.batch.pages + static_cast<std::int64_t>(args_.batch.sequences[token]) * args_.batch.page_stride;
      first_ = item.part * args_.part;
      row_of_list_ = item.row;
      blocks_ = blocks_of(args_, item);
    }
    at_ = first_ + block_ * kBlock + slot_;
    entry_ = at_;
    if (args_.chosen != nullptr && at_ < args_.k) entry_ = args_.chosen[static_cast<std::int64_t>(row_of_list_) * args_.k + at_];
  }
  __device__ void find_page() {
    const bool valid = blocks_ > 0 && at_ < min(list_length(args_, own_), first_ + args_.part) && entry_ >= 0 && entry_ <= own_;
    page_ = valid ? pages_[entry_ / kPageTokens] : -1;
  }
  __device__ void find_row() {
    row_ = page_ < 0 ? -1 : page_ * kPageTokens + entry_ % kPageTokens;
    scales_ = load_cache_16(args_.latent_rows + static_cast<std::int64_t>(row_) * kRowBytes + kLatent, row_ >= 0);
  }
  /// Of the blocks that were found last: a lane's row, or -1, and its scales; how many blocks there are, up to 4, and 0 after the last item.
  __device__ int row() const { return row_; }
  __device__ uint4 scales() const { return scales_; }
  __device__ int count() const { return min(4, blocks_ - block_); }

 private:
  const SparseAttentionArgs& args_;
  int slot_, parts_, groups_, items_;
  int item_, block_ = 0, blocks_ = 0, first_ = 0, own_ = 0, row_of_list_ = 0;
  const std::int32_t* pages_ = nullptr;
  int at_ = 0, entry_ = 0, page_ = -1, row_ = -1;
  uint4 scales_;
};

__device__ inline void fill_keys(const SparseAttentionArgs& args, unsigned shared, std::byte* shared_bytes, int parts, int groups, int items) {
  const int thread = static_cast<int>(threadIdx.x) - 2 * kWarpgroup, warp = thread / 32, lane = thread % 32;
  const unsigned position = static_cast<unsigned>(warp * 8 + lane / 4), quarter = static_cast<unsigned>(lane % 4);
  const unsigned unit_a = swizzled(position, 2 * quarter), unit_b = swizzled(position, 2 * quarter + 1);

  RowLookup lookup(args, warp, lane, parts, groups, items);
  lookup.find_entry();
  lookup.find_page();
  lookup.find_row();
  // Of up to four blocks: each lane's row, its factors for the halves of the columns, whether factors are to be multiplied by 2^120 apart.
  int rows = 0, count = 0, found = 0;
  unsigned low_factors = 0, high_factors = 0;
  bool twice = false;
  const auto find = [&](int steps) {  // so many of the lookup's, of what comes after these blocks
    if (steps > 0 && found < 1) lookup.find_entry();
    if (steps > 1 && found < 2) lookup.find_page();
    if (steps > 2 && found < 3) lookup.find_row();
    found = max(found, steps);
  };
  const auto take_found = [&] {
    rows = lookup.row();
    count = lookup.count();
    found = 0;
    const uint4 bits = lookup.scales();
    const float scales[4] = {__uint_as_float(bits.x), __uint_as_float(bits.y), __uint_as_float(bits.z), __uint_as_float(bits.w)};
    low_factors = pack_bf16_pair(scales[0], scales[1]);
    high_factors = pack_bf16_pair(scales[2], scales[3]);
    twice = __any_sync(kAllLanes, fmaxf(fmaxf(fabsf(scales[0]), fabsf(scales[1])), fmaxf(fabsf(scales[2]), fabsf(scales[3]))) > 64.0f);
    if (!twice) {
      low_factors = multiply_pair(low_factors, kTwo120);
      high_factors = multiply_pair(high_factors, kTwo120);
    }
  };

  uint4 raw[2 * kHalfTiles];  // of the next block
  int row = __shfl_sync(kAllLanes, lookup.row(), lane / 4);
  const std::byte* from = args.latent_rows + static_cast<std::int64_t>(row) * kRowBytes + quarter * 16;
#pragma unroll
  for (int i = 0; i < 2 * kHalfTiles; ++i) raw[i ^ kHalfTiles] = load_cache_16(from + (i ^ kHalfTiles) * kColumns, row >= 0);  // the right half first
  take_found();

  unsigned parity = 1;
  int buffer = 0;
  const auto fill_block = [&](int block) {
    const int source = block * 8 + lane / 4;
    const unsigned factors[2] = {__shfl_sync(kAllLanes, low_factors, source), __shfl_sync(kAllLanes, high_factors, source)};
    const unsigned lanes_valid = __ballot_sync(kAllLanes, __shfl_sync(kAllLanes, rows, block * 8 + lane % 8) >= 0) & 0xffU;
    const bool last = block + 1 == count;
    const auto fill_half = [&](int half) {
#pragma unroll
      for (int tile = half * kHalfTiles; tile < (half + 1) * kHalfTiles; ++tile) {
        const unsigned factor = __byte_perm(factors[half], 0, tile % kHalfTiles < 2 ? 0x1010 : 0x3232), first_factor = twice ? kTwo120 : factor;
        const uint4 in = raw[tile];
        uint2 out[4] = {widen_4(in.x, first_factor), widen_4(in.y, first_factor), widen_4(in.z, first_factor), widen_4(in.w, first_factor)};
        if (twice) {
          for (auto& pairs : out) pairs = {multiply_pair(pairs.x, factor), multiply_pair(pairs.y, factor)};
        }
        const unsigned to = keys_at(shared, buffer, tile);
        store_16(to + unit_a, make_uint4(out[0].x, out[0].y, out[1].x, out[1].y));
        store_16(to + unit_b, make_uint4(out[2].x, out[2].y, out[3].x, out[3].y));
      }
      fence_async_shared();
      __syncwarp();
      if (lane == 0) arrive(full_barrier(shared, buffer, half));
      // Only now: the fence might wait for loads.
#pragma unroll
      for (int tile = half * kHalfTiles; tile < (half + 1) * kHalfTiles; ++tile) raw[tile] = load_cache_16(from + tile * kColumns, row >= 0);
    };

    wait(empty_barrier(shared, buffer, kRight), parity);
    copy_cache_16(keys_at(shared, buffer, kTiles - 1) + unit_a, row >= 0 ? from + quarter * 16 + kLatent + 16 : args.latent_rows, row >= 0);
    copy_cache_16(keys_at(shared, buffer, kTiles - 1) + unit_b, row >= 0 ? from + quarter * 16 + kLatent + 32 : args.latent_rows, row >= 0);
    arrive_after_copies(full_barrier(shared, buffer, kRotary));
    if (lane == 0) shared_bytes[DecodeShared::valid + buffer * 8 + warp] = static_cast<std::byte>(lanes_valid);
    row = __shfl_sync(kAllLanes, last ? lookup.row() : rows, last ? lane / 4 : source + 8);
    from = args.latent_rows + static_cast<std::int64_t>(row) * kRowBytes + quarter * 16;
    fill_half(kRight);
    wait(empty_barrier(shared, buffer, kLeft), parity);
    fill_half(kLeft);
    find(block + 2 >= count ? 3 : block + 1);  // the next rows are needed when the last block begins
    buffer ^= 1;
    if (buffer == 0) parity ^= 1;
  };
  while (count > 0) {
    if (count == 1) find(3);
    for (int block = 0; block < count; ++block) fill_block(block);
    take_found();
  }
}

}  // namespace gauntlet::kernels::hopper
