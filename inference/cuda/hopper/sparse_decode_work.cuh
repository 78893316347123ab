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

/// The values of a block of keys come in two halves of 256 columns. The right half comes first: the left is in use for longer. The tile of rotary keys is
/// emptied with the right half, and has a barrier of its own when it is filled, since it is copied as it is.
enum Half : int { kLeft = 0, kRight = 1, kRotary = 2 };

/// Shared memory, in bytes from its start. Tiles are swizzled (wgmma.cuh).
struct DecodeShared {
  static constexpr int queries = 0;                                    ///< kTiles tiles: 64 heads by 64 columns
  static constexpr int keys = queries + kTiles * kTileBytes;           ///< two buffers of kTiles tiles: 64 positions by 64 columns
  static constexpr int weights = keys + 2 * kTiles * kTileBytes;       ///< 64 heads by 64 positions, bf16
  static constexpr int factors = weights + kTileBytes;                 ///< float [64]: what a head's sums so far are multiplied by
  static constexpr int totals = factors + kHeads * 4;                  ///< float [2, 64]: sums of a head's weights, of even and odd items
  static constexpr int valid = totals + 2 * kHeads * 4;                    ///< two buffers of 64 bits: positions that are
  static constexpr int full = valid + 16;                              ///< barriers [buffer][3 halves]
  static constexpr int empty = full + 48;
  static constexpr int queries_full = empty + 32;
  static constexpr int total = queries_full + 8;
};

/// Named barriers: a block's weights are there, have been read; what all weights add up to is there; within the warpgroup that scores.
enum : int { kWeightsReady = 1, kWeightsFree = 2, kTotalsReady = 3, kScored = 4 };

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

/// Blocks of positions of a part: one at least, so that there is always something to write.
__device__ inline int blocks_of(const SparseAttentionArgs& args, const DecodeItem& item) {
  const bool known = args.chosen != nullptr && args.form == ListForm::Any;
  const int length = known ? args.k : list_length(args, args.batch.positions[args.first + item.row]);
  return max(1, (min(length - item.part * args.part, args.part) + kBlock - 1) / kBlock);
}

}  // namespace gauntlet::kernels::hopper
