#pragma once

// What the warpgroups of sparse_decode.cu share: the items of work, the shared memory, the barriers.

#include "inference/cuda/hopper/wgmma.cuh"
#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels::hopper {

inline constexpr int kLatent = 512, kRope = 64, kWidth = kLatent + kRope, kRowBytes = kLatent + 16 + 2 * kRope;
/// Positions that are worked on at a time, heads of a block of threads, columns of a tile in shared memory.
inline constexpr int kBlock = 64, kHeads = 64, kColumns = 64;
inline constexpr int kTiles = kWidth / kColumns, kHalfTiles = kLatent / kColumns / 2;
inline constexpr int kTileBytes = kBlock * kColumns * 2;
inline constexpr float kNothing = -INFINITY;

/// A block of keys lies in one of two buffers, each of which belongs to one of two warpgroups (0 and 1). The owner of a buffer scores its blocks; but the
/// sums over all blocks are shared out by columns: warpgroup 0 has the left half, 1 the right one. So the owner is done with its own half of the columns
/// before the other warpgroup is with the rest: buffers are filled and emptied in halves, `kOwn` (of the owner's columns) and then `kOthers`. The tile of
/// rotary keys, which holds the weights once the block is scored, is emptied with the latter, and has a barrier of its own when it is filled.
enum Half : int { kOwn = 0, kOthers = 1, kRotary = 2 };

/// Shared memory, in bytes from its start. Tiles are swizzled (wgmma.cuh).
struct DecodeShared {
  static constexpr int queries = 0;                              ///< kTiles tiles: 64 heads by 64 columns
  static constexpr int keys = queries + kTiles * kTileBytes;     ///< two buffers of kTiles tiles: 64 positions by 64 columns; the last: 64 heads by 64 weights too
  static constexpr int factors = keys + 2 * kTiles * kTileBytes; ///< float [2 buffers, 64]: what a head's sums so far are multiplied by
  static constexpr int bases = factors + 2 * kHeads * 4;         ///< float [2, 64]: logits (base 2) whose weight is 1; of even and odd items
  static constexpr int sums = bases + 2 * kHeads * 4;            ///< float [2, 2 warpgroups, 64]: sums of weights; of even and odd items
  static constexpr int valid = sums + 4 * kHeads * 4;            ///< two buffers of 64 bits: positions that are
  static constexpr int full = valid + 16;                        ///< barriers [buffer][3 halves]
  static constexpr int empty = full + 48;                        ///< [buffer][2 halves]
  static constexpr int queries_full = empty + 32;
  static constexpr int total = queries_full + 8;
};

/// Named barriers: weights of a buffer are there (two), within a warpgroup (two), the end of an item.
enum : int { kWeightsReady = 1, kWarpgroupScored = 3, kItemSummed = 5 };

__device__ inline unsigned full_barrier(unsigned shared, int buffer, int half) { return shared + DecodeShared::full + static_cast<unsigned>(buffer * 3 + half) * 8; }
__device__ inline unsigned empty_barrier(unsigned shared, int buffer, int half) { return shared + DecodeShared::empty + static_cast<unsigned>(buffer * 2 + half) * 8; }
__device__ inline unsigned keys_at(unsigned shared, int buffer, int tile) { return shared + DecodeShared::keys + static_cast<unsigned>((buffer * kTiles + tile) * kTileBytes); }

/// One part of a row's list for 64 of its heads. Groups of heads come first, so that those of one row run together and share its keys in the L2 cache.
struct DecodeItem {
  int row = 0, part = 0, group = 0;

  __device__ DecodeItem(int item, int parts, int groups) : row(item / groups / parts), part(item / groups % parts), group(item % groups) {}
};

/// Positions in the list of a token that stands at `own`.
__device__ inline int list_length(const SparseAttentionArgs& args, int own) {
  return args.chosen == nullptr ? own + 1 : args.form == ListForm::Packed ? min(args.k, own + 1) : args.k;
}

/// Blocks of positions of a part: an even number, two at least. So there is always something to write, and every item begins with warpgroup 0: whose turn it
/// is, and with it the order of sums, would otherwise depend on the items before. A block without a position adds zeros.
__device__ inline int blocks_of(const SparseAttentionArgs& args, const DecodeItem& item) {
  const bool known = args.chosen != nullptr && args.form == ListForm::Any;
  const int length = known ? args.k : list_length(args, args.batch.positions[args.first + item.row]);
  return 2 * max(1, (min(length - item.part * args.part, args.part) + 2 * kBlock - 1) / (2 * kBlock));
}

}  // namespace gauntlet::kernels::hopper
