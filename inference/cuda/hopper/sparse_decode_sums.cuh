#pragma once

// The two warpgroups of sparse_decode.cu that multiply. The first scores a block's positions, and sums the left half of their values; the second sums the
// right half. The first has the scores of the next block computed before it sums the values of this one, so that the matrix unit has work during softmax.

#include "inference/cuda/hopper/sparse_decode_work.cuh"
#include "inference/cuda/hopper/wgmma_bf16.cuh"

namespace gauntlet::kernels::hopper {

inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

/// What a thread of a warpgroup that multiplies holds: rows (heads) row and row + 8 of 64, columns 8 j + column and the next.
struct Lane {
  int warp, lane, row, column;

  __device__ Lane() : warp(static_cast<int>(threadIdx.x) / 32 % 4), lane(static_cast<int>(threadIdx.x) % 32), row(warp * 16 + lane / 4), column(lane % 4 * 2) {}
};

/// x / total, correctly rounded, from `inverse`, the correctly rounded 1 / total (0 where nothing was summed).
__device__ inline float quotient(float x, float total, float inverse) {
  const float near = x * inverse;
  return fmaf(fmaf(-near, total, x), inverse, near);
}

/// Half of the output columns of 64 heads: of the parts, or of the row itself, divided by `totals`.
__device__ inline void write_sums(const SparseAttentionArgs& args, const DecodeItem& item, int parts, const Lane& at, int first_column, float (&sums)[2][64],
                                  const float (&totals)[2]) {
  const int head = item.group * kHeads + at.row;
  if (parts > 1) {
    const std::int64_t slot = (static_cast<std::int64_t>(item.row) * parts + item.part) * args.heads + head;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      // Two lanes have two columns each of two groups of eight; afterwards each has four of one group.
      const bool odd = at.lane % 2 == 1;
      float* to = args.part_out + (slot + 8 * r) * kLatent + first_column + at.column / 4 * 4 + (odd ? 8 : 0);
#pragma unroll
      for (int j = 0; j < 32; j += 2) {
        const float* pair = &sums[j / 16][4 * (j % 16) + 2 * r];
        const float2 a = make_float2(pair[0], pair[1]), b = make_float2(pair[4], pair[5]), send = odd ? a : b;
        const float2 got = make_float2(__shfl_xor_sync(kAllLanes, send.x, 1), __shfl_xor_sync(kAllLanes, send.y, 1));
        *reinterpret_cast<float4*>(to + 8 * j) = odd ? make_float4(got.x, got.y, b.x, b.y) : make_float4(a.x, a.y, got.x, got.y);
      }
    }
    return;
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = totals[r], inverse = total == 0 ? 0.0f : 1.0f / total;
    Bf16* to = args.out + (static_cast<std::int64_t>(args.first + item.row) * args.heads + head + 8 * r) * kLatent + first_column + at.lane % 4 * 8;
#pragma unroll
    for (int j = 0; j < 32; j += 4) {
      // Four lanes have two columns of each of four groups of eight; afterwards each has one group whole.
      unsigned words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &sums[j / 16][4 * (j % 16 + i) + 2 * r];
        words[i] = pack_bf16_pair(quotient(pair[0], total, inverse), quotient(pair[1], total, inverse));
      }
      const bool odd = at.lane % 2 == 1, high = at.lane % 4 >= 2;
      const unsigned send_a = odd ? words[0] : words[1], send_b = odd ? words[2] : words[3];
      const unsigned got_a = __shfl_xor_sync(kAllLanes, send_a, 1), got_b = __shfl_xor_sync(kAllLanes, send_b, 1);
      const uint2 a = odd ? make_uint2(got_a, words[1]) : make_uint2(words[0], got_a), b = odd ? make_uint2(got_b, words[3]) : make_uint2(words[2], got_b);
      const uint2 send = high ? a : b, keep = high ? b : a;
      const uint2 got = make_uint2(__shfl_xor_sync(kAllLanes, send.x, 2), __shfl_xor_sync(kAllLanes, send.y, 2));
      *reinterpret_cast<uint4*>(to + 8 * j) = high ? make_uint4(got.x, got.y, keep.x, keep.y) : make_uint4(keep.x, keep.y, got.x, got.y);
    }
  }
}

/// The descriptor of what lies so many bytes behind: addresses of shared memory have 18 bits, so nothing is carried out of their field.
__device__ inline std::uint64_t moved(std::uint64_t tile, int bytes) {
  return (tile & 0xffffffff00000000ULL) | static_cast<unsigned>(static_cast<unsigned>(tile) + static_cast<unsigned>(bytes >> 4));
}

/// Multiplies the sums of two heads, unless no head of the warp needs it.
__device__ inline void shrink(float (&sums)[2][64], float first, float second) {
  if (__all_sync(kAllLanes, first == 1.0f && second == 1.0f)) return;
#pragma unroll
  for (int i = 0; i < 128; ++i) sums[i / 64][i % 64] *= i % 4 < 2 ? first : second;
}

/// How far (base 2) a logit may be above its head's base. Bases that are too low cost no accuracy, but a new one costs a multiplication of all sums.
inline constexpr float kAboveBase = 8.0f;

/// The softmax of a thread's two heads so far: logits (base 2) whose weight is 1, and sums over the thread's own columns.
struct Softmax {
  float most[2] = {kNothing, kNothing}, sum[2] = {0, 0};

  /// Scores to weights, in place; what earlier sums are to be multiplied by.
  __device__ float2 add(float (&scores)[32], const uint2& valid, float scale, int column) {
    if ((valid.x & valid.y) != 0xffffffffU) {
      const unsigned words[2] = {valid.x >> column, valid.y >> column};
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[4 * j + i] = (words[j / 4] >> (j % 4 * 8 + i % 2) & 1U) != 0 ? scores[4 * j + i] : kNothing;
      }
    }
    float factors[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float largest = fmaxf(scores[2 * r], scores[2 * r + 1]);
#pragma unroll
      for (int j = 1; j < 8; ++j) largest = fmaxf(largest, fmaxf(scores[4 * j + 2 * r], scores[4 * j + 2 * r + 1]));
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
      const float logit = largest * scale, now = logit > most[r] + kAboveBase ? logit : most[r], base = now == kNothing ? 0.0f : now;
      factors[r] = exp2_fast(most[r] - base);
      most[r] = now;
      float added = 0;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          scores[4 * j + i] = exp2_fast(fmaf(scores[4 * j + i], scale, -base));
          added += scores[4 * j + i];
        }
      }
      sum[r] = fmaf(sum[r], factors[r], added);
    }
    return {factors[0], factors[1]};
  }
};

__device__ inline void score_and_sum(const SparseAttentionArgs& args, const CUtensorMap* query_map, unsigned shared, std::byte* shared_bytes, int parts, int groups,
                                     int items) {
  const Lane at;
  const float scale = args.scale * kLog2E;
  float* factors = reinterpret_cast<float*>(shared_bytes + DecodeShared::factors);
  float* totals = reinterpret_cast<float*>(shared_bytes + DecodeShared::totals);
  const unsigned weights_row = static_cast<unsigned>(at.warp * 16 + at.lane % 16), weights_unit = static_cast<unsigned>(at.lane / 16);
  const auto ask_queries = [&](int next) {
    sync_threads(kScored, kWarpgroup);  // no warp reads the queries before these any more
    if (at.warp != 0 || !elect_one()) return;
    const DecodeItem item(next, parts, groups);
    arrive_expecting(shared + DecodeShared::queries_full, kTiles * kTileBytes);
    for (int tile = 0; tile < kTiles; ++tile) {
      load_tile_2d(shared + DecodeShared::queries + static_cast<unsigned>(tile * kTileBytes), query_map, shared + DecodeShared::queries_full, tile * kColumns,
                   (args.first + item.row) * args.heads + item.group * kHeads);
    }
  };

  float sums[2][64], scores[32];
#pragma unroll
  for (int i = 0; i < 128; ++i) sums[i / 64][i % 64] = 0;
#pragma unroll
  for (int i = 0; i < 32; ++i) scores[i] = 0;
  int buffer = 0;  // of the block whose scores come next
  unsigned parity = 0, queries_parity = 0;
  bool first_weights = true;
  const auto score = [&] {
    const std::uint64_t queries = tile_along_k(shared + DecodeShared::queries), keys = tile_along_k(keys_at(shared, buffer, 0));
    const auto tile_products = [&](int tile, bool first) {
#pragma unroll
      for (int k = 0; k < kColumns / 16; ++k) {
        multiply(scores, moved(queries, tile * kTileBytes + k * 32), moved(keys, tile * kTileBytes + k * 32), !first || k > 0);
      }
    };
    wait(full_barrier(shared, buffer, kRight), parity);
    products_begin();
#pragma unroll
    for (int tile = kHalfTiles; tile < 2 * kHalfTiles; ++tile) tile_products(tile, tile == kHalfTiles);
    wait(full_barrier(shared, buffer, kLeft), parity);
    products_begin();  // without it the compiler lets no products overlap
#pragma unroll
    for (int tile = 0; tile < kHalfTiles; ++tile) tile_products(tile, false);
    wait(full_barrier(shared, buffer, kRotary), parity);
    products_begin();
    tile_products(kTiles - 1, false);
    products_commit();
    buffer ^= 1;
    if (buffer == 0) parity ^= 1;
  };

  if (static_cast<int>(blockIdx.x) < items) ask_queries(static_cast<int>(blockIdx.x));
  for (int number = static_cast<int>(blockIdx.x); number < items; number += static_cast<int>(gridDim.x)) {
    const DecodeItem item(number, parts, groups);
    const int blocks = blocks_of(args, item), next = number + static_cast<int>(gridDim.x);
    Softmax softmax;
    unsigned weights[4][4];
    const auto valid_of = [&](int of) { return *reinterpret_cast<const uint2*>(shared_bytes + DecodeShared::valid + of * 8); };
    const auto hand_over = [&](const float2& factor) {
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) weights[k][i] = pack_bf16_pair(scores[8 * k + 2 * i], scores[8 * k + 2 * i + 1]);
      }
      if (!first_weights) sync_threads(kWeightsFree, 2 * kWarpgroup);
      first_weights = false;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const unsigned to = shared + DecodeShared::weights + swizzled(weights_row, static_cast<unsigned>(2 * k) + weights_unit);
        store_matrices(to, weights[k][0], weights[k][1], weights[k][2], weights[k][3]);
      }
      if (at.lane % 4 == 0) {
        factors[at.row] = factor.x;
        factors[at.row + 8] = factor.y;
      }
      fence_async_shared();
      arrive_threads(kWeightsReady, 2 * kWarpgroup);
    };

    wait(shared + DecodeShared::queries_full, queries_parity);
    queries_parity ^= 1;
    score();
    products_wait<0>();
    hold(scores);
    if (blocks == 1 && next < items) ask_queries(next);
    hand_over(softmax.add(scores, valid_of(buffer ^ 1), scale, at.column));
    const auto sum_left = [&](int values, bool first) {
      const std::uint64_t tile = tile_along_outer(keys_at(shared, values, 0), kTileBytes);
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int n = 0; n < 2; ++n) multiply<Major::Outer>(sums[n], weights[k], moved(tile, 2 * n * kTileBytes + k * 2048), !first || k > 0);
      }
      products_commit();
    };
    const auto left_summed = [&](int values) {
      products_wait<0>();
      hold(sums[0]);
      hold(sums[1]);
#pragma unroll
      for (int k = 0; k < 4; ++k) hold(weights[k]);
      if (at.lane == 0) arrive(empty_barrier(shared, values, kLeft));
    };
    for (int block = 0; block + 1 < blocks; ++block) {
      const int values = buffer ^ 1;
      score();
      sum_left(values, block == 0);
      products_wait<1>();
      hold(scores);
      if (block + 2 == blocks && next < items) ask_queries(next);
      const float2 factor = softmax.add(scores, valid_of(buffer ^ 1), scale, at.column);
      left_summed(values);
      shrink(sums, factor.x, factor.y);
      hand_over(factor);
    }
    sum_left(buffer ^ 1, blocks == 1);
    left_summed(buffer ^ 1);

    float all[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float total = softmax.sum[r];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      all[r] = total;
      if (at.lane % 4 != 0) continue;
      const int row = at.row + 8 * r, head = item.group * kHeads + row;
      totals[static_cast<int>(queries_parity) * kHeads + row] = total;
      if (parts > 1) {
        const std::int64_t slot = (static_cast<std::int64_t>(item.row) * parts + item.part) * args.heads + head;
        *reinterpret_cast<float2*>(args.part_stats + 2 * slot) = make_float2(softmax.most[r], total);
      } else if (args.lse != nullptr) {
        args.lse[static_cast<std::int64_t>(item.row) * args.heads + head] = total == 0 ? INFINITY : (softmax.most[r] + log2f(total)) * kLn2;
      }
    }
    arrive_threads(kTotalsReady, 2 * kWarpgroup);
    write_sums(args, item, parts, at, 0, sums, all);
  }
}

__device__ inline void sum_right(const SparseAttentionArgs& args, unsigned shared, const std::byte* shared_bytes, int parts, int groups, int items) {
  const Lane at;
  const float* factors = reinterpret_cast<const float*>(shared_bytes + DecodeShared::factors);
  const float* totals = reinterpret_cast<const float*>(shared_bytes + DecodeShared::totals);
  float sums[2][64];
#pragma unroll
  for (int i = 0; i < 128; ++i) sums[i / 64][i % 64] = 0;
  int buffer = 0, turn = 1;  // items take turns with the totals, as with the parity of their queries
  for (int number = static_cast<int>(blockIdx.x); number < items; number += static_cast<int>(gridDim.x)) {
    const DecodeItem item(number, parts, groups);
    const int blocks = blocks_of(args, item);
    for (int block = 0; block < blocks; ++block) {
      const std::uint64_t weights = tile_along_k(shared + DecodeShared::weights), tile = tile_along_outer(keys_at(shared, buffer, kHalfTiles), kTileBytes);
      sync_threads(kWeightsReady, 2 * kWarpgroup);
      if (block > 0) shrink(sums, factors[at.row], factors[at.row + 8]);
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          multiply<Major::Outer>(sums[n], moved(weights, k * 32), moved(tile, 2 * n * kTileBytes + k * 2048), block > 0 || k > 0);
        }
      }
      products_commit();
      products_wait<0>();
      hold(sums[0]);
      hold(sums[1]);
      if (at.lane == 0) arrive(empty_barrier(shared, buffer, kRight));
      if (block + 1 < blocks) arrive_threads(kWeightsFree, 2 * kWarpgroup);
      buffer ^= 1;
    }
    sync_threads(kTotalsReady, 2 * kWarpgroup);
    const float all[2] = {totals[turn * kHeads + at.row], totals[turn * kHeads + at.row + 8]};
    turn ^= 1;
    // Only now may the other warpgroup come to the next item's end.
    if (number + static_cast<int>(gridDim.x) < items) arrive_threads(kWeightsFree, 2 * kWarpgroup);
    write_sums(args, item, parts, at, kLatent / 2, sums, all);
  }
}

}  // namespace gauntlet::kernels::hopper
