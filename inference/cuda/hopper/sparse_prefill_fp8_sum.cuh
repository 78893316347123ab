#pragma once

// The two warpgroups of sparse_prefill_fp8.cu that sum: each widens half of the values' columns, and adds their products with the weights of 64 heads.

#include "inference/cuda/hopper/sparse_decode_keys.cuh"
#include "inference/cuda/hopper/sparse_decode_sums.cuh"
#include "inference/cuda/hopper/sparse_prefill_fp8_work.cuh"

namespace gauntlet::kernels::hopper::fp8_queries {

__device__ inline uint4 load_16(unsigned from) {
  uint4 out;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];\n" : "=r"(out.x), "=r"(out.y), "=r"(out.z), "=r"(out.w) : "r"(from) : "memory");
  return out;
}

/// A tile of keys to two tiles of values, by their offsets in shared memory. A lane has one position, of 16 that are its warp's, and 16 bytes at a time: so
/// eight lanes go to all 32 banks. Addresses differ from one of two by an exclusive or, and a constant.
__device__ inline void widen_tile(unsigned shared, std::byte* shared_bytes, int keys, int values, int scales) {
  const unsigned thread = thread_anew(), high = thread % 32 / 16, position = thread / 32 * 16 + thread % 16;
  const float scale = reinterpret_cast<const float*>(shared_bytes + scales)[position];
  const unsigned from = shared + swizzled(position, high), to = shared + swizzled(position, 2 * high);
  const auto load = [&](unsigned i) { return load_16((from ^ (i << 5)) + static_cast<unsigned>(keys)); };
  uint4 raw[2] = {load(0), load(1)};
  const bool twice = __any_sync(kAllLanes, fabsf(scale) > 64.0f);  // the product with 2^120 would be too large
  const unsigned factor = pack_bf16_pair(scale, scale), first_factor = twice ? kTwo120 : multiply_pair(factor, kTwo120);
#pragma unroll
  for (unsigned i = 0; i < 4; ++i) {
    uint2 out[4] = {widen_4(raw[i % 2].x, first_factor), widen_4(raw[i % 2].y, first_factor), widen_4(raw[i % 2].z, first_factor), widen_4(raw[i % 2].w, first_factor)};
    if (i < 2) raw[i] = load(i + 2);
    if (twice) {
      for (auto& pairs : out) pairs = {multiply_pair(pairs.x, factor), multiply_pair(pairs.y, factor)};
    }
    const unsigned tile = static_cast<unsigned>(values) + i / 2 * kTileBytes;
    store_16((to ^ (i % 2 << 6)) + tile, make_uint4(out[0].x, out[0].y, out[1].x, out[1].y));
    store_16((to ^ (i % 2 << 6) ^ 16U) + tile, make_uint4(out[2].x, out[2].y, out[3].x, out[3].y));
  }
}

/// A half of an item's results.
__device__ inline void write_half(const SparseAttentionArgs& args, const DecodeItem& item, const Lane& at, int column, const float (&sums)[2][64], const float (&totals)[2]) {
  const bool odd = at.lane % 2 == 1, high = at.lane % 4 >= 2;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = totals[r], inverse = total == 0 ? 0.0f : 1.0f / total;
    const std::int64_t head = static_cast<std::int64_t>(args.first + item.row) * args.heads + item.group * kHeads + at.row + 8 * r;
    Bf16* to = args.out + head * kLatent + column + at.lane % 4 * 8;
#pragma unroll
    for (int j = 0; j < 32; j += 4) {
      // Four lanes have two columns of each of four groups of eight; afterwards each has one group whole.
      unsigned words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &sums[j / 16][4 * (j % 16 + i) + 2 * r];
        words[i] = pack_bf16_pair(quotient(pair[0], total, inverse), quotient(pair[1], total, inverse));
      }
      const unsigned got_a = __shfl_xor_sync(kAllLanes, odd ? words[0] : words[1], 1), got_b = __shfl_xor_sync(kAllLanes, odd ? words[2] : words[3], 1);
      const uint2 a = odd ? make_uint2(got_a, words[1]) : make_uint2(words[0], got_a), b = odd ? make_uint2(got_b, words[3]) : make_uint2(words[2], got_b);
      const uint2 send = high ? a : b, keep = high ? b : a;
      const uint2 got = make_uint2(__shfl_xor_sync(kAllLanes, send.x, 2), __shfl_xor_sync(kAllLanes, send.y, 2));
      __stcs(reinterpret_cast<uint4*>(to + 8 * j), high ? make_uint4(got.x, got.y, keep.x, keep.y) : make_uint4(keep.x, keep.y, got.x, got.y));
    }
  }
}

/// `kWhich`: which of the two halves.
template <int kWhich>
__device__ inline void sum(const SparseAttentionArgs& args, unsigned shared, std::byte* shared_bytes, int groups, int items) {
  const Lane at;
  constexpr int kFirstTile = kWhich * kHalfKeyTiles, kValueBytes = 2 * kTileBytes;  // of the values of a tile of keys
  constexpr int kValues = At::values + kWhich * kHalfKeyTiles * kValueBytes;
  // Half of a block to values, in two steps, each of which writes over what earlier products read.
  const auto widen = [&]<int kOf>(int i) {
    const int tile = kFirstTile + i;
    widen_tile(shared, shared_bytes, At::keys + (kOf * kAllTiles + tile) * kTileBytes, kValues + i * kValueBytes, At::scales + (kOf * kKeyTiles + tile) * kBlock * 4);
  };
  const auto widened = [&](int of) {
    fence_async_shared();
    sync_threads(kValuesReady + kWhich, kWarpgroup);
    arrive_warp(shared + At::keys_free + static_cast<unsigned>(of * 8));
  };
  unsigned parity = 0, item_parity = 0;
  float sums[kHalfKeyTiles][64];
  // Adds a block to `sums`, and widens the next meanwhile, whose keys have `next_parity`.
  const auto sum_block = [&]<int kOf>(bool first, bool more, unsigned next_parity) {
    wait(shared + At::weights_full + kOf * 8, parity);
    const float* factors = reinterpret_cast<const float*>(shared_bytes + At::factors) + kOf * kHeads + at.row;
    const float low = factors[0], high = factors[8];
    if (!first && __any_sync(kAllLanes, low != 1.0f || high != 1.0f)) {
#pragma unroll
      for (int j = 0; j < 128; ++j) sums[j / 64][j % 64] *= j % 4 < 2 ? low : high;
    }
    const unsigned base = uniform(shared);
    const std::uint64_t weights = tile_along_k(base), values = tile_along_outer(base, kTileBytes);  // from which descriptors are a constant away
    products_begin();
#pragma unroll
    for (int i = 0; i < kHalfKeyTiles; ++i) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        multiply<Major::Outer>(sums[i], moved(weights, At::weights + kOf * kTileBytes + k * 32), moved(values, kValues + i * kValueBytes + k * 2048), !first || k > 0);
      }
      products_commit();
    }
    if (more) wait(shared + At::keys_full + (kOf ^ 1) * 8, next_parity);
    products_wait<1>();
    if (more) widen.template operator()<(kOf ^ 1)>(0);
    products_wait<0>();
    hold(sums[0]);
    hold(sums[1]);
    arrive_warp(shared + At::weights_free + kOf * 8);
    if (!more) return;
    widen.template operator()<(kOf ^ 1)>(1);
    widened(kOf ^ 1);
  };

  if (static_cast<int>(blockIdx.x) >= items) return;
  wait(shared + At::keys_full, 0);
  widen.template operator()<0>(0);
  widen.template operator()<0>(1);
  widened(0);
  for (int number = static_cast<int>(blockIdx.x); number < items; number += static_cast<int>(gridDim.x)) {
    const DecodeItem item(number, 1, groups);
    const int blocks = even_blocks_of(args, item);
    const bool last = number + static_cast<int>(gridDim.x) >= items;
    for (int block = 0; block < blocks; block += 2) {
      sum_block.template operator()<0>(block == 0, true, parity);
      sum_block.template operator()<1>(false, !last || block + 2 < blocks, parity ^ 1);
      parity ^= 1;
    }
    float totals[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float2* ends = reinterpret_cast<const float2*>(shared_bytes + At::ends) + static_cast<int>(item_parity) * 2 * kHeads + at.row + 8 * r;
      const float2 even = ends[0], odd = ends[kHeads];  // of which the latter's base is the sums'
      totals[r] = fmaf(even.x, even.y == odd.y ? 1.0f : exp2_fast(even.y - odd.y), odd.x);
      if (kWhich != 0 || args.lse == nullptr || at.lane % 4 != 0) continue;
      args.lse[static_cast<std::int64_t>(item.row) * args.heads + item.group * kHeads + at.row + 8 * r] = totals[r] == 0 ? INFINITY : (odd.y + log2f(totals[r])) * kLn2;
    }
    item_parity ^= 1;
    write_half(args, item, at, kWhich * kHalf, sums, totals);
  }
}

}  // namespace gauntlet::kernels::hopper::fp8_queries
