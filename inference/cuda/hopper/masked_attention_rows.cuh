#pragma once

// What a computing warpgroup of masked_attention() does with its 64 rows: logits, their softmax as it goes, sums of values.
//
// A thread holds two rows, lane / 4 and 8 below of its warp's 16, and of each the columns that wgmma_bf16.cuh names; four neighbouring lanes share a row.

#include <cmath>

#include "inference/cuda/hopper/masked_attention_tiles.cuh"
#include "inference/cuda/hopper/wgmma_bf16.cuh"

namespace gauntlet::kernels::hopper::masked {

/// Steps of 16 columns of the queries; as many of them as registers have room for are held there, which spares shared memory.
inline constexpr unsigned kQuerySteps = kMaskedQuery / 16, kHeldSteps = 8;

/// 16 columns of a warp's 16 queries, as the first operand in registers. `tile`: 64 columns of the group's queries in shared memory.
__device__ inline void load_queries(unsigned (&out)[4], unsigned tile, unsigned step) {
  const unsigned lane = threadIdx.x % 32, row = threadIdx.x % kWarpgroup / 32 * 16 + lane % 16;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(tile + swizzled(row, 2 * step + lane / 16))
               : "memory");
}

/// Starts logits = queries · keys, [64, kKeys] over 192. The last columns of the queries are `held` in registers, the others in shared memory.
template <int kCount>
__device__ inline void start_logits(float (&logits)[kCount], std::uint64_t queries, const unsigned (&held)[kHeldSteps][4], std::uint64_t keys) {
#pragma unroll
  for (unsigned step = 0; step < kQuerySteps; ++step) {
    const std::uint64_t key = keys + (step / 4 * kKeyColumns + step % 4 * 32) / 16;
    if (step < kQuerySteps - kHeldSteps) {
      multiply(logits, queries + (step / 4 * kQueryColumns + step % 4 * 32) / 16, key, step > 0);
    } else {
      multiply(logits, held[step + kHeldSteps - kQuerySteps], key, step > 0);
    }
  }
}

/// Starts sums (+)= weights · values, [64, 128] over the tile's keys.
__device__ inline void start_sums(float (&sums)[kMaskedValue / 2], const unsigned (&weights)[kKeys / 16][4], std::uint64_t values, bool add) {
#pragma unroll
  for (unsigned step = 0; step < kKeys / 16; ++step) multiply<Major::Outer>(sums, weights[step], values + step * 2048 / 16, step > 0 || add);
}

/// Of a thread's two rows.
struct RowState {
  float most[2] = {-INFINITY, -INFINITY};  ///< about the largest logit so far, before scaling
  float total[2] = {0, 0};                 ///< Σ of this thread's columns

  /// Columns beyond a row's own become -infinity. `own`: column of the first row's own token.
  template <int kCount>
  __device__ static void mask(float (&logits)[kCount], int own) {
    const int lane = static_cast<int>(threadIdx.x) % 32, column = 2 * (lane % 4);
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (column + 8 * (i / 4) + i % 2 > own + 8 * (i / 2 % 2)) logits[i] = -INFINITY;
    }
  }

  /// Logits become exp2(scale · (logit - most)), and `factors` what sums so far are to be multiplied with. The reference point follows the largest logit
  /// only when that is far above it: so factors are 1 nearly always, and weights at most 2^8.
  template <int kCount>
  __device__ void take(float (&logits)[kCount], float scale, float (&factors)[2]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      float larger[2] = {-INFINITY, -INFINITY};
#pragma unroll
      for (int i = 2 * row; i < kCount; i += 4) {
        larger[0] = fmaxf(larger[0], logits[i]);
        larger[1] = fmaxf(larger[1], logits[i + 1]);
      }
      float now = fmaxf(larger[0], larger[1]);
      now = fmaxf(now, __shfl_xor_sync(kAllLanes, now, 1));
      now = fmaxf(now, __shfl_xor_sync(kAllLanes, now, 2));
      now = (now - most[row]) * scale > 8.0f ? now : most[row];
      const float shift = now == -INFINITY ? 0.0f : now * scale;
      factors[row] = now == most[row] ? 1.0f : exp2_fast(most[row] * scale - shift);
      most[row] = now;
      float sum[2] = {total[row] * factors[row], 0};
#pragma unroll
      for (int i = 2 * row; i < kCount; i += 4) {
        logits[i] = exp2_fast(logits[i] * scale - shift);
        logits[i + 1] = exp2_fast(logits[i + 1] * scale - shift);
        sum[0] += logits[i];
        sum[1] += logits[i + 1];
      }
      total[row] = sum[0] + sum[1];
    }
  }
};

/// Weights as the first operand of the next product; zeros beyond those that there are.
template <int kCount>
__device__ inline void pack_weights(unsigned (&weights)[kKeys / 16][4], const float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kKeys / 4; ++i) weights[i / 4][i % 4] = 2 * i < kCount ? pack_bf16_pair(values[2 * i], values[2 * i + 1]) : 0;
}

__device__ inline void scale_rows(float (&sums)[64], const float (&factors)[2]) {
#pragma unroll
  for (int i = 0; i < 64; ++i) sums[i] *= factors[i / 2 % 2];
}

/// Zeros for the values of keys from `from` on: their weights are 0, but what they hold may not be finite. By all threads of a warpgroup.
__device__ inline void clear_values(unsigned values, int from, int barrier) {
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  for (int unit = from * 8 + thread; unit < kKeys * 8; unit += kWarpgroup) {
#pragma unroll
    for (unsigned part = 0; part < 2; ++part) {
      asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};\n" ::"r"(values + part * kKeyColumns + static_cast<unsigned>(unit) * 16), "r"(0) : "memory");
    }
  }
  fence_async_shared();
  sync_threads(barrier, kWarpgroup);
}

/// Four neighbouring lanes exchange words, so that each has four in a row: lane l gets word l of all.
__device__ inline uint4 exchange_words(unsigned a, unsigned b, unsigned c, unsigned d) {
  const bool high = (threadIdx.x & 2U) != 0, odd = (threadIdx.x & 1U) != 0;
  const unsigned x = __shfl_xor_sync(kAllLanes, high ? a : c, 2), y = __shfl_xor_sync(kAllLanes, high ? b : d, 2);
  const unsigned low_even = high ? x : a, low_odd = high ? y : b, high_even = high ? c : x, high_odd = high ? d : y;
  const unsigned u = __shfl_xor_sync(kAllLanes, odd ? low_even : low_odd, 1), v = __shfl_xor_sync(kAllLanes, odd ? high_even : high_odd, 1);
  return {odd ? u : low_even, odd ? low_odd : u, odd ? v : high_even, odd ? high_odd : v};
}

/// Writes a warpgroup's rows up to `last`; `token` is that of this thread's first row.
__device__ inline void write_rows(const Work& work, const float (&sums)[64], const RowState& state, int token, int last, int head) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int row = 0; row < 2; ++row) {
    const int t = token + 8 * row;
    float total = state.total[row];
    total += __shfl_xor_sync(kAllLanes, total, 1);
    total += __shfl_xor_sync(kAllLanes, total, 2);
    const float inverse = 1.0f / total;
    Bf16* out = work.out + (static_cast<std::int64_t>(t) * work.heads + head) * kMaskedValue + lane % 4 * 8;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      unsigned words[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) words[j] = pack_bf16_pair(sums[16 * i + 4 * j + 2 * row] * inverse, sums[16 * i + 4 * j + 2 * row + 1] * inverse);
      const uint4 whole = exchange_words(words[0], words[1], words[2], words[3]);
      if (t <= last) *reinterpret_cast<uint4*>(out + i * 32) = whole;
    }
    if (work.lse != nullptr && t <= last && lane % 4 == 0) {
      work.lse[static_cast<std::int64_t>(t - work.first) * work.heads + head] = (state.most[row] * work.scale + log2f(total)) * 0.693147180559945309f;
    }
  }
}

}  // namespace gauntlet::kernels::hopper::masked
