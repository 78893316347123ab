#pragma once

// The two warpgroups of sparse_prefill that compute.

#include "inference/cuda/hopper/sparse_prefill_work.cuh"

namespace gauntlet::kernels::hopper::prefill {

/// A row's reference for exponents follows its largest logit only when that exceeds it by more than this (base 2): weights stay below 2^8, which
/// costs bf16 and float32 no precision, and sums are hardly ever rescaled.
inline constexpr float kSlack = 8.0f;

/// What a thread keeps of its two rows, lane / 4 and lane / 4 + 8 of its warp's 16 heads.
struct Running {
  float most[2] = {-INFINITY, -INFINITY};  ///< reference for exponents, base 2
  float sum[2] = {0, 0};                   ///< over the weights that this thread made
};

/// c = queries · keys over chunks [kFirst, kLast).
template <int kFirst, int kLast>
__device__ inline void score(float (&c)[32], unsigned queries, unsigned keys, bool add) {
#pragma unroll
  for (int chunk = kFirst; chunk < kLast; ++chunk) {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      const unsigned at = static_cast<unsigned>(chunk * kChunkBytes + step * 32);
      multiply(c, tile_along_k(queries + at), tile_along_k(keys + at), add || chunk > kFirst || step > 0);
    }
  }
}

/// o += weights (in registers) · values, 256 columns.
__device__ inline void mix(float (&o)[128], const unsigned (&weights)[4][4], unsigned values) {
#pragma unroll
  for (int step = 0; step < 4; ++step) multiply<Major::Outer>(o, weights[step], tile_along_outer(values + static_cast<unsigned>(step * 2048), kChunkBytes), true);
}
/// The same, weights in shared memory.
__device__ inline void mix(float (&o)[128], unsigned weights, unsigned values) {
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    multiply<Major::Outer>(o, tile_along_k(weights + static_cast<unsigned>(step * 32)), tile_along_outer(values + static_cast<unsigned>(step * 2048), kChunkBytes), true);
  }
}

/// Moves a thread's rows to new references; returns whether any of the warp's moved, so that `factor` is not 1.
__device__ inline bool move_to(Running& running, const float (&most)[2], float (&factor)[2]) {
  bool moved = false;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const bool differs = most[r] != running.most[r];
    factor[r] = differs ? exp2_fast(running.most[r] - most[r]) : 1.0f;
    running.sum[r] *= factor[r];
    running.most[r] = most[r];
    moved |= differs;
  }
  return __any_sync(kAllLanes, moved);
}
__device__ inline void rescale(float (&o)[128], const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < 128; ++i) o[i] *= factor[i / 2 % 2];
}

/// The tile's logits, base 2 and unscaled, where the mask has no bit: none. Then the references that the rows need.
__device__ inline void choose_references(float (&c)[32], std::uint64_t mask, float scale, const Running& running, float (&most)[2]) {
  if (mask != ~std::uint64_t{0}) {
    const std::uint64_t own = mask >> (threadIdx.x % 4 * 2);
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      if ((own >> (i / 4 * 8 + i % 2) & 1) == 0) c[i] = -INFINITY;
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = -INFINITY;
#pragma unroll
    for (int j = 0; j < 8; ++j) largest = fmaxf(largest, fmaxf(c[4 * j + 2 * r], c[4 * j + 2 * r + 1]));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2)) * scale;
    most[r] = largest > running.most[r] + kSlack ? largest : running.most[r];
  }
}

/// Weights 2^(c · scale - most), as the left operand of mix().
__device__ inline void weigh(float (&c)[32], float scale, Running& running, unsigned (&weights)[4][4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float base = running.most[r] == -INFINITY ? 0.0f : running.most[r];
    float added = 0;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float a = exp2_fast(fmaf(c[4 * j + 2 * r], scale, -base)), b = exp2_fast(fmaf(c[4 * j + 2 * r + 1], scale, -base));
      added += a + b;
      weights[j / 2][j % 2 * 2 + r] = pack_bf16_pair(a, b);
    }
    running.sum[r] += added;
  }
}
__device__ inline void store_weights(unsigned to, const unsigned (&weights)[4][4]) {
  const unsigned lane = threadIdx.x % 32, row = threadIdx.x % kWarpgroup / 32 * 16 + lane % 16;
#pragma unroll
  for (unsigned step = 0; step < 4; ++step) store_matrices(to + swizzled(row, step * 2 + lane / 16), weights[step][0], weights[step][1], weights[step][2], weights[step][3]);
}

/// References, and at the list's end sums, of this warpgroup's tile for the other.
__device__ inline void publish(std::byte* shared, int tile, const Running& running, bool last) {
  const unsigned lane = threadIdx.x % 32, row = threadIdx.x % kWarpgroup / 32 * 16 + lane / 4;
#pragma unroll
  for (unsigned r = 0; r < 2; ++r) {
    if (lane % 4 == 0) reinterpret_cast<float*>(shared + At::kMaxima)[tile * kHeads + static_cast<int>(row + r * 8)] = running.most[r];
    if (last) {
      float sum = running.sum[r];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      if (lane % 4 == 0) reinterpret_cast<float*>(shared + At::kSums)[tile * kHeads + static_cast<int>(row + r * 8)] = sum;
    }
  }
}
__device__ inline void published(const std::byte* shared, unsigned place, int tile, float (&out)[2]) {
  const unsigned row = threadIdx.x % kWarpgroup / 32 * 16 + threadIdx.x % 32 / 4;
#pragma unroll
  for (unsigned r = 0; r < 2; ++r) out[r] = reinterpret_cast<const float*>(shared + place)[tile * kHeads + static_cast<int>(row + r * 8)];
}
/// Sums over both tiles, in the same order in both warpgroups.
__device__ inline void total(const std::byte* shared, const Running& running, float (&out)[2]) {
  float even[2], odd[2], most[2];
  published(shared, At::kSums, 0, even);
  published(shared, At::kSums, 1, odd);
  published(shared, At::kMaxima, 0, most);
#pragma unroll
  for (int r = 0; r < 2; ++r) out[r] = fmaf(even[r], most[r] == running.most[r] ? 1.0f : exp2_fast(most[r] - running.most[r]), odd[r]);
}

/// a / b to nearest, given 1 / b to nearest: the bits that joining parts gives.
__device__ inline float divided(float a, float b, float inverse) {
  const float quotient = a * inverse;
  return fmaf(fmaf(-quotient, b, a), inverse, quotient);
}

/// This warpgroup's 256 columns, from `column`, of an item's results.
__device__ inline void write_item(const Problem& problem, const Item& item, const float (&o)[128], const Running& running, const float (&sums)[2], int column) {
  const SparseAttentionArgs& args = problem.args;
  const int lane = static_cast<int>(threadIdx.x % 32), row = static_cast<int>(threadIdx.x % kWarpgroup / 32 * 16) + lane / 4;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int head = item.head + row + r * 8;
    if (problem.parts > 1) {
      const std::int64_t slot = (static_cast<std::int64_t>(item.row) * problem.parts + item.part) * args.heads + head;
      if (column == 0 && lane % 4 == 0) *reinterpret_cast<float2*>(args.part_stats + 2 * slot) = make_float2(running.most[r], sums[r]);
      float* to = args.part_out + slot * kLatent + column + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < 32; ++j) *reinterpret_cast<float2*>(to + j * 8) = make_float2(o[4 * j + 2 * r], o[4 * j + 2 * r + 1]);
      continue;
    }
    if (args.lse != nullptr && column == 0 && lane % 4 == 0) {
      args.lse[static_cast<std::int64_t>(item.row) * args.heads + head] = sums[r] == 0 ? INFINITY : (running.most[r] + log2f(sums[r])) * kLn2;
    }
    const float inverse = sums[r] == 0 ? 0.0f : 1.0f / sums[r];
    Bf16* to = args.out + (static_cast<std::int64_t>(item.token) * args.heads + head) * kLatent + column + lane % 4 * 8;
    const bool odd = (lane & 1) != 0, high = (lane & 2) != 0;
#pragma unroll
    for (int j = 0; j < 32; j += 4) {
      // The four lanes of a row hold two columns each of four groups of 8; exchanged, each lane holds one group.
      unsigned v[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) v[i] = pack_bf16_pair(divided(o[4 * (j + i) + 2 * r], sums[r], inverse), divided(o[4 * (j + i) + 2 * r + 1], sums[r], inverse));
      const unsigned a = __shfl_xor_sync(kAllLanes, odd ? v[0] : v[1], 1), b = __shfl_xor_sync(kAllLanes, odd ? v[2] : v[3], 1);
      const unsigned w[4] = {odd ? a : v[0], odd ? v[1] : a, odd ? b : v[2], odd ? v[3] : b};  // columns 4·(lane / 2 % 2) to + 3 of groups lane % 2, lane % 2 + 2
      const unsigned c = __shfl_xor_sync(kAllLanes, high ? w[0] : w[2], 2), d = __shfl_xor_sync(kAllLanes, high ? w[1] : w[3], 2);
      __stcs(reinterpret_cast<uint4*>(to + j * 8), high ? make_uint4(c, d, w[2], w[3]) : make_uint4(w[0], w[1], c, d));
    }
  }
}

/// Parts that lists do not reach: one warpgroup, an item a thread.
__device__ inline void write_empty_parts(const Problem& problem, const Walk& walk) {
  const SparseAttentionArgs& args = problem.args;
  for (int index = static_cast<int>(blockIdx.x + threadIdx.x % kWarpgroup * gridDim.x); index < problem.items; index += static_cast<int>(kWarpgroup * gridDim.x)) {
    const Item item = walk.describe(index, walk.own_position(index));
    if (item.end > item.begin) continue;
    const std::int64_t slot = (static_cast<std::int64_t>(item.row) * problem.parts + item.part) * args.heads + item.head;
    for (int head = 0; head < kHeads; ++head) *reinterpret_cast<float2*>(args.part_stats + 2 * (slot + head)) = make_float2(-INFINITY, 0.0f);
  }
}

/// One thread: the queries of an item into shared memory.
__device__ inline void load_queries(const Problem& problem, const Item& item, const CUtensorMap* map, unsigned base) {
  arrive_expecting(base + At::kQueriesFull, kChunks * kChunkBytes);
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    const unsigned to = base + At::kQueries + static_cast<unsigned>(chunk * kChunkBytes);
    load_tile_2d(to, map, base + At::kQueriesFull, chunk * 64, item.token * problem.args.heads + item.head, kEvictFirst);
  }
}

/// A warp that has done with a group says so.
__device__ inline void release(unsigned base, int group) {
  if (threadIdx.x % 32 == 0) arrive(base + At::kFree + static_cast<unsigned>(group * 8));
}
/// Bits of the tile's valid positions.
__device__ inline std::uint64_t take_mask(const std::byte* shared, unsigned base, RingAt& ring, int tile) {
  wait(base + At::kListed + ring.slot * 8, ring.parity);
  const std::uint64_t mask = *reinterpret_cast<const std::uint64_t*>(shared + At::kMasks + ring.slot * 16 + tile * 8);
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive_after(base + At::kListFree + ring.slot * 8, static_cast<unsigned>(mask));
  ring.advance();
  return mask;
}

/// The left warpgroup: weights of even tiles, columns [0, 256) of the output.
__device__ inline void attend_left(const Problem& problem, std::byte* shared, unsigned base) {
  constexpr unsigned kEven = At::kKeys, kOdd = At::kKeys + kChunks * kChunkBytes;
  const float scale = problem.args.scale * kLog2E;
  Walk walk(problem);
  RingAt ring;
  Item item;
  unsigned parity = 0, query_parity = 0;
  float o[128], c[32];
  unsigned weights[4][4];
  while (walk.next(item)) {
    const int pairs = item.pairs();
    Running running;
#pragma unroll
    for (float& v : o) v = 0;
    wait(base + At::kQueriesFull, query_parity);
    query_parity ^= 1;
    wait(base + At::kFull + kEvenLeft * 8, parity);
    products_begin();
    score<0, 4>(c, base + At::kQueries, base + kEven, false);
    products_commit();
    wait(base + At::kFull + kEvenRight * 8, parity);
    products_begin();
    score<4, 9>(c, base + At::kQueries, base + kEven, true);
    products_commit();
    products_wait<0>();
    hold(c);
    for (int pair = 1; pair <= pairs; ++pair) {
      const bool last = pair == pairs;
      float most[2], factor[2];
      const std::uint64_t mask = take_mask(shared, base, ring, 0);
      choose_references(c, mask, scale, running, most);
      if (move_to(running, most, factor)) rescale(o, factor);
      weigh(c, scale, running, weights);
      // Right has read the weights before these: the even tile's right half, which it frees after that, has been filled again.
      store_weights(base + At::kEvenWeights, weights);
      publish(shared, 0, running, last);
      fence_async_shared();
      arrive_threads(kEvenReady, 2 * kWarpgroup);
      products_begin();
      mix(o, weights, base + kEven);
      products_commit();
      products_wait<0>();
      hold(o);
      release(base, kEvenLeft);

      sync_threads(kOddReady, 2 * kWarpgroup);
      published(shared, At::kMaxima, 1, most);
      if (move_to(running, most, factor)) rescale(o, factor);
      products_begin();
      mix(o, base + At::kOddWeights, base + kOdd);
      products_commit();
      parity ^= 1;
      if (!last) {
        wait(base + At::kFull + kEvenLeft * 8, parity);
        products_begin();
        score<0, 4>(c, base + At::kQueries, base + kEven, false);
        products_commit();
        products_wait<1>();
        release(base, kOddLeft);
        wait(base + At::kFull + kEvenRight * 8, parity);
        products_begin();
        score<4, 9>(c, base + At::kQueries, base + kEven, true);
        products_commit();
        products_wait<0>();
        hold(c);
      } else {
        products_wait<0>();
        release(base, kOddLeft);
      }
      hold(o);
    }
    float sums[2];
    total(shared, running, sums);
    write_item(problem, item, o, running, sums, 0);
  }
}

/// The right warpgroup: weights of odd tiles, columns [256, 512) of the output.
__device__ inline void attend_right(const Problem& problem, const CUtensorMap* queries, std::byte* shared, unsigned base) {
  constexpr unsigned kOdd = At::kKeys + kChunks * kChunkBytes, kRight = 4 * kChunkBytes;
  const float scale = problem.args.scale * kLog2E;
  const bool elected = threadIdx.x % kWarpgroup == 0;
  Walk walk(problem);
  if (problem.parts > 1) write_empty_parts(problem, walk);
  RingAt ring;
  Item item, next;
  unsigned parity = 0, query_parity = 0;
  float o[128], c[32];
  unsigned weights[4][4];
  bool more = walk.next(next);
  if (more && elected) load_queries(problem, next, queries, base);
  while (more) {
    item = next;
    more = walk.next(next);
    const int pairs = item.pairs();
    Running running;
    float sums[2] = {0, 0};
#pragma unroll
    for (float& v : o) v = 0;
    wait(base + At::kQueriesFull, query_parity);
    query_parity ^= 1;
    for (int pair = 0; pair < pairs; ++pair) {
      float most[2], factor[2];
      wait(base + At::kFull + kOddRight * 8, parity);
      products_begin();
      score<4, 8>(c, base + At::kQueries, base + kOdd, false);
      products_commit();
      wait(base + At::kFull + kOddLeft * 8, parity);
      products_begin();
      score<0, 4>(c, base + At::kQueries, base + kOdd, true);
      score<8, 9>(c, base + At::kQueries, base + kOdd, true);
      products_commit();
      const std::uint64_t mask = take_mask(shared, base, ring, 1);
      products_wait<0>();
      hold(c);

      sync_threads(kEvenReady, 2 * kWarpgroup);
      // Both have done with the queries, and all warps here with the odd tile's rotary chunk.
      if (pair + 1 == pairs && more && elected) load_queries(problem, next, queries, base);
      published(shared, At::kMaxima, 0, most);
      if (move_to(running, most, factor)) rescale(o, factor);
      products_begin();
      mix(o, base + At::kEvenWeights, base + At::kKeys + kRight);
      products_commit();
      choose_references(c, mask, scale, running, most);
      const bool moved = move_to(running, most, factor);
      weigh(c, scale, running, weights);
      store_weights(base + At::kOddWeights, weights);
      publish(shared, 1, running, pair + 1 == pairs);
      if (pair + 1 == pairs) {
        __syncwarp();
        total(shared, running, sums);  // before left may go on to its next item
      }
      fence_async_shared();
      arrive_threads(kOddReady, 2 * kWarpgroup);
      products_wait<0>();
      hold(o);
      release(base, kEvenRight);
      if (moved) rescale(o, factor);
      products_begin();
      mix(o, weights, base + kOdd + kRight);
      products_commit();
      products_wait<0>();
      hold(o);
      release(base, kOddRight);
      parity ^= 1;
    }
    write_item(problem, item, o, running, sums, kHalf);
  }
}

}  // namespace gauntlet::kernels::hopper::prefill
