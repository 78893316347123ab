#pragma once

// What a block of masked_attention() shares: its shared memory, the list of tiles that it works through, and the warp that brings them.
//
// A tile of queries is up to 128 tokens of one sequence, from a position that is a multiple of 128; its key tiles too are counted from the sequence's start,
// so that a row meets the same tiles whatever stands beside it in the batch, and only the last key tile crosses the diagonal. That one comes first.
// An item of work is one head of the tiles of queries that begin in a window of 128 tokens. Blocks take items as they come to need them, long ones first.

#include "inference/cuda/hopper/masked_attention.h"
#include "inference/cuda/hopper/ptx.cuh"

namespace gauntlet::kernels::hopper::masked {

/// Two warpgroups compute 64 queries each; a third brings what they need.
inline constexpr int kGroups = 2, kGroupRows = 64, kQueries = kGroups * kGroupRows, kKeys = 128, kStages = 2;
inline constexpr int kThreads = kWarpgroup * (kGroups + 1);
/// Bytes of 64 columns of a group's queries and of keys or values; of the tiles that are made of these.
inline constexpr unsigned kQueryColumns = kGroupRows * 128, kKeyColumns = kKeys * 128;
inline constexpr unsigned kGroupQueryBytes = 3 * kQueryColumns, kKeyBytes = 3 * kKeyColumns, kValueBytes = 2 * kKeyColumns;
inline constexpr unsigned kSharedBytes = 1024 + kGroups * kGroupQueryBytes + kStages * (kKeyBytes + kValueBytes);

struct Work {
  const std::int32_t* positions = nullptr;
  int first = 0, rows = 0, heads = 0;
  int heads_together = 1;  ///< heads whose items follow one another, so that their keys and values stay in the L2 cache for all of their queries
  float scale = 1.0f;      ///< times log2(e)
  Bf16* out = nullptr;
  float* lse = nullptr;
  std::int32_t* counters = nullptr;  ///< items taken, beyond the first of each block; blocks that found none left
};

/// A key tile of a tile of queries, for the computing warpgroups.
struct Step {
  int key = 0;     ///< token of the tile's first key
  int more = 0;    ///< whether the queries have another
  int first = 0;   ///< token of the tile's first query
  int last = 0;    ///< and of its last one
  int head = 0;    ///< -1: there is no more work
  int unused[3] = {};
};

/// A tile of queries of one head.
struct Plan {
  int first = 0, last = 0;  ///< tokens
  int begin = 0;            ///< of their sequence
  int head = 0;             ///< -1: there is no more work
};

struct Barriers {
  alignas(16) Step steps[kStages];
  alignas(16) Plan plan;
  std::uint64_t plan_full, plan_empty;
  std::uint64_t query_full[kGroups], query_empty[kGroups], key_full[kStages], key_empty[kStages], value_full[kStages], value_empty[kStages];
};

__device__ inline void init_barriers(Barriers& barriers) {
  constexpr unsigned kWarps = kWarpgroup / 32;  // of a group: each says for itself that it is done
  const auto init = [](std::uint64_t& barrier, unsigned arrivals) { barrier_init(shared_address(&barrier), arrivals); };
  init(barriers.plan_full, 1);
  init(barriers.plan_empty, 1);
  for (int group = 0; group < kGroups; ++group) {
    init(barriers.query_full[group], 1);
    init(barriers.query_empty[group], kWarps);
  }
  for (int stage = 0; stage < kStages; ++stage) {
    init(barriers.key_full[stage], 1);
    init(barriers.key_empty[stage], kGroups * kWarps);
    init(barriers.value_full[stage], 1);
    init(barriers.value_empty[stage], kGroups * kWarps);
  }
  fence_barrier_init();
}

/// A place in a ring of two stages.
struct Ring {
  unsigned stage = 0, phase = 0;
  __device__ void advance() {
    stage ^= 1U;
    if (stage == 0) phase ^= 1U;
  }
};

/// A tile into the L2 cache.
__device__ inline void prefetch_tile_3d(const CUtensorMap* map, int x, int y, int z) {
  asm volatile("cp.async.bulk.prefetch.tensor.3d.L2.global.tile [%0, {%1, %2, %3}];\n" ::"l"(map), "r"(x), "r"(y), "r"(z) : "memory");
}

/// One warp plans: it finds the tiles of queries of the block's items. Its lanes look at positions together.
class Planner {
 public:
  __device__ Planner(const CUtensorMap& queries, const Work& work, Barriers& barriers)
      : queries_(&queries), work_(work), barriers_(barriers), lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void plan_all() {
    const int windows = (work_.rows + kQueries - 1) / kQueries, items = windows * work_.heads, together = windows * work_.heads_together, blocks = static_cast<int>(gridDim.x);
    for (int item = static_cast<int>(blockIdx.x); item < items;) {
      const int set = item / together, within = item - set * together, heads = min(work_.heads_together, work_.heads - set * work_.heads_together);
      plan_window(work_.first + (windows - 1 - within / heads) * kQueries, set * work_.heads_together + within % heads);
      wait(shared_address(&barriers_.plan_empty), phase_ ^ 1U);
      item = blocks + count(work_.counters);
    }
    push({.head = -1});
    if (count(work_.counters + 1) == blocks - 1) work_.counters[0] = work_.counters[1] = 0;  // nobody counts any more
  }

 private:
  __device__ int count(std::int32_t* counter) const {
    int before = 0;
    if (lane_ == 0) before = atomicAdd(counter, 1);
    return __shfl_sync(kAllLanes, before, 0);
  }
  /// Tiles that begin in a window: each ends before the next one.
  __device__ void plan_window(int window, int head) {
    constexpr int kChunks = 2 * kQueries / 32;
    const int end = work_.first + work_.rows;
    unsigned starts[kChunks];
    int positions[kChunks];
#pragma unroll
    for (int i = 0; i < kChunks; ++i) positions[i] = window + 32 * i + lane_ < end ? __ldg(work_.positions + window + 32 * i + lane_) : 0;
#pragma unroll
    for (int i = 0; i < kChunks; ++i) starts[i] = __ballot_sync(kAllLanes, positions[i] % kQueries == 0 || window + 32 * i + lane_ == work_.first);
    int open = -1;
#pragma unroll
    for (int i = 0; i < kChunks; ++i) {
      for (unsigned left = starts[i]; left != 0; left &= left - 1) {
        const int token = window + 32 * i + __ffs(static_cast<int>(left)) - 1;
        if (open >= 0) push({.first = open, .last = token - 1, .begin = open - __ldg(work_.positions + open), .head = head});
        open = i < kChunks / 2 && token < end ? token : -1;
        if (open < 0) return;
      }
    }
  }
  __device__ void push(const Plan& plan) {
    wait(shared_address(&barriers_.plan_empty), phase_ ^ 1U);
    phase_ ^= 1U;
    if (lane_ == 0) {
      barriers_.plan = plan;
      arrive(shared_address(&barriers_.plan_full));
    }
    const int token = plan.first + lane_ / 3 * kGroupRows;
    if (plan.head >= 0 && lane_ < 3 * kGroups && token <= plan.last) prefetch_tile_3d(queries_, lane_ % 3 * 64, plan.head, token);
  }

  const CUtensorMap* queries_;
  const Work& work_;
  Barriers& barriers_;
  int lane_;
  unsigned phase_ = 0;
};

/// One thread asks for all tiles of a block.
class Reader {
 public:
  __device__ Reader(const CUtensorMap& queries, const CUtensorMap& keys_values, const CUtensorMap& rotary, unsigned tiles, Barriers& barriers)
      : queries_(&queries), keys_values_(&keys_values), rotary_(&rotary), tiles_(tiles), barriers_(barriers) {}

  __device__ void read_all() {
    for (unsigned phase = 0;; phase ^= 1U) {
      wait(shared_address(&barriers_.plan_full), phase);
      const Plan plan = barriers_.plan;
      if (plan.head < 0) break;
      read(plan);
    }
    wait(shared_address(&barriers_.key_empty[key_.stage]), key_.phase ^ 1U);
    barriers_.steps[key_.stage].head = -1;
    arrive(shared_address(&barriers_.key_full[key_.stage]));
  }

 private:
  __device__ void read(const Plan& plan) {
    Step step{.first = plan.first, .last = plan.last, .head = plan.head};
    const int tiles = (plan.last - plan.begin) / kKeys + 1, ask_at = min(tiles - 1, kAskAhead);
    for (int tile = tiles - 1; tile >= 0; --tile) {
      step.key = plan.begin + tile * kKeys;
      step.more = tile > 0 ? 1 : 0;
      if (tile == ask_at) arrive(shared_address(&barriers_.plan_empty));  // not before: who has much left to do should not take more
      read_keys(step);
      if (tile == tiles - 1) {
        read_queries(step);
      } else {
        read_values(step.key + kKeys, step.head);
      }
    }
    read_values(step.key, step.head);
  }
  __device__ void read_keys(const Step& step) {
    wait(shared_address(&barriers_.key_empty[key_.stage]), key_.phase ^ 1U);
    barriers_.steps[key_.stage] = step;
    const unsigned barrier = shared_address(&barriers_.key_full[key_.stage]), to = tiles_ + kGroups * kGroupQueryBytes + key_.stage * kKeyBytes;
    arrive_expecting(barrier, kKeyBytes);
    for (unsigned part = 0; part < 2; ++part) load_tile_3d(to + part * kKeyColumns, keys_values_, barrier, static_cast<int>(part) * 64, step.head, step.key);
    load_tile_2d(to + 2 * kKeyColumns, rotary_, barrier, 0, step.key);
    key_.advance();
  }
  __device__ void read_values(int key, int head) {
    wait(shared_address(&barriers_.value_empty[value_.stage]), value_.phase ^ 1U);
    const unsigned barrier = shared_address(&barriers_.value_full[value_.stage]), to = tiles_ + kGroups * kGroupQueryBytes + kStages * kKeyBytes + value_.stage * kValueBytes;
    arrive_expecting(barrier, kValueBytes);
    for (unsigned part = 0; part < 2; ++part) load_tile_3d(to + part * kKeyColumns, keys_values_, barrier, kMaskedContent + static_cast<int>(part) * 64, head, key);
    value_.advance();
  }
  /// For each group that has any.
  __device__ void read_queries(const Step& step) {
    for (int group = 0; group < kGroups && step.first + kGroupRows * group <= step.last; ++group) {
      wait(shared_address(&barriers_.query_empty[group]), (query_phases_ >> group & 1U) ^ 1U);
      query_phases_ ^= 1U << group;
      const unsigned barrier = shared_address(&barriers_.query_full[group]), to = tiles_ + static_cast<unsigned>(group) * kGroupQueryBytes;
      arrive_expecting(barrier, kGroupQueryBytes);
      for (unsigned part = 0; part < 3; ++part) load_tile_3d(to + part * kQueryColumns, queries_, barrier, static_cast<int>(part) * 64, step.head, step.first + kGroupRows * group);
    }
  }

  static constexpr int kAskAhead = 2;  ///< tiles left when the next plan is asked for

  const CUtensorMap *queries_, *keys_values_, *rotary_;
  unsigned tiles_;
  Barriers& barriers_;
  Ring key_, value_;
  unsigned query_phases_ = 0;
};

}  // namespace gauntlet::kernels::hopper::masked
