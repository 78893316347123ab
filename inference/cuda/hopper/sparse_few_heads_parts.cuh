#pragma once

// What the kernel of sparse_few_heads.cuh is made of: its shared memory, its instructions, fetching of keys, joining of parts.

#include "inference/cuda/hopper/ptx.cuh"
#include "inference/cuda/hopper/sparse_few_heads.h"

namespace gauntlet::kernels::few_heads {

inline constexpr int kLatent = 512, kRope = 64, kWidth = kLatent + kRope;
inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
inline constexpr float kNone = -INFINITY;
/// Weights are multiplied by 2^15 in all, so that small ones keep their bits in f16: those of 16 positions by 2^5, then by 2^10.
inline constexpr float kWeightShift = 5.0f, kPartShift = 10.0f, kUnshift = 0x1p-15f;
/// So many parts of a row are joined by the blocks that attended for them: a cluster.
inline constexpr int kJoined = kFewHeadsParts;

/// Positions that a block works on at a time.
inline constexpr int kTile = 32, kTiles16 = kTile / 16;
/// Warps of each kind: those that score keys, those that sum their values, and those that fetch them.
inline constexpr int kWarps = 4, kThreads = 3 * kWarps * 32;
/// Rows of a tile that a fetching warp fetches, and tiles for whose rows it has lanes.
inline constexpr int kRows = kTile / kWarps, kGroup = 32 / kRows;
static_assert(kRows * kGroup == 32 && kTile == 32);
/// The latent's columns of a warp, one block of FP8 scales.
inline constexpr int kColumns = kLatent / kWarps, kSteps = kColumns / 16;
static_assert(kColumns == kCacheBlock);

/// What stands for a position that there is not.
__device__ const uint4 kZeroRow[kWidth * 2 / 16] = {};

/// 8 bytes into the shared memory of a block of the cluster, whose `barrier` counts them; both addresses are mapped.
__device__ inline void store_8_remote(unsigned to, float2 value, unsigned barrier) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];\n" ::"r"(to), "f"(value.x), "f"(value.y), "r"(barrier) : "memory");
}

/// Where the results of a row's parts are joined: each block of the cluster joins some heads, those that are its rank modulo the number of parts, and is
/// sent their results by all. A single part's block is no cluster, and keeps its own. In shared memory: float [heads of a block, parts, kLatent], then float2 [heads of a block, parts] of largest logits and sums.
template <int kHeadTiles>
struct Results {
  static constexpr int kHeads = kHeadTiles * 8, kSlots = kHeads > kJoined ? kHeads : kJoined;  // parts are a power of two
  static constexpr int kStats = kSlots * kLatent * 4, kBytes = kStats + kSlots * 8;

  const SparseAttentionArgs& args;
  unsigned shared;   ///< of this block
  unsigned barrier;  ///< counts what is sent to it
  int row, part, parts;
  int first_head;    ///< of the block's group of heads

  /// Bytes that this block is sent.
  __device__ int expected() const { return part < kHeads ? (kHeads - part + parts - 1) / parts * parts * (kLatent * 4 + 8) : 0; }

  struct Place {
    unsigned out, stats, barrier;
  };
  /// Where this block's results for a head of the group go.
  __device__ Place place(int head) const {
    const int rank = head % parts, slot = head / parts * parts + part;
    const unsigned out = shared + slot * kLatent * 4, stats = shared + kStats + slot * 8;
    if (parts == 1) return {out, stats, barrier};
    return {hopper::map_shared(out, rank), hopper::map_shared(stats, rank), hopper::map_shared(barrier, rank)};
  }
  __device__ void send(unsigned to, float2 value, unsigned to_barrier) const {
    if (parts == 1) {
      asm volatile("st.shared.v2.f32 [%0], {%1, %2};\n" ::"r"(to), "f"(value.x), "f"(value.y) : "memory");
    } else {
      store_8_remote(to, value, to_barrier);
    }
  }

  /// All threads of the warps that sum, which have sent this block's results. Joins the parts in order.
  __device__ void join(const std::byte* results) const {
    constexpr int kQuads = kLatent / 4;
    if (expected() == 0) return;
    if (parts == 1) {
      hopper::sync_threads(2, kWarps * 32);
    } else {
      hopper::wait_cluster(barrier, 0);
    }
    const float4* values = reinterpret_cast<const float4*>(results);
    const float2* stats = reinterpret_cast<const float2*>(results + kStats);
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x) % (kWarps * 32); part + i / kQuads * parts < kHeads; i += kWarps * 32) {
      const int first = i / kQuads * parts, head = first_head + part + first, quad = i % kQuads;
      if (head >= args.heads) break;
      float most = kNone, total = 0;
#pragma unroll 4
      for (int p = 0; p < parts; ++p) most = fmaxf(most, stats[first + p].x);
      const float base = most == kNone ? 0.0f : most;
      float4 value = make_float4(0, 0, 0, 0);
#pragma unroll 4
      for (int p = 0; p < parts; ++p) {
        const float factor = hopper::exp2_fast(stats[first + p].x - base);
        const float4 x = values[(first + p) * kQuads + quad];
        total = fmaf(stats[first + p].y, factor, total);
        value = make_float4(fmaf(x.x, factor, value.x), fmaf(x.y, factor, value.y), fmaf(x.z, factor, value.z), fmaf(x.w, factor, value.w));
      }
      if (quad == 0 && args.lse != nullptr) args.lse[static_cast<std::int64_t>(row) * args.heads + head] = total == 0 ? INFINITY : (most + log2f(total)) * kLn2;
      if (total == 0) value = make_float4(0, 0, 0, 0);
      const float by = total == 0 ? 1.0f : total, x[4] = {value.x / by, value.y / by, value.z / by, value.w / by};
      const std::int64_t to = (static_cast<std::int64_t>(args.first + row) * args.heads + head) * kLatent + quad * 4;
      *reinterpret_cast<uint2*>(args.out + to) = make_uint2(hopper::pack_bf16_pair(x[0], x[1]), hopper::pack_bf16_pair(x[2], x[3]));
      for (int e = 0; e < 4 && args.out_low != nullptr; ++e) args.out_low[to + e] = round_rest(x[e]);
    }
  }
};

/// Where the block's shared memory lies, in bytes.
template <int kHeadTiles, CacheFormat kFormat, int kStageCount>
struct Shared {
  static constexpr bool kFp8 = kFormat == CacheFormat::Fp8;
  static constexpr int kStages = kStageCount;  ///< tiles in shared memory
  static constexpr int kRowBytes = kFp8 ? kLatent + kLatent / kCacheBlock * 4 + kRope * 2 : kWidth * 2;
  /// An odd number of 16-byte units, so that eight rows lie in different banks.
  static constexpr int kRowStride = kRowBytes / 16 % 2 == 1 ? kRowBytes : kRowBytes + 16;
  static constexpr int kUnits = kTile / 16 * kHeadTiles;  ///< 16 positions × 8 heads
  static constexpr int kWeightsBytes = kUnits * 256, kStatsBytes = kUnits * 64;

  static constexpr int kKeys = 0;                                      // [kStages, kTile, kRowStride]
  static constexpr int kSums = kStages * kTile * kRowStride;           // [2, kWarps, kUnits, 32 lanes] float4
  static constexpr int kWeights = kSums + 2 * kWarps * kUnits * 512;   // [kStages, kUnits, 16 positions, 8 heads] 16 bits
  static constexpr int kStats = kWeights + kStages * kWeightsBytes;    // [kStages, kUnits, 8 heads] float2: largest logit rounded up, sum of weights
  static constexpr int kRatios = kStats + kStages * kStatsBytes;       // [kWarps, kTile] f16
  static constexpr int kValid = kRatios + kWarps * kTile * 2;          // [kStages, kTile] float: 0, or kNone
  static constexpr int kFull = kValid + kStages * kTile * 4;           // barriers [kStages]: keys are there
  static constexpr int kWeighted = kFull + kStages * 8;                // weights are there
  static constexpr int kFree = kWeighted + kStages * 8;                // nobody needs keys and weights any more
  static constexpr int kJoin = kFree + kStages * 8;                    // barrier: results of all parts are there
  static constexpr int kTotal = kJoin + 8;
  static_assert(Results<kHeadTiles>::kBytes <= kFull, "results lie over all but the barriers");
};

/// c[16×8] += a[16×16] b[16×8] with f16 operands, or bf16.
template <bool kHalf>
__device__ inline void multiply_16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if constexpr (kHalf) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
}

template <bool kTransposed>
__device__ inline void load_four(unsigned (&out)[4], unsigned address) {
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n" : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(address) : "memory");
  }
}

/// Four e4m3 to f16, exact: the two low ones, the two high ones.
__device__ inline void widen_four(unsigned packed, unsigned& low, unsigned& high) {
  asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %2;\ncvt.rn.f16x2.e4m3x2 %0, l;\ncvt.rn.f16x2.e4m3x2 %1, h;\n}\n" : "=r"(low), "=r"(high) : "r"(packed));
}

template <bool kHalf>
__device__ inline unsigned pack_two(float low, float high) {
  if constexpr (!kHalf) return hopper::pack_bf16_pair(low, high);
  unsigned out = 0;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;\n" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
template <bool kHalf>
__device__ inline unsigned multiply_two(unsigned a, unsigned b) {
  unsigned out = 0;
  if constexpr (kHalf) {
    asm("mul.rn.f16x2 %0, %1, %2;\n" : "=r"(out) : "r"(a), "r"(b));
  } else {
    asm("mul.rn.bf16x2 %0, %1, %2;\n" : "=r"(out) : "r"(a), "r"(b));
  }
  return out;
}

__device__ inline float load_shared_float(unsigned address) {
  float out = 0;
  asm volatile("ld.shared.f32 %0, [%1];\n" : "=f"(out) : "r"(address) : "memory");
  return out;
}

/// A list's entry, or -1: what may be looked up before the token's own position is known.
__device__ inline int list_entry(const SparseAttentionArgs& args, int row, int at, int end) {
  if (args.chosen == nullptr) return at < end ? at : -1;
  return at < min(end, args.k) ? args.chosen[static_cast<std::int64_t>(row) * args.k + at] : -1;
}

/// What fetch_tiles() begins with.
__device__ inline int first_entry(const SparseAttentionArgs& args, int row, int begin) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps;
  return list_entry(args, row, begin + lane / kRows * kTile + warp * kRows + lane % kRows, begin + args.part);
}

/// Fetches the block's tiles: what kWarps warps do, each its share of every tile's rows. A warp looks up the entries of several tiles at a time, one
/// for each lane, ahead of the tiles' turns: positions two such groups of tiles ahead, pages one. `entry` are those of the first group.
template <class At>
__device__ void fetch_tiles(const SparseAttentionArgs& args, unsigned shared, int row, int token, int begin, int end, int last, int entry) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps;
  const std::int32_t* pages = args.batch.pages + static_cast<std::int64_t>(args.batch.sequences[token]) * args.batch.page_stride;
  int at = begin + lane / kRows * kTile + warp * kRows + lane % kRows;  // of the list, this lane's in the group
  const auto look_up_page = [&](int position) { return at < end && position >= 0 && position <= last ? pages[position / kPageTokens] : -1; };
  int position = entry, page = look_up_page(position), next_position = list_entry(args, row, at + kGroup * kTile, end);
  const int tiles = (end - begin + kTile - 1) / kTile;
  for (int first = 0; first < tiles; first += kGroup) {
    at += kGroup * kTile;
    const int from = page < 0 ? -1 : page * kPageTokens + position % kPageTokens;
    const int next_page = look_up_page(next_position), later_position = list_entry(args, row, at + kGroup * kTile, end);
    const std::byte* source = from < 0 ? reinterpret_cast<const std::byte*>(kZeroRow) : args.latent_rows + static_cast<std::int64_t>(from) * At::kRowBytes;
#pragma unroll 1
    for (int tile = first; tile < min(first + kGroup, tiles); ++tile) {
      const int stage = tile % At::kStages, row_of_tile = warp * kRows + lane % kRows;
      const unsigned full = shared + At::kFull + stage * 8;
      if (tile >= At::kStages) hopper::wait(shared + At::kFree + stage * 8, (tile / At::kStages - 1) % 2);
      const bool turn = lane / kRows == tile - first;
      if (turn) asm volatile("st.shared.f32 [%0], %1;\n" ::"r"(shared + At::kValid + (stage * kTile + row_of_tile) * 4), "f"(from < 0 ? kNone : 0.0f) : "memory");
      __syncwarp();
      if (lane == 0) hopper::arrive_expecting(full, kRows * At::kRowBytes);
      __syncwarp();
      if (turn) hopper::copy_bulk(shared + At::kKeys + (stage * kTile + row_of_tile) * At::kRowStride, source, At::kRowBytes, full);
    }
    position = next_position;
    page = next_page;
    next_position = later_position;
  }
}

}  // namespace gauntlet::kernels::few_heads
