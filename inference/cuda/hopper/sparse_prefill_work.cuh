#pragma once

// Who does what in sparse_prefill: items of work, shared memory, barriers.
//
// An item is 64 heads of a token and one part of its list. A block has two warpgroups that compute, "left" and "right", and one that fetches.
// Positions come in pairs of tiles of 64. Left scores the even tile, right the odd one; they exchange weights through shared memory, and each sums
// the values of both tiles for its half of the columns. So every key lies once in shared memory, and while one warpgroup exponentiates the other
// multiplies.

#include "inference/cuda/hopper/wgmma_bf16.cuh"
#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels::hopper::prefill {

inline constexpr int kHeads = 64, kTile = 64, kPair = 2 * kTile;
inline constexpr int kWidth = 576, kLatent = 512, kHalf = kLatent / 2;
/// Tiles are stored as chunks of 64 columns: [64 rows, 128 bytes], swizzled. The last chunk is the rotary part.
inline constexpr int kChunks = kWidth / 64, kChunkBytes = kTile * 128, kRope = kChunks - 1;
inline constexpr int kRing = 3;
inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// Halves of a pair's tiles become free and are filled together, in this order. The rotary chunk of the odd tile makes room for the tile's weights,
/// which the left warpgroup reads last.
enum Group { kEvenLeft, kEvenRight, kOddRight, kOddLeft, kGroups };
__device__ constexpr int group_tile(int group) { return group < kOddRight ? 0 : 1; }
__device__ constexpr int group_first(int group) { return group == kEvenLeft || group == kOddLeft ? 0 : 4; }
__device__ constexpr int group_chunks(int group) { return group == kEvenRight || group == kOddLeft ? 5 : 4; }
__device__ constexpr int group_chunk(int group, int i) { return i == 4 ? kRope : group_first(group) + i; }

struct Problem {
  SparseAttentionArgs args;
  int parts = 1, groups = 1;  ///< groups of 64 heads
  int items = 0;
};

/// Shared memory in bytes from its start, which is aligned to 1,024.
struct At {
  static constexpr unsigned kQueries = 0;
  static constexpr unsigned kKeys = kChunks * kChunkBytes;                   ///< [2 tiles]
  static constexpr unsigned kEvenWeights = kKeys + 2 * kChunks * kChunkBytes;
  static constexpr unsigned kOddWeights = kKeys + (kChunks + kRope) * kChunkBytes;
  static constexpr unsigned kRows = kEvenWeights + kChunkBytes;              ///< [kRing, kPair] cache rows, -1 for none
  static constexpr unsigned kMasks = kRows + kRing * kPair * 4;              ///< [kRing, 2] bits of valid positions
  static constexpr unsigned kMaxima = kMasks + kRing * 16;                   ///< [2, kHeads] as even, then odd tiles leave them
  static constexpr unsigned kSums = kMaxima + 2 * kHeads * 4;                ///< [2, kHeads]
  static constexpr unsigned kFull = kSums + 2 * kHeads * 4;                  ///< [kGroups]
  static constexpr unsigned kFree = kFull + kGroups * 8;                     ///< [kGroups]
  static constexpr unsigned kListed = kFree + kGroups * 8;                   ///< [kRing]
  static constexpr unsigned kListFree = kListed + kRing * 8;                 ///< [kRing]
  static constexpr unsigned kQueriesFull = kListFree + kRing * 8;
  static constexpr unsigned kTotal = kQueriesFull + 8;
};

/// Named barriers: weights, maxima and sums of the even, the odd tile are in shared memory.
inline constexpr int kEvenReady = 1, kOddReady = 2;

struct Item {
  int row = 0, part = 0, head = 0, token = 0;
  int begin = 0, end = 0;  ///< entries of the list

  __device__ int pairs() const { return (end - begin + kPair - 1) / kPair; }
};

/// The items of a block in their order, those without entries left out.
class Walk {
 public:
  __device__ explicit Walk(const Problem& problem) : problem_(problem), index_(static_cast<int>(blockIdx.x)) { ahead_ = own_position(index_); }
  __device__ bool next(Item& item) {
    while (index_ < problem_.items) {
      item = describe(index_, ahead_);
      index_ += static_cast<int>(gridDim.x);
      ahead_ = own_position(index_);
      if (item.end > item.begin) return true;
    }
    return false;
  }

  __device__ int own_position(int index) const {
    const bool needed = problem_.args.chosen == nullptr || problem_.args.form == ListForm::Packed;
    return needed && index < problem_.items ? problem_.args.batch.positions[problem_.args.first + index / (problem_.parts * problem_.groups)] : 0;
  }
  __device__ Item describe(int index, int own_position) const {
    const SparseAttentionArgs& args = problem_.args;
    Item item;
    item.head = index % problem_.groups * kHeads;
    item.part = index / problem_.groups % problem_.parts;
    item.row = index / (problem_.groups * problem_.parts);
    item.token = args.first + item.row;
    const int length = args.chosen == nullptr ? own_position + 1 : args.form == ListForm::Packed ? min(args.k, own_position + 1) : args.k;
    item.begin = item.part * args.part;
    item.end = min(length, item.begin + args.part);
    return item;
  }

 private:
  const Problem& problem_;
  int index_;
  int ahead_;  ///< loaded one item ahead
};

/// Where in a ring of kRing entries something stands, and the parity of its round.
struct RingAt {
  unsigned slot = 0, parity = 0;
  __device__ void advance() {
    if (++slot == kRing) {
      slot = 0;
      parity ^= 1;
    }
  }
};

}  // namespace gauntlet::kernels::hopper::prefill
