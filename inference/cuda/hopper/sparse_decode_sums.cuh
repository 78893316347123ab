#pragma once

// The two warpgroups of sparse_decode.cu that multiply. They score blocks in turn, and hand each other the weights; each sums half of the values' columns.
// While one does its softmax the other keeps the matrix unit busy.

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
      float* to = args.part_out + (slot + 8 * r) * kLatent + first_column + at.column;
#pragma unroll
      for (int j = 0; j < 32; ++j) *reinterpret_cast<float2*>(to + 8 * j) = make_float2(sums[j / 16][4 * (j % 16) + 2 * r], sums[j / 16][4 * (j % 16) + 2 * r + 1]);
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

/// How far (base 2) a logit may be above its head's base. Another base multiplies all weights by one number, so one that is too low costs no accuracy; but
/// a new one costs a multiplication of all sums.
inline constexpr float kAboveBase = 8.0f;

/// Scores to weights, in place; positions that are not valid get 0. `bases` of a thread's two heads may rise; returns what earlier sums are to be
/// multiplied by. `sum` is over the thread's own columns.
__device__ inline float2 softmax(float (&scores)[32], const uint2& valid, float scale, int column, float (&bases)[2], float (&sum)[2]) {
  if ((valid.x & valid.y) != 0xffffffffU) {
    const unsigned words[2] = {valid.x >> column, valid.y >> column};
#pragma unroll
    for (int i = 0; i < 32; ++i) scores[i] = (words[i / 16] >> (i / 4 % 4 * 8 + i % 2) & 1U) != 0 ? scores[i] : kNothing;
  }
  float factors[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = fmaxf(scores[2 * r], scores[2 * r + 1]);
#pragma unroll
    for (int j = 1; j < 8; ++j) largest = fmaxf(largest, fmaxf(scores[4 * j + 2 * r], scores[4 * j + 2 * r + 1]));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2)) * scale;
    const float now = largest > bases[r] + kAboveBase ? largest : bases[r], base = now == kNothing ? 0.0f : now;
    factors[r] = exp2_fast(bases[r] - base);
    bases[r] = now;
    float added[2] = {0, 0};
#pragma unroll
    for (int j = 0; j < 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[4 * j + 2 * r + i];
        score = exp2_fast(fmaf(score, scale, -base));
        added[i] += score;
      }
    }
    sum[r] = fmaf(sum[r], factors[r], added[0] + added[1]);
  }
  return {factors[0], factors[1]};
}

/// The descriptor of what lies so many bytes behind: addresses of shared memory have 18 bits, so nothing is carried out of their field.
__device__ inline std::uint64_t moved(std::uint64_t tile, int bytes) {
  return (tile & 0xffffffff00000000ULL) | static_cast<unsigned>(static_cast<unsigned>(tile) + static_cast<unsigned>(bytes >> 4));
}

/// `kSelf`: which of the two warpgroups this is.
template <int kSelf>
__device__ inline void score_and_sum(const SparseAttentionArgs& args, const CUtensorMap* query_map, std::byte* shared_bytes, int parts, int groups, int items) {
  const Lane at;
  const unsigned shared = shared_address(shared_bytes);
  const float scale = args.scale * kLog2E;
  const auto floats = [&](int offset, int index) { return reinterpret_cast<float*>(shared_bytes + offset) + index * kHeads + at.row; };  // of heads row and row + 8
  const unsigned weights_to = keys_at(shared, kSelf, kTiles - 1) + static_cast<unsigned>(at.warp * 16 + at.lane % 16) * 128;
  const unsigned weights_unit = static_cast<unsigned>(at.lane / 16), swizzle = static_cast<unsigned>(at.lane % 8);
  constexpr int kOwnTile = kSelf * kHalfTiles, kOthersTile = kHalfTiles - kOwnTile;  // first tiles of the columns that this warpgroup sums, and of the rest
  const std::uint64_t queries = tile_along_k(shared + DecodeShared::queries), own_keys = tile_along_k(keys_at(shared, kSelf, 0));
  const std::uint64_t others_keys = tile_along_k(keys_at(shared, kSelf ^ 1, 0));
  const std::uint64_t own_values = tile_along_outer(keys_at(shared, kSelf, 0), kTileBytes), others_values = tile_along_outer(keys_at(shared, kSelf ^ 1, 0), kTileBytes);
  const auto ask_queries = [&](int next) {
    if (at.warp != 0 || !elect_one()) return;
    const DecodeItem item(next, parts, groups);
    arrive_expecting(shared + DecodeShared::queries_full, kTiles * kTileBytes);
    for (int tile = 0; tile < kTiles; ++tile) {
      load_tile_2d(shared + DecodeShared::queries + static_cast<unsigned>(tile * kTileBytes), query_map, shared + DecodeShared::queries_full, tile * kColumns,
                   (args.first + item.row) * args.heads + item.group * kHeads);
    }
  };

  float sums[2][64], sum[2];
#pragma unroll
  for (int i = 0; i < 128; ++i) sums[i / 64][i % 64] = 0;
  unsigned parity = 0, queries_parity = 0;
  int turn = 0;  // whose block is next
  if (kSelf == 0 && static_cast<int>(blockIdx.x) < items) ask_queries(static_cast<int>(blockIdx.x));
  for (int number = static_cast<int>(blockIdx.x); number < items; number += static_cast<int>(gridDim.x)) {
    const DecodeItem item(number, parts, groups);
    const int blocks = blocks_of(args, item), next = number + static_cast<int>(gridDim.x);
    const int odd = static_cast<int>(queries_parity);
    bool summed = false;  // whether `sums` holds anything
    sum[0] = sum[1] = 0;
    wait(shared + DecodeShared::queries_full, queries_parity);
    queries_parity ^= 1;

    const auto shrink = [&](float first, float second) {
      if (__all_sync(kAllLanes, first == 1.0f && second == 1.0f)) return;
#pragma unroll
      for (int i = 0; i < 128; ++i) sums[i / 64][i % 64] *= i % 4 < 2 ? first : second;
    };
    const auto others_weights = [&] {
      sync_threads(kWeightsReady + (kSelf ^ 1), 2 * kWarpgroup);
      const float* factors = floats(DecodeShared::factors, kSelf ^ 1);
      if (summed) {
        sum[0] *= factors[0];
        sum[1] *= factors[8];
        shrink(factors[0], factors[8]);
      }
    };
    const auto sum_others = [&] {
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          const std::uint64_t weights = moved(others_keys, (kTiles - 1) * kTileBytes + k * 32);
          multiply<Major::Outer>(sums[n], weights, moved(others_values, (kOwnTile + 2 * n) * kTileBytes + k * 2048), summed || k > 0);
        }
      }
      products_commit();
      summed = true;
    };
    const auto others_summed = [&] {
      hold(sums[0]);
      hold(sums[1]);
      if (at.lane == 0) arrive(empty_barrier(shared, kSelf ^ 1, kOthers));
    };
    const auto score_tiles = [&](float (&scores)[32], int first, int count, bool add) {
#pragma unroll
      for (int tile = 0; tile < count; ++tile) {
#pragma unroll
        for (int k = 0; k < kColumns / 16; ++k) {
          const int at_bytes = (first + tile) * kTileBytes + k * 32;
          multiply(scores, moved(queries, at_bytes), moved(own_keys, at_bytes), add || tile > 0 || k > 0);
        }
      }
    };
    const auto own_block = [&]<bool kSumOthers>(int block) {
      float scores[32] = {}, bases[2];
      wait(full_barrier(shared, kSelf, kOwn), parity);
      products_begin();
      score_tiles(scores, kOwnTile, kHalfTiles, false);
      if constexpr (kSumOthers) {
        others_weights();
        sum_others();
      }
      wait(full_barrier(shared, kSelf, kOthers), parity);
      products_begin();  // without it the compiler lets no products overlap
      score_tiles(scores, kOthersTile, kHalfTiles, true);
      wait(full_barrier(shared, kSelf, kRotary), parity);
      products_begin();
      score_tiles(scores, kTiles - 1, 1, true);
      products_commit();
      parity ^= 1;
      if constexpr (kSumOthers) {
        products_wait<1>();
        others_summed();
      }
      products_wait<0>();
      hold(scores);
      bases[0] = block == 0 ? kNothing : floats(DecodeShared::bases, odd)[0];
      bases[1] = block == 0 ? kNothing : floats(DecodeShared::bases, odd)[8];
      const float2 factor = softmax(scores, *reinterpret_cast<const uint2*>(shared_bytes + DecodeShared::valid + kSelf * 8), scale, at.column, bases, sum);
      if (at.lane % 4 == 0) {
        float* base = floats(DecodeShared::bases, odd);
        float* factors = floats(DecodeShared::factors, kSelf);
        base[0] = bases[0];
        base[8] = bases[1];
        factors[0] = factor.x;
        factors[8] = factor.y;
      }
      unsigned weights[4][4];
#pragma unroll
      for (int i = 0; i < 16; ++i) weights[i / 4][i % 4] = pack_bf16_pair(scores[2 * i], scores[2 * i + 1]);
      sync_threads(kWarpgroupScored + kSelf, kWarpgroup);  // all warps have read the rotary keys; and the queries
      if (block + 1 == blocks && next < items) ask_queries(next);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        store_matrices(weights_to + (((static_cast<unsigned>(2 * k) + weights_unit) ^ swizzle) << 4), weights[k][0], weights[k][1], weights[k][2], weights[k][3]);
      }
      fence_async_shared();
      arrive_threads(kWeightsReady + kSelf, 2 * kWarpgroup);
      if constexpr (kSumOthers) shrink(factor.x, factor.y);
      products_begin();
#pragma unroll
      for (int k = 0; k < 4; ++k) {
#pragma unroll
        for (int n = 0; n < 2; ++n) multiply<Major::Outer>(sums[n], weights[k], moved(own_values, (kOwnTile + 2 * n) * kTileBytes + k * 2048), kSumOthers || k > 0);
      }
      products_commit();
      summed = true;
      products_wait<0>();
      hold(sums[0]);
      hold(sums[1]);
#pragma unroll
      for (int k = 0; k < 4; ++k) hold(weights[k]);
      if (at.lane == 0) arrive(empty_barrier(shared, kSelf, kOwn));
    };

    int block = 1;
    if (turn == kSelf) {
      own_block.template operator()<false>(0);
      block = 2;
    }
    for (; block < blocks; block += 2) own_block.template operator()<true>(block);
    if (block == blocks) {
      others_weights();
      sum_others();
      products_wait<0>();
      others_summed();
    }
    turn = (turn + blocks) % 2;

#pragma unroll
    for (int r = 0; r < 2; ++r) {
      sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 1);
      sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 2);
      if (at.lane % 4 == 0) floats(DecodeShared::sums, 2 * odd + kSelf)[8 * r] = sum[r];
    }
    sync_threads(kItemSummed, 2 * kWarpgroup);
    float totals[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float total = floats(DecodeShared::sums, 2 * odd)[8 * r] + floats(DecodeShared::sums, 2 * odd + 1)[8 * r];
      const float base = floats(DecodeShared::bases, odd)[8 * r];
      totals[r] = total;
      if (at.lane % 4 != 0 || kSelf != 0) continue;
      const int head = item.group * kHeads + at.row + 8 * r;
      if (parts > 1) {
        *reinterpret_cast<float2*>(args.part_stats + 2 * ((static_cast<std::int64_t>(item.row) * parts + item.part) * args.heads + head)) = make_float2(base, total);
      } else if (args.lse != nullptr) {
        args.lse[static_cast<std::int64_t>(item.row) * args.heads + head] = total == 0 ? INFINITY : (base + log2f(total)) * kLn2;
      }
    }
    write_sums(args, item, parts, at, kSelf * kLatent / 2, sums, totals);
  }
}

}  // namespace gauntlet::kernels::hopper
