#pragma once

// The kernel of sparse_few_heads.h.
//
// A block attends for 8 or 16 heads of a row over one part of its list, a tile of positions at a time. Four warps fetch tiles, four turn them into
// weights, and four sum values by these weights; of these each works on columns of its own of the latent. In both products positions or
// columns are the M of the matrix unit and heads its N, so 8 heads need not be padded. Logits are the sum of what the warps find over their columns.
//
// Keys stay in shared memory as they are in the cache. FP8 ones go to the matrix unit as f16 without their scales: a scale multiplies what a warp has
// found (its columns lie within one block of 128) or the weight of a position's values. ldmatrix, which moves pairs of bytes, leaves every register
// with four values of one position, or with two values of each of two; so columns are taken in the order in which they come.
//
// Weights are relative to the largest logit rounded up to a whole number, in base 2: what they are multiplied by when that grows is a power of two,
// exact in 16 bits too.

#include <bit>

#include "inference/cuda/hopper/sparse_few_heads_parts.cuh"

namespace gauntlet::kernels::few_heads {

/// Blocks of a multiprocessor: what registers and shared memory are planned for.
inline constexpr int kBlocks = 2;

/// Where the scale of a warp's columns lies in a row of FP8.
__device__ inline int scale_byte(int warp) { return kLatent + warp * 4; }

/// Weights of all heads for each tile, from the keys: what the scoring warps do.
template <class At, int kHeadTiles>
__device__ void score_tiles(const SparseAttentionArgs& args, std::byte* shared_bytes, int token, int first_head, int tiles) {
  constexpr bool kFp8 = At::kFp8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps;
  const unsigned shared = shared_address(shared_bytes);
  const int g = lane / 4, t = lane % 4;  // the matrix unit's rows and pairs of columns of a thread

  // The queries' columns of this warp, as the matrix unit's right operand. In f16 those of 8 heads are multiplied by a power of two that makes
  // the largest of them 2^13 or more: what is lost of smaller ones is below 2^-37 of it.
  unsigned queries[kSteps][kHeadTiles][2], queries_rope[kHeadTiles][2];
  float unscale[kHeadTiles];
  const Bf16* from = args.queries + (static_cast<std::int64_t>(token) * args.heads + first_head) * kWidth;
#pragma unroll
  for (int n = 0; n < kHeadTiles; ++n) {
    const int head = n * 8 + g;
    const bool there = first_head + head < args.heads;
    const Bf16* query = from + head * kWidth;
    unsigned largest = 0;  // of the magnitudes, bit patterns of bf16 in twos
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      uint2 four = make_uint2(0, 0);
      if constexpr (kFp8) {
        if (there) four = *reinterpret_cast<const uint2*>(query + warp * kColumns + s * 16 + t * 4);
        largest = __vmaxu2(largest, __vmaxu2(four.x & 0x7fff7fffU, four.y & 0x7fff7fffU));
      } else if (there) {
        four.x = *reinterpret_cast<const unsigned*>(query + warp * kColumns + s * 16 + t * 2);
        four.y = *reinterpret_cast<const unsigned*>(query + warp * kColumns + s * 16 + t * 2 + 8);
      }
      queries[s][n][0] = four.x;
      queries[s][n][1] = four.y;
    }
    const Bf16* rope = query + kLatent + warp * 16 + t * 2;
    queries_rope[n][0] = there ? *reinterpret_cast<const unsigned*>(rope) : 0;
    queries_rope[n][1] = there ? *reinterpret_cast<const unsigned*>(rope + 8) : 0;
    if constexpr (kFp8) {
      largest = __reduce_max_sync(kAllLanes, max(largest & 0xffffU, largest >> 16));
      const unsigned exponent = min(max(267 - static_cast<int>(largest >> 7), 1), 253);
      const float scale = __uint_as_float(exponent << 23);
      unscale[n] = __uint_as_float((254 - exponent) << 23);
#pragma unroll
      for (int i = 0; i < kSteps * 2; ++i) {
        unsigned& two = queries[i / 2][n][i % 2];
        two = pack_two<true>(__uint_as_float(two << 16) * scale, __uint_as_float(two & 0xffff0000U) * scale);
      }
    }
  }

  const unsigned as_rows = lane % 16 * At::kRowStride + lane / 16 * 16 + warp * kColumns * (kFp8 ? 1 : 2);
  const unsigned rope_rows = lane % 16 * At::kRowStride + lane / 16 * 16 + At::kRowBytes - kRope * 2 + warp * 32;
  const float logit_scale = args.scale * kLog2E;
  for (int tile = 0; tile < tiles; ++tile) {
    const int stage = tile % At::kStages;
    const unsigned keys = shared + At::kKeys + stage * kTile * At::kRowStride;
    float4* sums = reinterpret_cast<float4*>(shared_bytes + At::kSums) + tile % 2 * kWarps * At::kUnits * 32;
    hopper::wait(shared + At::kFull + stage * 8, tile / At::kStages % 2);

    // What this warp's columns add to the logits, those of the rotary key too; two tiles of 16 positions at a time.
#pragma unroll
    for (int m = 0; m < kTiles16; m += 2) {
      float c[2][kHeadTiles][4] = {};
#pragma unroll
      for (int s = 0; s < kSteps; s += kFp8 ? 2 : 1) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          unsigned words[4];
          load_four<false>(words, keys + (m + i) * 16 * At::kRowStride + as_rows + s * (kFp8 ? 16 : 32));
          if constexpr (kFp8) {
            unsigned a[2][4];
            widen_four(words[0], a[0][0], a[0][2]);
            widen_four(words[1], a[0][1], a[0][3]);
            widen_four(words[2], a[1][0], a[1][2]);
            widen_four(words[3], a[1][1], a[1][3]);
#pragma unroll
            for (int n = 0; n < kHeadTiles; ++n) multiply_16<true>(c[i][n], a[0], queries[s][n][0], queries[s][n][1]);
#pragma unroll
            for (int n = 0; n < kHeadTiles; ++n) multiply_16<true>(c[i][n], a[1], queries[s + 1][n][0], queries[s + 1][n][1]);
          } else {
#pragma unroll
            for (int n = 0; n < kHeadTiles; ++n) multiply_16<false>(c[i][n], words, queries[s][n][0], queries[s][n][1]);
          }
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if constexpr (kFp8) {
          const unsigned scales = keys + ((m + i) * 16 + g) * At::kRowStride + scale_byte(warp);
          const float scale[2] = {load_shared_float(scales), load_shared_float(scales + 8 * At::kRowStride)};
#pragma unroll
          for (int n = 0; n < kHeadTiles; ++n) {
            for (int e = 0; e < 4; ++e) c[i][n][e] *= scale[e / 2] * unscale[n];
          }
        }
        unsigned words[4];
        load_four<false>(words, keys + (m + i) * 16 * At::kRowStride + rope_rows);
#pragma unroll
        for (int n = 0; n < kHeadTiles; ++n) multiply_16<false>(c[i][n], words, queries_rope[n][0], queries_rope[n][1]);
#pragma unroll
        for (int n = 0; n < kHeadTiles; ++n) sums[(warp * At::kUnits + (m + i) * kHeadTiles + n) * 32 + lane] = make_float4(c[i][n][0], c[i][n][1], c[i][n][2], c[i][n][3]);
      }
    }
    hopper::sync_threads(1, kWarps * 32);

    // Logits, and weights relative to the largest of 16 positions.
#pragma unroll
    for (int first = 0; first < At::kUnits; first += kWarps) {
      const int unit = first + warp;
      if (At::kUnits % kWarps != 0 && unit >= At::kUnits) break;
      float4 x = sums[unit * 32 + lane];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) {
        const float4 y = sums[(w * At::kUnits + unit) * 32 + lane];
        x = make_float4(x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w);
      }
      const float* valid = reinterpret_cast<const float*>(shared_bytes + At::kValid) + stage * kTile + unit / kHeadTiles * 16 + g;
      const float none[2] = {valid[0], valid[8]};
      x = make_float4(fmaf(x.x, logit_scale, none[0]), fmaf(x.y, logit_scale, none[0]), fmaf(x.z, logit_scale, none[1]), fmaf(x.w, logit_scale, none[1]));
      float high[2] = {fmaxf(x.x, x.z), fmaxf(x.y, x.w)}, total[2];
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        for (int h = 0; h < 2; ++h) high[h] = fmaxf(high[h], __shfl_xor_sync(kAllLanes, high[h], step));
      }
      for (int h = 0; h < 2; ++h) high[h] = ceilf(high[h]);
      const float base[2] = {(high[0] == kNone ? 0.0f : high[0]) - kWeightShift, (high[1] == kNone ? 0.0f : high[1]) - kWeightShift};
      x = make_float4(hopper::exp2_fast(x.x - base[0]), hopper::exp2_fast(x.y - base[1]), hopper::exp2_fast(x.z - base[0]), hopper::exp2_fast(x.w - base[1]));
      unsigned* weights = reinterpret_cast<unsigned*>(shared_bytes + At::kWeights + stage * At::kWeightsBytes) + unit * 64 + lane;
      weights[0] = pack_two<kFp8>(x.x, x.y);
      weights[32] = pack_two<kFp8>(x.z, x.w);
      total[0] = x.x + x.z;
      total[1] = x.y + x.w;
#pragma unroll
      for (int step = 4; step < 32; step *= 2) {
        for (int h = 0; h < 2; ++h) total[h] += __shfl_xor_sync(kAllLanes, total[h], step);
      }
      if (g == 0) reinterpret_cast<float4*>(shared_bytes + At::kStats + stage * At::kStatsBytes)[unit * 4 + t] = make_float4(high[0], total[0], high[1], total[1]);
    }
    __syncwarp();
    if (lane == 0) hopper::arrive(shared + At::kWeighted + stage * 8);
  }
}

/// Sums of values by weights: what the other warps do. `out` [steps][head tiles] has the matrix unit's rows as columns of the latent, in FP8 as they
/// come, and its columns as heads; `most` and `sum` belong to head lane / 4 of a tile. `out` is relative to `largest_scale`.
template <class At, int kHeadTiles>
__device__ void sum_tiles(std::byte* shared_bytes, int tiles, float (&out)[kSteps][kHeadTiles][4], float (&most)[kHeadTiles], float (&sum)[kHeadTiles],
                          float& largest_scale) {
  constexpr bool kFp8 = At::kFp8;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps;
  const unsigned shared = shared_address(shared_bytes);
  const int g = lane / 4, t = lane % 4;
  // Rows of the four matrices that one ldmatrix brings: in FP8 positions 0 to 7, 8 to 15, then the next 16 columns; else the next 8 columns come first.
  const unsigned lane_row = kFp8 ? lane % 16 : lane % 8 + lane / 16 * 8, lane_unit = kFp8 ? lane / 16 : lane / 8 % 2;
  const unsigned as_rows = lane_row * At::kRowStride + lane_unit * 16 + warp * kColumns * (kFp8 ? 1 : 2);

  for (int tile = 0; tile < tiles; ++tile) {
    const int stage = tile % At::kStages;
    const unsigned keys = shared + At::kKeys + stage * kTile * At::kRowStride;
    hopper::wait(shared + At::kFull + stage * 8, tile / At::kStages % 2);

    // Scales of this warp's columns, relative to the largest so far.
    float shrink_scale = 1.0f;
    if constexpr (kFp8) {
      const float scale = load_shared_float(keys + lane * At::kRowStride + scale_byte(warp));
      const unsigned largest = __reduce_max_sync(kAllLanes, max(__float_as_uint(largest_scale), __float_as_uint(scale)));
      const float now = __uint_as_float(largest), inverse = largest == 0 ? 0.0f : 1.0f / now;
      shrink_scale = now == largest_scale ? 1.0f : largest_scale * inverse;
      largest_scale = now;
      reinterpret_cast<__half*>(shared_bytes + At::kRatios)[warp * kTile + lane] = __float2half_rn(scale * inverse);
      __syncwarp();
    }
    hopper::wait(shared + At::kWeighted + stage * 8, tile / At::kStages % 2);

    unsigned weights[kTiles16][kHeadTiles][2];
    float shrink[kHeadTiles];
    bool same = shrink_scale == 1.0f;
#pragma unroll
    for (int n = 0; n < kHeadTiles; ++n) {
      float2 stats[kTiles16];
      float now = most[n];
#pragma unroll
      for (int m = 0; m < kTiles16; ++m) {
        stats[m] = reinterpret_cast<const float2*>(shared_bytes + At::kStats + stage * At::kStatsBytes)[(m * kHeadTiles + n) * 8 + g];
        now = fmaxf(now, stats[m].x);
      }
      const float base = now == kNone ? 0.0f : now;
      shrink[n] = hopper::exp2_fast(most[n] - base);
      same = same && most[n] == now;
      most[n] = now;
      sum[n] *= shrink[n];
#pragma unroll
      for (int m = 0; m < kTiles16; ++m) {
        const float factor = hopper::exp2_fast(stats[m].x - base + kPartShift);
        sum[n] = fmaf(factor, stats[m].y, sum[n]);
        weights[m][n][0] = weights[m][n][1] = pack_two<kFp8>(factor, factor);
      }
    }
    // Two units at a time: positions 0 to 7 and 8 to 15 of each.
#pragma unroll
    for (int unit = 0; unit < At::kUnits; unit += 2) {
      unsigned words[4];
      load_four<true>(words, shared + At::kWeights + stage * At::kWeightsBytes + unit * 256 + lane * 16);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        unsigned& weight = weights[(unit + i / 2) / kHeadTiles][(unit + i / 2) % kHeadTiles][i % 2];
        weight = multiply_two<kFp8>(weight, words[i]);
      }
    }
    if constexpr (kFp8) {
#pragma unroll
      for (int i = 0; i < kTiles16 * 2; ++i) {
        const unsigned ratios = *reinterpret_cast<const unsigned*>(shared_bytes + At::kRatios + (warp * kTile + i * 8 + t * 2) * 2);
#pragma unroll
        for (int n = 0; n < kHeadTiles; ++n) weights[i / 2][n][i % 2] = multiply_two<true>(weights[i / 2][n][i % 2], ratios);
      }
    }
    if (!__all_sync(kAllLanes, same)) {
#pragma unroll
      for (int n = 0; n < kHeadTiles; ++n) {
        const float by[2] = {__shfl_sync(kAllLanes, shrink[n], t * 8) * shrink_scale, __shfl_sync(kAllLanes, shrink[n], t * 8 + 4) * shrink_scale};
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          for (int e = 0; e < 4; ++e) out[s][n][e] *= by[e % 2];
        }
      }
    }
    unsigned loaded = 0;
#pragma unroll
    for (int m = 0; m < kTiles16; ++m) {
#pragma unroll
      for (int s = 0; s < kSteps; s += kFp8 ? 2 : 1) {
        unsigned words[4];
        load_four<true>(words, keys + m * 16 * At::kRowStride + as_rows + s * (kFp8 ? 16 : 32));
        loaded = words[0];
        if constexpr (kFp8) {
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            unsigned a[4];
            widen_four(__byte_perm(words[2 * i], 0, 0x3120), a[0], a[1]);
            widen_four(__byte_perm(words[2 * i + 1], 0, 0x3120), a[2], a[3]);
#pragma unroll
            for (int n = 0; n < kHeadTiles; ++n) multiply_16<true>(out[s + i][n], a, weights[m][n][0], weights[m][n][1]);
          }
        } else {
#pragma unroll
          for (int n = 0; n < kHeadTiles; ++n) multiply_16<false>(out[s][n], words, weights[m][n][0], weights[m][n][1]);
        }
      }
    }
    __syncwarp();
    if (lane == 0) hopper::arrive_after(shared + At::kFree + stage * 8, loaded);
  }
}

// Grid: rows × groups of heads, × parts, of which up to kJoined are a cluster. A block attends for some of a row's heads over one part of its list; a
// cluster joins its parts. Groups of a row are neighbours: what one fetches, the others find in the L2 cache.
template <int kHeadTiles, CacheFormat kFormat, int kStages>
__global__ void __launch_bounds__(kThreads, kBlocks) few_heads_kernel(const __grid_constant__ SparseAttentionArgs args, int groups) {
  using At = Shared<kHeadTiles, kFormat, kStages>;
  // What the fetching warps give, the others take.
  constexpr int kEven = 65536 / kBlocks / kThreads / 8 * 8, kFetching = 32, kOther = kEven + (kEven - kFetching) / 2 / 8 * 8;
  extern __shared__ __align__(16) std::byte shared_bytes[];
  const unsigned shared = shared_address(shared_bytes);
  const int row = static_cast<int>(blockIdx.x) / groups, part = static_cast<int>(blockIdx.y), parts = static_cast<int>(gridDim.y), token = args.first + row;
  const int first_head = static_cast<int>(blockIdx.x) % groups * kHeadTiles * 8;
  const int role = static_cast<int>(threadIdx.x) / (kWarps * 32);
  const int begin = part * args.part;
  const int entry = role == 2 ? first_entry(args, row, begin) : -1;
  const int last = args.batch.positions[token];
  const int length = args.chosen == nullptr ? last + 1 : args.form == ListForm::Packed ? min(args.k, last + 1) : args.k;
  const int end = min(length, begin + args.part);
  const int tiles = end > begin ? (end - begin + kTile - 1) / kTile : 0;

  const Results<kHeadTiles> results{args, shared, shared + At::kJoin, row, part, parts, first_head};
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      hopper::barrier_init(shared + At::kFull + s * 8, kWarps);
      hopper::barrier_init(shared + At::kWeighted + s * 8, kWarps);
      hopper::barrier_init(shared + At::kFree + s * 8, kWarps);
    }
    hopper::barrier_init(results.barrier, 1);
    hopper::arrive_expecting(results.barrier, static_cast<unsigned>(results.expected()));
    hopper::fence_barrier_init();
  }
  __syncthreads();

  if (role == 0) {
    hopper::take_registers<kOther>();
    score_tiles<At, kHeadTiles>(args, shared_bytes, token, first_head, tiles);
  } else if (role == 1) {
    hopper::take_registers<kOther>();
    float out[kSteps][kHeadTiles][4] = {}, most[kHeadTiles], sum[kHeadTiles], largest_scale = 0;
    for (int n = 0; n < kHeadTiles; ++n) most[n] = kNone, sum[n] = 0;
    sum_tiles<At, kHeadTiles>(shared_bytes, tiles, out, most, sum, largest_scale);
    if (parts <= kJoined) {
      // Shared memory is free when all that sum have come; those that score have given all their weights by then. The other warps end, and do not count.
      if (parts > 1) {
        hopper::cluster_arrive_relaxed();
        hopper::cluster_wait();
      } else {
        hopper::sync_threads(2, kWarps * 32);
      }
    }
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32 % kWarps, g = lane / 4, t = lane % 4;
    const float by = (At::kFp8 ? largest_scale : 1.0f) * kUnshift;
    const std::int64_t slot = (static_cast<std::int64_t>(row) * parts + part) * args.heads + first_head;  // of the workspace
#pragma unroll
    for (int n = 0; n < kHeadTiles; ++n) {
      if (warp == 0 && t == 0) {
        const int head = n * 8 + g;
        const float2 stats = make_float2(most[n], sum[n] * kUnshift);
        if (parts <= kJoined) {
          const auto place = results.place(head);
          results.send(place.stats, stats, place.barrier);
        } else if (first_head + head < args.heads) {
          *reinterpret_cast<float2*>(args.part_stats + 2 * (slot + head)) = stats;
        }
      }
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int head = n * 8 + t * 2 + h;
        const auto place = results.place(head);
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          // Two neighbouring columns. Those of FP8 are a thread's own; the others are half its neighbour's.
          float2 two = make_float2(out[s][n][h] * by, out[s][n][2 + h] * by);
          int column = warp * kColumns + s * 16 + g * 2;
          if constexpr (!At::kFp8) {
            const float other = __shfl_xor_sync(kAllLanes, g % 2 == 0 ? two.y : two.x, 4);
            two = g % 2 == 0 ? make_float2(two.x, other) : make_float2(other, two.y);
            column = warp * kColumns + s * 16 + g / 2 * 2 + g % 2 * 8;
          }
          if (parts <= kJoined) {
            results.send(place.out + column * 4, two, place.barrier);
          } else if (first_head + head < args.heads) {
            *reinterpret_cast<float2*>(args.part_out + (slot + head) * kLatent + column) = two;
          }
        }
      }
    }
    if (parts <= kJoined) results.join(shared_bytes);
  } else {
    hopper::give_registers<kFetching>();
    fetch_tiles<At>(args, shared, row, token, begin, end, last, entry);
  }
}

template <int kHeadTiles, CacheFormat kFormat, int kStages>
void launch(const SparseAttentionArgs& args, CudaStream stream) {
  using At = Shared<kHeadTiles, kFormat, kStages>;
  const auto kernel = few_heads_kernel<kHeadTiles, kFormat, kStages>;
  const auto needed = static_cast<unsigned>(args.parts()), parts = needed <= kJoined ? std::bit_ceil(needed) : needed;
  const int groups = (args.heads + kHeadTiles * 8 - 1) / (kHeadTiles * 8);
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, At::kTotal));
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {1, parts <= kJoined ? parts : 1, 1};
  attributes[1].id = cudaLaunchAttributeClusterSchedulingPolicyPreference;
  attributes[1].val.clusterSchedulingPolicyPreference = cudaClusterSchedulingPolicyLoadBalancing;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(args.rows) * static_cast<unsigned>(groups), parts);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = At::kTotal;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  cuda_check(cudaLaunchKernelEx(&config, kernel, args, groups));
}

}  // namespace gauntlet::kernels::few_heads
