#pragma once

// The two warpgroups of sparse_prefill_fp8.cu that score: logits of every other block each, and weights of them.

#include "inference/cuda/hopper/sparse_decode_sums.cuh"
#include "inference/cuda/hopper/sparse_prefill_fp8_copy.cuh"
#include "inference/cuda/hopper/wgmma_fp8.cuh"

namespace gauntlet::kernels::hopper::fp8_queries {

struct QueryMaps {
  CUtensorMap latent, rotary;  ///< [tokens · heads, 512] e4m3, [tokens · heads, 64] bf16
};

/// scores += products · the scales of the positions in a tile of keys.
__device__ inline void add_scaled(float (&scores)[32], const float (&products)[32], const float* scales) {
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const float2 scale = *reinterpret_cast<const float2*>(scales + 8 * j);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      scores[4 * j + 2 * r] = fmaf(products[4 * j + 2 * r], scale.x, scores[4 * j + 2 * r]);
      scores[4 * j + 2 * r + 1] = fmaf(products[4 * j + 2 * r + 1], scale.y, scores[4 * j + 2 * r + 1]);
    }
  }
}

/// The largest score of each of a thread's two heads. Positions that are not valid get none.
__device__ inline void find_largest(float (&scores)[32], const uint2& valid, int column, float (&largest)[2]) {
  if ((valid.x & valid.y) != 0xffffffffU) {
    const unsigned words[2] = {valid.x >> column, valid.y >> column};
#pragma unroll
    for (int i = 0; i < 32; ++i) scores[i] = (words[i / 16] >> (i / 4 % 4 * 8 + i % 2) & 1U) != 0 ? scores[i] : kNothing;
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float most = fmaxf(scores[2 * r], scores[2 * r + 1]);
#pragma unroll
    for (int j = 1; j < 8; ++j) most = fmaxf(most, fmaxf(scores[4 * j + 2 * r], scores[4 * j + 2 * r + 1]));
    most = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 1));
    largest[r] = fmaxf(most, __shfl_xor_sync(kAllLanes, most, 2));
  }
}

/// `kSelf`: which of the two, whose blocks come first (0) or second of every two.
template <int kSelf>
__device__ inline void score(const SparsePrefillFp8Args& problem, const QueryMaps& maps, unsigned shared, std::byte* shared_bytes, int groups, int items) {
  const SparseAttentionArgs& args = problem.attention;
  constexpr int kKeys = At::keys + kSelf * kAllTiles * kTileBytes;
  const auto barrier = [&](int first, int of) { return shared + static_cast<unsigned>(first + of * 8); };
  const auto floats = [&](int first, int of) { return reinterpret_cast<float*>(shared_bytes + first) + of * kHeads; };
  const auto ask_queries = [&](int number) {
    const DecodeItem item(number, 1, groups);
    const int head = (args.first + item.row) * args.heads + item.group * kHeads;
    arrive_expecting(shared + At::queries_full, kAllTiles * kTileBytes);
    for (int tile = 0; tile < kAllTiles; ++tile) {
      load_tile_2d(shared + At::queries + static_cast<unsigned>(tile * kTileBytes), tile < kKeyTiles ? &maps.latent : &maps.rotary, shared + At::queries_full,
                   tile < kKeyTiles ? tile * kCacheBlock : 0, head);
    }
  };

  KeyCopier<kSelf> copier(args, shared, shared_bytes, groups, items);
  if (kSelf == 0 && threadIdx.x % kWarpgroup < 32 && copier.more() && elect_one()) ask_queries(static_cast<int>(blockIdx.x));
  __syncwarp();
  if (copier.more()) copier.copy();
  unsigned parity = 0, item_parity = 0;
  for (int number = static_cast<int>(blockIdx.x); number < items; number += static_cast<int>(gridDim.x)) {
    const DecodeItem item(number, 1, groups);
    const int blocks = even_blocks_of(args, item), next = number + static_cast<int>(gridDim.x);
    const float* query_scales = problem.query_scales + static_cast<std::int64_t>(args.first + item.row) * args.heads + item.group * kHeads + Lane().row;
    const float scales[2] = {args.scale * kLog2E * query_scales[0], args.scale * kLog2E * query_scales[8]};
    float sum[2] = {0, 0};  // over a thread's own columns
    wait(shared + At::queries_full, item_parity);
    for (int block = kSelf; block < blocks; block += 2) {
      const bool last = block + 2 >= blocks;
      float scores[32], products[32];
      wait(barrier(At::keys_full, kSelf), parity);
      const float* key_scales = reinterpret_cast<const float*>(shared_bytes + At::scales) + kSelf * kKeyTiles * kBlock + thread_anew() % 4 * 2;
      const std::uint64_t tiles = tile_along_k(uniform(shared));  // from which all descriptors are a constant away
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int at = kKeyTiles * kTileBytes + k * 32;
        multiply<Major::K>(scores, moved(tiles, At::queries + at), moved(tiles, kKeys + at), k > 0);
      }
#pragma unroll
      for (int tile = 0; tile < kKeyTiles; ++tile) {
        if (tile > 0) products_begin();
#pragma unroll
        for (int k = 0; k < 4; ++k) multiply(products, moved(tiles, At::queries + tile * kTileBytes + k * 32), moved(tiles, kKeys + tile * kTileBytes + k * 32), k > 0);
        products_commit();
        products_wait<0>();
        if (tile == 0) hold(scores);
        hold(products);
        add_scaled(scores, products, key_scales + tile * kBlock);
      }
      const uint2 valid = *reinterpret_cast<const uint2*>(shared_bytes + At::valid + kSelf * 8);
      // Of a thread's two heads: row and row + 8. Of two columns in every eight: column and the next.
      const unsigned thread = thread_anew(), warp = thread / 32, lane = thread % 32, row = warp * 16 + lane / 4;
      const bool speaks = lane % 4 == 0;  // for the four lanes of a head
      if (last) {
        arrive_warp(shared + At::queries_free);
        if (kSelf == 1 && warp == 0 && next < items) {
          wait(shared + At::queries_free, item_parity);
          if (elect_one()) ask_queries(next);
          __syncwarp();
        }
      }

      float largest[2];
      find_largest(scores, valid, static_cast<int>(lane % 4 * 2), largest);
      // Scales and bits of valid positions have been read by now, since `largest` depends on them.
      __syncwarp();
      if (lane == 0) arrive_after(barrier(At::keys_free, kSelf), __float_as_uint(largest[0] + largest[1]));
      // What the other warpgroup, whose block was before, has come to. It has read what this one wrote last.
      wait(barrier(At::bases_full, kSelf ^ 1), kSelf == 0 ? parity ^ 1 : parity);
      float factors[2], bases[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float before = kSelf == 0 && block == 0 ? kNothing : floats(At::bases, kSelf ^ 1)[row + 8 * r];
        const float own = block == kSelf ? kNothing : floats(At::bases, kSelf)[row + 8 * r];
        const float highest = largest[r] * scales[r], now = highest > before + kAboveBase ? highest : before;
        bases[r] = now == kNothing ? 0.0f : now;
        factors[r] = exp2_fast(before - bases[r]);
        sum[r] *= exp2_fast(own - bases[r]);
        __syncwarp();
        if (speaks) floats(At::bases, kSelf)[row + 8 * r] = now;
      }
      arrive_warp(barrier(At::bases_full, kSelf));
      unsigned weights[4][4];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float added[2] = {0, 0};
#pragma unroll
        for (int j = 0; j < 8; ++j) {
          const float even = exp2_fast(fmaf(scores[4 * j + 2 * r], scales[r], -bases[r])), odd = exp2_fast(fmaf(scores[4 * j + 2 * r + 1], scales[r], -bases[r]));
          added[0] += even;
          added[1] += odd;
          weights[j / 2][j % 2 * 2 + r] = pack_bf16_pair(even, odd);
        }
        sum[r] += added[0] + added[1];
      }
      wait(barrier(At::weights_free, kSelf), parity ^ 1);
      const unsigned to = shared + At::weights + kSelf * kTileBytes;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        store_matrices(to + swizzled(warp * 16 + lane % 16, static_cast<unsigned>(2 * k) + lane / 16), weights[k][0], weights[k][1], weights[k][2],
                       weights[k][3]);
      }
      if (speaks) {
        floats(At::factors, kSelf)[row] = factors[0];
        floats(At::factors, kSelf)[row + 8] = factors[1];
      }
      if (last) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          float total = sum[r] + __shfl_xor_sync(kAllLanes, sum[r], 1);
          total += __shfl_xor_sync(kAllLanes, total, 2);
          float2* ends = reinterpret_cast<float2*>(shared_bytes + At::ends) + (static_cast<int>(item_parity) * 2 + kSelf) * kHeads + row;
          if (speaks) ends[8 * r] = make_float2(total, floats(At::bases, kSelf)[row + 8 * r]);
        }
      }
      fence_async_shared();
      arrive_warp(barrier(At::weights_full, kSelf));
      if (copier.more()) {
        wait(barrier(At::keys_free, kSelf), parity);
        copier.copy();
      }
      parity ^= 1;
    }
    item_parity ^= 1;
  }
}

}  // namespace gauntlet::kernels::hopper::fp8_queries
