#pragma once

// What the warpgroups of sparse_prefill_fp8.cu share: the shared memory, the barriers.
//
// Two warpgroups score, blocks of 64 positions in turn: each copies its block's rows of the cache as they are, multiplies the queries by them, and makes
// weights of the logits. Two sum: each widens half of the columns of every block to bf16 values, and adds their products with the weights. So all four have
// about as much to do, and while one waits for memory or the matrix unit the others work. Items are sparse_decode's, of one part.

#include "inference/cuda/hopper/sparse_decode_work.cuh"
#include "inference/cuda/hopper/sparse_prefill_fp8.h"

namespace gauntlet::kernels::hopper::fp8_queries {

/// Tiles are 64 rows of 128 bytes, swizzled (wgmma.cuh): 128 columns of e4m3, which share a scale, or 64 of bf16. A block's keys are kKeyTiles of the former
/// and one of the latter, the rotary one; so are the queries.
inline constexpr int kKeyTiles = kLatent / kCacheBlock, kAllTiles = kKeyTiles + 1;
/// Columns that a warpgroup sums, and tiles of keys that it widens.
inline constexpr int kHalf = kLatent / 2, kHalfKeyTiles = kKeyTiles / 2;

/// Shared memory, in bytes from its start. What comes in twos is of the two warpgroups that score, if not said otherwise.
struct At {
  static constexpr int queries = 0;                                    ///< kAllTiles tiles of 64 heads
  static constexpr int keys = queries + kAllTiles * kTileBytes;        ///< 2 · kAllTiles tiles of 64 positions, as the cache holds them
  static constexpr int weights = keys + 2 * kAllTiles * kTileBytes;    ///< two tiles: 64 heads by 64 positions, bf16
  static constexpr int values = weights + 2 * kTileBytes;              ///< of each warpgroup that sums: what kHalfKeyTiles tiles of keys are as bf16
  static constexpr int scales = values + 4 * kHalfKeyTiles * kTileBytes;  ///< float [2, kKeyTiles, 64 positions]
  static constexpr int factors = scales + 2 * kKeyTiles * kBlock * 4;  ///< float [2, 64 heads]: what sums so far are multiplied by
  static constexpr int bases = factors + 2 * kHeads * 4;               ///< float [2, 64]: logits (base 2) whose weight is 1, after the warpgroup's last block
  static constexpr int ends = bases + 2 * kHeads * 4;                  ///< float2 [even and odd items, 2, 64]: sums of an item's weights, and their bases
  static constexpr int entries = ends + 4 * kHeads * 8;                ///< int [2, 64 positions]: a list's entries, then as many: their pages
  static constexpr int valid = entries + 4 * kBlock * 4;               ///< 64 bits twice: positions that are
  static constexpr int keys_full = valid + 16, keys_free = keys_full + 16;  ///< barriers, two each
  static constexpr int bases_full = keys_free + 16;
  static constexpr int weights_full = bases_full + 16, weights_free = weights_full + 16;
  static constexpr int queries_full = weights_free + 16, queries_free = queries_full + 8;
  static constexpr int total = queries_free + 8;
};
static_assert(At::total <= 227 * 1024);

/// Blocks of positions of an item: an even number, so that every item begins with the same warpgroup. A block without a position adds zeros.
__device__ inline int even_blocks_of(const SparseAttentionArgs& args, const DecodeItem& item) { return (blocks_of(args, item) + 1) / 2 * 2; }

/// Named barriers: of the warpgroups that sum, each within itself.
enum : int { kValuesReady = 1 };

__device__ inline unsigned keys_at(unsigned shared, int of, int tile) { return shared + At::keys + static_cast<unsigned>((of * kAllTiles + tile) * kTileBytes); }

/// The thread's number within its warpgroup, read anew: so the compiler computes what depends on it where it is needed, rather than keep it.
__device__ inline unsigned thread_anew() {
  unsigned thread = 0;
  asm volatile("mov.u32 %0, %%tid.x;\n" : "=r"(thread));
  return thread % kWarpgroup;
}
/// A value that all lanes have, known to be so: descriptors made of it are computed once for the warp.
__device__ inline unsigned uniform(unsigned value) { return __shfl_sync(kAllLanes, value, 0); }
/// The warp has done what the barrier waits for.
__device__ inline void arrive_warp(unsigned barrier) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(barrier);
}

}  // namespace gauntlet::kernels::hopper::fp8_queries
