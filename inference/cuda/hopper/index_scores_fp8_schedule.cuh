#pragma once

// How the blocks of index_scores_fp8 share out their work. A run is up to kRows rows of one sequence that follow each other, cut at multiples of kRows; it is multiplied with
// tiles of 128 positions. All tiles of all runs, in the order of rows and positions and weighted by what they cost, are one line that the blocks divide into equal parts.
// Which block computes a score does not show in it.

#include <cstdint>

#include "inference/cuda/common.cuh"
#include "inference/cuda/index_scores.h"

namespace gauntlet::kernels::hopper::index_fp8 {

inline constexpr int kKeyBytes = 128;
inline constexpr int kTilePages = 2;
inline constexpr int kTilePositions = kTilePages * kPageTokens;
/// Columns of a product: the heads of several queries, a set. An item holds so many sets.
inline constexpr int kSetColumns = 128, kSets = 4;
/// Heads of each of the four queries of a set with mixed columns.
inline constexpr int kMixedHeads = kSetColumns / 4;
inline constexpr int kWarpgroupThreads = 128;
/// What a tile costs. With half the sets or fewer, reading the keys takes longer than multiplying them.
inline constexpr int kLightCost = 5, kFullCost = 8;
/// Items whose queries are in shared memory at a time.
inline constexpr int kSlots = 2;

/// What the loading warp tells the warpgroups: multiply `rows` queries with tiles [begin, end). No rows: the end.
template <int kHeads>
struct Item {
  static constexpr int kRows = kSets * kSetColumns / kHeads;
  /// With so many rows or fewer the columns of a product are heads, else they are mixed.
  static constexpr int kUnmixedRows = kSetColumns / kHeads;
  int row, rows, begin, end;
  int counts[kRows];  ///< positions that each of the queries needs scores of
};

struct Run {
  int row = 0, rows = 0;
  int lane = 0;  ///< that holds its first row
  int sequence = 0;
  int pages = 0;
};

/// A block's part of the line: [low, high). It begins in the rows' group `group`, which begins at `at`.
struct Share {
  std::int64_t low, high, at;
  int group;
};

__device__ inline int needed(const IndexScoresArgs& args, int row) {
  const int count = args.batch.positions[args.first + row] + 1;
  return count <= args.skip_up_to ? 0 : count;
}

__device__ inline int tiles_of(int positions) { return (positions + kTilePositions - 1) / kTilePositions; }

template <int kHeads>
__device__ int tile_cost(int rows) {
  return rows <= Item<kHeads>::kRows / 2 ? kLightCost : kFullCost;
}

/// Cost of a group of kRows rows. All of its loads are under way at once.
template <int kHeads>
__device__ std::int64_t group_cost(const IndexScoresArgs& args, int group) {
  constexpr int kRows = Item<kHeads>::kRows;
  const int first = group * kRows, there = min(kRows, args.rows - first);
  int sequences[kRows], counts[kRows];
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    sequences[i] = i < there ? args.batch.sequences[args.first + first + i] : -1;
    counts[i] = i < there ? needed(args, first + i) : 0;
  }
  std::int64_t cost = 0;
  int rows = 0, most = 0;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    ++rows;
    most = max(most, counts[i]);
    if (i + 1 < kRows && sequences[i + 1] == sequences[i]) continue;
    cost += static_cast<std::int64_t>(tiles_of(most)) * tile_cost<kHeads>(rows);
    rows = most = 0;
  }
  return cost;
}

/// Every thread comes by; `share` is valid after the next barrier. `sums` holds one number for each warp.
template <int kHeads, int kThreads>
__device__ void find_share(const IndexScoresArgs& args, Share& share, std::int64_t* sums) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int groups = (args.rows + Item<kHeads>::kRows - 1) / Item<kHeads>::kRows, each = (groups + kThreads - 1) / kThreads;
  const int begin = min(thread * each, groups), end = min(begin + each, groups);
  std::int64_t own = 0;
  for (int group = begin; group < end; ++group) own += group_cost<kHeads>(args, group);
  std::int64_t up_to = own;
  for (int step = 1; step < 32; step *= 2) {
    const std::int64_t before = __shfl_up_sync(kAllLanes, up_to, static_cast<unsigned>(step));
    if (lane >= step) up_to += before;
  }
  if (lane == 31) sums[warp] = up_to;
  __syncthreads();
  std::int64_t at = up_to - own, total = 0;
  for (int w = 0; w < kThreads / 32; ++w) {
    if (w < warp) at += sums[w];
    total += sums[w];
  }
  const std::int64_t low = total * blockIdx.x / gridDim.x, high = total * (blockIdx.x + 1) / gridDim.x;
  if (thread == 0) share = {.low = low, .high = high, .at = total, .group = groups};
  __syncthreads();
  if (low < at || low >= at + own) return;
  for (int group = begin; group < end; ++group) {
    const std::int64_t cost = group_cost<kHeads>(args, group);
    if (low < at + cost) {
      share.at = at;
      share.group = group;
      return;
    }
    at += cost;
  }
}

/// Calls body(run, begin, end, count) for each of the block's items in order: tiles [begin, end) of the run; `count` is needed() of the lane's row of the group. By one whole warp.
template <int kHeads, class Body>
__device__ void for_each_item(const IndexScoresArgs& args, const Share& share, Body body) {
  constexpr int kRows = Item<kHeads>::kRows;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::int64_t at = share.at;
  const std::int64_t low = share.low, high = share.high;
  for (int group = share.group; at < high; ++group) {
    const int rows = min(kRows, args.rows - group * kRows), row = group * kRows + lane;
    const bool there = lane < rows;
    const int sequence = there ? args.batch.sequences[args.first + row] : -1, count = there ? needed(args, row) : 0;
    for (int from = 0; from < rows;) {
      Run run{.row = group * kRows + from, .lane = from, .sequence = __shfl_sync(kAllLanes, sequence, from)};
      const unsigned others = __ballot_sync(kAllLanes, lane > from && sequence != run.sequence);  // never 0: a group has fewer rows than a warp lanes
      run.rows = __ffs(static_cast<int>(others)) - 1 - from;
      const int most = static_cast<int>(__reduce_max_sync(kAllLanes, static_cast<unsigned>(lane >= from && lane < from + run.rows ? count : 0)));
      run.pages = (most + kPageTokens - 1) / kPageTokens;
      const int tiles = tiles_of(most), cost = tile_cost<kHeads>(run.rows);
      // Tiles that begin before a place of the line; 32 bits hold a run's cost.
      const auto tiles_before = [&](std::int64_t place) {
        const std::int64_t in = place - at;
        if (in <= 0) return 0;
        if (in >= tiles * cost) return tiles;
        const unsigned short_in = static_cast<unsigned>(in);
        return static_cast<int>(cost == kLightCost ? (short_in + kLightCost - 1) / kLightCost : (short_in + kFullCost - 1) / kFullCost);
      };
      const int begin = tiles_before(low), end = tiles_before(high);
      if (begin < end) body(run, begin, end, count);
      at += tiles * cost;
      from += run.rows;
    }
  }
}

}  // namespace gauntlet::kernels::hopper::index_fp8
