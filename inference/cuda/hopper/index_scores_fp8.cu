#include "inference/cuda/hopper/index_scores_fp8.h"

#include <array>

#include "inference/cuda/hopper/index_scores_fp8_schedule.cuh"
#include "inference/cuda/hopper/index_scores_fp8_sums.cuh"
#include "inference/cuda/hopper/tensor_map.h"
#include "inference/cuda/hopper/wgmma_fp8.cuh"

namespace gauntlet::kernels {
namespace hopper::index_fp8 {
namespace {

constexpr int kMathWarpgroups = 2;
constexpr int kThreads = (kMathWarpgroups + 1) * kWarpgroup;
constexpr int kMathRegisters = 224, kLoadRegisters = 56;
// The warpgroups share what the block started with.
static_assert(kMathWarpgroups * kMathRegisters + kLoadRegisters <= (kMathWarpgroups + 1) * (65536 / kThreads / 8 * 8));
constexpr int kStages = 5;
constexpr unsigned kPageKeys = kPageTokens * kKeyBytes, kPageScales = kPageTokens * 4, kPageBytes = kPageKeys + kPageScales;
constexpr unsigned kSetBytes = kSetColumns * kKeyBytes;
/// Columns of a product of one query (or two of few heads).
constexpr int kNarrowColumns = 64;
/// Policy of the L2 cache, as kEvictFirst.
constexpr std::uint64_t kEvictNormal = 0x1000000000000000ULL;
constexpr int kMathWarps = kMathWarpgroups * kWarpgroup / 32;

struct Maps {
  CUtensorMap keys;     ///< [pages, 64, 128]
  CUtensorMap queries;  ///< [tokens · heads, 128]
  CUtensorMap mixed;    ///< the same as [heads / 2, tokens, 2, 128]
};

template <int kHeads>
struct Shared {
  std::uint8_t keys[kStages][kTilePages][kPageKeys];        // swizzled
  std::uint8_t queries[kSlots][kSets][kSetBytes];           // swizzled; unmixed from the first byte on
  float scales[kStages][kTilePages][kPageTokens];
  float weights[kSlots][kSets][kSetColumns];
  Item<kHeads> items[kSlots];
  std::uint64_t keys_full[kStages], keys_empty[kStages], item_full[kSlots], item_empty[kSlots];
  Share share;
  std::int64_t sums[kThreads / 32];
};

template <class T>
__device__ unsigned at(T& member) {
  return shared_address(&member);
}

/// Position in the ring of stages.
struct Ring {
  int stage = 0;
  unsigned parity = 0;
  __device__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1U;
  }
};

__device__ void load_page(unsigned to, const CUtensorMap* map, unsigned barrier, int page, std::uint64_t policy) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3, %3, %4}], [%2], %5;\n" ::"r"(to),
               "l"(map), "r"(barrier), "r"(0), "r"(page), "l"(policy)
               : "memory");
}

__device__ void load_mixed(unsigned to, const CUtensorMap* map, unsigned barrier, int token, int pair) {
  asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %3, %4, %5}], [%2];\n" ::"r"(to), "l"(map), "r"(barrier),
               "r"(0), "r"(token), "r"(pair)
               : "memory");
}

// The warp that loads: finds the block's items one by one and copies their queries, weights and keys.
template <int kHeads>
__device__ void load(const IndexScoresArgs& args, const Maps& maps, Shared<kHeads>& shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Ring ring;
  int items = 0;
  const auto slot_for_next = [&] {
    const int slot = items % kSlots;
    wait(at(shared.item_empty[slot]), (static_cast<unsigned>(items / kSlots) & 1U) ^ 1U);
    ++items;
    return slot;
  };
  for_each_item<kHeads>(args, shared.share, [&](const Run& run, int begin, int end, int count) {
    const int slot = slot_for_next();
    auto& item = shared.items[slot];
    if (lane >= run.lane && lane < run.lane + run.rows) item.counts[lane - run.lane] = count;
    if (lane < Item<kHeads>::kRows - run.rows) item.counts[run.rows + lane] = 0;
    if (lane == 0) {
      item.row = run.row;
      item.rows = run.rows;
      item.begin = begin;
      item.end = end;
    }
    __syncwarp();
    if (lane == 0) {
      const unsigned rows = static_cast<unsigned>(run.rows), full = at(shared.item_full[slot]);
      const std::int64_t token = args.first + run.row;
      const bool mixed = run.rows > Item<kHeads>::kUnmixedRows;
      const int sets = mixed ? (run.rows + 3) / 4 * (kHeads / kMixedHeads) : 0;
      arrive_expecting(full, rows * kHeads * 4 + (mixed ? static_cast<unsigned>(sets) * kSetBytes : rows * kHeads * kKeyBytes));
      for (int i = 0; i < sets; ++i) {
        load_mixed(at(shared.queries[slot][i]), &maps.mixed, full, static_cast<int>(token) + i * kMixedHeads / kHeads * 4, i * kMixedHeads % kHeads / 2);
      }
      for (int i = 0; !mixed && i < run.rows; ++i) {
        load_tile_2d(at(shared.queries[slot]) + static_cast<unsigned>(i * kHeads * kKeyBytes), &maps.queries, full, 0, (static_cast<int>(token) + i) * kHeads);
      }
      copy_bulk(at(shared.weights[slot]), args.weights_fp8 + token * kHeads, rows * kHeads * 4, full);
    }

    // One item reads a decode's keys, many read a prefill's.
    const std::uint64_t policy = run.rows <= Item<kHeads>::kRows / 2 ? kEvictFirst : kEvictNormal;
    const std::int32_t* table = args.batch.pages + static_cast<std::int64_t>(run.sequence) * args.batch.page_stride;
    const auto entry = [&](int page) { return page < run.pages ? table[page] : 0; };
    int page = begin * kTilePages;
    int now = entry(page + lane), later = entry(page + 32 + lane);
    for (int tile = begin; tile < end; ++tile, page += kTilePages) {
      const int turn = (tile - begin) * kTilePages % 32;
      if (turn == 0 && tile != begin) {
        now = later;
        later = entry(page + 32 + lane);
      }
      wait(at(shared.keys_empty[ring.stage]), ring.parity ^ 1U);
      const int pages[kTilePages] = {__shfl_sync(kAllLanes, now, turn), __shfl_sync(kAllLanes, now, turn + 1)};
      if (lane == 0) {
        const unsigned full = at(shared.keys_full[ring.stage]);
        const int there = min(kTilePages, run.pages - page);
        arrive_expecting(full, static_cast<unsigned>(there) * kPageBytes);
        for (int p = 0; p < there; ++p) {
          load_page(at(shared.keys[ring.stage][p]), &maps.keys, full, pages[p], policy);
          copy_bulk(at(shared.scales[ring.stage][p]), args.index_pages + static_cast<std::int64_t>(pages[p]) * kPageBytes + kPageKeys, kPageScales, full, policy);
        }
      }
      ring.next();
    }
  });
  const int slot = slot_for_next();
  if (lane == 0) {
    shared.items[slot].rows = 0;
    arrive(at(shared.item_full[slot]));
  }
}

/// c [64 keys of a page, queries' heads] = keys · queries, begun.
template <int kCount>
__device__ void begin_product(float (&c)[kCount], std::uint64_t keys, std::uint64_t queries) {
  hold(c);
  products_begin();
#pragma unroll
  for (int k = 0; k < kKeyBytes / 32; ++k) multiply(c, keys + static_cast<std::uint64_t>(2 * k), queries + static_cast<std::uint64_t>(2 * k), k > 0);
  products_commit();
}

__device__ void release(unsigned barrier) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(barrier);
}
/// Of keys, of whose scales `scale` was loaded last.
__device__ void release_keys(unsigned barrier, float scale) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive_after(barrier, __float_as_uint(scale));
}

// Few queries: memory sets the pace. A tile's pages are shared out among the warpgroups.
template <int kHeads, int kColumns>
__device__ void score_few(const IndexScoresArgs& args, Shared<kHeads>& shared, int slot, int page, Ring& ring) {
  const auto& item = shared.items[slot];
  const int begin = item.begin, end = item.end;
  const HeadColumns<kHeads, kColumns> scores(args, item, shared.weights[slot][0]);
  const std::uint64_t queries = tile_along_k(at(shared.queries[slot]));
  float c[kColumns / 2];
  for (int tile = begin; tile < end; ++tile) {
    const int stage = ring.stage;
    wait(at(shared.keys_full[stage]), ring.parity);
    ring.next();
    begin_product(c, tile_along_k(at(shared.keys[stage][page])), queries);
    const float scale = shared.scales[stage][page][scores.key()];
    products_wait<0>();
    hold(c);
    release_keys(at(shared.keys_empty[stage]), scale);
    scores.store(c, scale, (tile * kTilePages + page) * kPageTokens);
  }
}

// Many queries: the tensor cores set the pace. A warpgroup has two sets, and sums one's product while the other's runs. The warpgroups share out the sets, or the pages where
// two sets are all.
template <int kHeads>
__device__ void score_many(const IndexScoresArgs& args, Shared<kHeads>& shared, int slot, int group, Ring& ring) {
  constexpr int kSetsEach = kSets / kMathWarpgroups, kParts = kHeads / kMixedHeads, kFours = kSetsEach / kParts;
  const auto& item = shared.items[slot];
  const int begin = item.begin, end = item.end;
  const bool half = item.rows <= Item<kHeads>::kRows / 2;
  const int set = half ? 0 : group * kSetsEach, first = half ? group : 0, last = half ? group : kTilePages - 1;
  MixedColumns<kHeads> scores_a(args, item, shared.weights[slot][0], set / kParts * 4), scores_b(args, item, shared.weights[slot][0], (set + kSetsEach - 1) / kParts * 4);
  auto& scores = kFours == 1 ? scores_a : scores_b;
  const std::uint64_t queries_a = tile_along_k(at(shared.queries[slot][set])), queries_b = tile_along_k(at(shared.queries[slot][set + 1]));
  float a[kSetColumns / 2], b[kSetColumns / 2];
  for (int tile = begin; tile < end; ++tile) {
    const int stage = ring.stage;
    wait(at(shared.keys_full[stage]), ring.parity);
    ring.next();
    for (int page = first; page <= last; ++page) {
      const std::uint64_t keys = tile_along_k(at(shared.keys[stage][page]));
      const int position = (tile * kTilePages + page) * kPageTokens;
      begin_product(a, keys, queries_a);
      begin_product(b, keys, queries_b);
      const float scale_low = shared.scales[stage][page][scores_a.key()], scale_high = shared.scales[stage][page][scores_a.key() + 8];
      products_wait<1>();
      hold(a);
      scores_a.template add<0>(a);
      if constexpr (kFours == 2) scores_a.store(scale_low, scale_high, position);
      products_wait<0>();
      hold(b);
      if (page == last) release_keys(at(shared.keys_empty[stage]), scale_low + scale_high);
      scores.template add<kParts - 1>(b);
      scores.store(scale_low, scale_high, position);
    }
  }
}

// A warpgroup that multiplies. Keys are the rows of its products, heads the columns.
template <int kHeads>
__device__ void score(const IndexScoresArgs& args, Shared<kHeads>& shared, int group) {
  Ring ring;
  for (int items = 0;; ++items) {
    const int slot = items % kSlots;
    wait(at(shared.item_full[slot]), static_cast<unsigned>(items / kSlots) & 1U);
    const int rows = shared.items[slot].rows;
    if (rows == 0) return;
    if (rows * kHeads <= kNarrowColumns) {
      score_few<kHeads, kNarrowColumns>(args, shared, slot, group, ring);
    } else if (rows <= Item<kHeads>::kUnmixedRows) {
      score_few<kHeads, kSetColumns>(args, shared, slot, group, ring);
    } else {
      score_many<kHeads>(args, shared, slot, group, ring);
    }
    release(at(shared.item_empty[slot]));
  }
}

// Grid: one block for each multiprocessor, each with an equal share of all tiles of 128 positions. A warp loads, two warpgroups multiply and sum.
template <int kHeads>
__global__ void __launch_bounds__(kThreads, 1) index_scores_fp8_kernel(const __grid_constant__ IndexScoresArgs args, const __grid_constant__ Maps maps) {
  extern __shared__ __align__(1024) std::uint8_t memory[];
  auto& shared = *reinterpret_cast<Shared<kHeads>*>(memory);
  const int warpgroup = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x == 0) {
    prefetch_map(&maps.keys);
    for (int i = 0; i < kStages; ++i) {
      barrier_init(at(shared.keys_full[i]), 1);
      barrier_init(at(shared.keys_empty[i]), kMathWarps);
    }
    for (int i = 0; i < kSlots; ++i) {
      barrier_init(at(shared.item_full[i]), 1);
      barrier_init(at(shared.item_empty[i]), kMathWarps);
    }
    fence_barrier_init();
  }
  find_share<kHeads, kThreads>(args, shared.share, shared.sums);
  __syncthreads();
  if (warpgroup == kMathWarpgroups) {
    give_registers<kLoadRegisters>();
    if (threadIdx.x / 32 % 4 == 0) load<kHeads>(args, maps, shared);
  } else {
    take_registers<kMathRegisters>();
    score<kHeads>(args, shared, warpgroup);
  }
}

template <int kHeads>
void launch(const IndexScoresArgs& args, CudaStream stream) {
  static_assert(sizeof(Shared<kHeads>) <= 227 * 1024);
  Maps maps{};
  // The cache does not say how many pages it has; the table names only pages that are there.
  const std::array<cuuint64_t, 3> key_sizes{kKeyBytes, kPageTokens, cuuint64_t{1} << 31};
  const std::array<cuuint64_t, 2> key_strides{kKeyBytes, kPageBytes};
  const std::array<cuuint32_t, 3> key_box{kKeyBytes, kPageTokens, 1};
  auto* pages = const_cast<std::byte*>(args.index_pages);
  maps.keys = make_tensor_map({.type = CU_TENSOR_MAP_DATA_TYPE_UINT8, .data = pages, .sizes = key_sizes, .strides_bytes = key_strides, .box = key_box});
  const auto tokens = static_cast<cuuint64_t>(args.batch.tokens);
  const std::array<cuuint64_t, 2> query_sizes{kKeyBytes, tokens * kHeads};
  const std::array<cuuint64_t, 1> query_strides{kKeyBytes};
  const std::array<cuuint32_t, 2> query_box{kKeyBytes, kHeads};
  auto* queries = const_cast<std::uint8_t*>(args.queries_fp8);
  maps.queries = make_tensor_map({.type = CU_TENSOR_MAP_DATA_TYPE_UINT8, .data = queries, .sizes = query_sizes, .strides_bytes = query_strides, .box = query_box});
  const std::array<cuuint64_t, 4> mixed_sizes{kKeyBytes, 2, tokens, kHeads / 2};
  const std::array<cuuint64_t, 3> mixed_strides{kKeyBytes, kHeads * kKeyBytes, 2 * kKeyBytes};
  const std::array<cuuint32_t, 4> mixed_box{kKeyBytes, 2, 4, kMixedHeads / 2};
  maps.mixed = make_tensor_map({.type = CU_TENSOR_MAP_DATA_TYPE_UINT8, .data = queries, .sizes = mixed_sizes, .strides_bytes = mixed_strides, .box = mixed_box});
  const auto kernel = index_scores_fp8_kernel<kHeads>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sizeof(Shared<kHeads>))));
  kernel<<<static_cast<unsigned>(multiprocessors()), kThreads, sizeof(Shared<kHeads>), stream>>>(args, maps);
  cuda_check(cudaGetLastError());
}

bool aligned_16(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

}  // namespace
}  // namespace hopper::index_fp8

bool index_scores_fp8_takes(const IndexScoresArgs& args) {
  return args.layout.format == CacheFormat::Fp8 && args.layout.index == hopper::index_fp8::kKeyBytes && (args.heads == 32 || args.heads == 64) && args.queries_fp8 != nullptr &&
         args.weights_fp8 != nullptr && hopper::index_fp8::aligned_16(args.queries_fp8) && hopper::index_fp8::aligned_16(args.weights_fp8) && hopper::index_fp8::aligned_16(args.index_pages);
}

void index_scores_fp8(const IndexScoresArgs& args, CudaStream stream) {
  require(index_scores_fp8_takes(args), ErrorKind::Internal, "index_scores_fp8: sizes that it does not take");
  if (args.rows == 0 || args.longest <= args.skip_up_to) return;
  if (args.heads == 64) return hopper::index_fp8::launch<64>(args, stream);
  hopper::index_fp8::launch<32>(args, stream);
}

}  // namespace gauntlet::kernels
