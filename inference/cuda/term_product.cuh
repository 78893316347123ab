#pragma once

// What both kernels of term products share: operands in the layout of mma.m16n8k16, their products, and what is done with sums.
//
// The inner dimension is cut into steps of 64 elements, and into at most eight slices of one or more steps. A slice is summed by matrix instructions, step
// after step, apart for first and second terms; then the slices in order. Which elements meet in one matrix instruction is free as long as both operands
// agree, so lane 4 g + t takes elements 8 t .. 8 t + 7 of each 32 for its rows g (and g + 8): 16 bytes give the operands of two instructions.

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"
#include "inference/cuda/term_product.h"

namespace gauntlet::kernels::terms {

inline constexpr int kStep = 64;
inline constexpr int kMaxSlices = 8;

/// What a launch knows of the slices.
struct Slices {
  int count = 0;
  int steps = 0;         ///< of each
  float one_over_inner = 0;
  unsigned nothing = 0;  ///< zero, which the compiler must not know
};

/// What x is: float32 rows as they are, float32 rows to be normed, or two terms.
enum class TermInput { Float, Normed, Terms };

/// 16 bytes, zeros where `wanted` is false. The condition lies inside so that loads stay in one block of code, in which the compiler starts them together.
/// Weights and norms are read by nobody else on this multiprocessor; the rest may have been written by others while this kernel was there.
template <bool kConstant>
__device__ inline uint4 load_16(const void* at, bool wanted) {
  uint4 out;
  if constexpr (kConstant) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\nmov.u32 %0, 0;\nmov.u32 %1, 0;\nmov.u32 %2, 0;\nmov.u32 %3, 0;\n"
        "@p ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];\n}\n"
        : "=&r"(out.x), "=&r"(out.y), "=&r"(out.z), "=&r"(out.w) : "l"(at), "r"(static_cast<int>(wanted)) : "memory");
  } else {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.s32 p, %5, 0;\nmov.u32 %0, 0;\nmov.u32 %1, 0;\nmov.u32 %2, 0;\nmov.u32 %3, 0;\n"
        "@p ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];\n}\n"
        : "=&r"(out.x), "=&r"(out.y), "=&r"(out.z), "=&r"(out.w) : "l"(at), "r"(static_cast<int>(wanted)) : "memory");
  }
  return out;
}

/// Eight bf16 elements from `at`, of which `count` exist; the others are zero.
template <bool kVector, bool kConstant>
__device__ inline uint4 load_eight(const Bf16* at, int count) {
  if constexpr (kVector) {
    return load_16<kConstant>(at, count > 0);
  } else {
    unsigned words[4] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i < count) words[i / 2] |= static_cast<unsigned>(at[i].bits) << (i % 2 * 16);
    }
    return {words[0], words[1], words[2], words[3]};
  }
}

/// Four float32 elements, the same way.
template <bool kVector, bool kConstant>
__device__ inline uint4 load_four_floats(const float* at, int count) {
  if constexpr (kVector) {
    return load_16<kConstant>(at, count > 0);
  } else {
    unsigned words[4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < count) words[i] = __float_as_uint(at[i]);
    }
    return {words[0], words[1], words[2], words[3]};
  }
}

/// Two bf16 numbers in one instruction.
__device__ inline unsigned pack_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const unsigned&>(pair);
}

/// One step of 16 weight rows: the first operands of its four matrix instructions.
struct Weights {
  unsigned operands[4][4];

  /// Rows g and g + 8, of one half of the step.
  __device__ void set(int half, const uint4& upper, const uint4& lower) {
    const unsigned both[2][4] = {{upper.x, lower.x, upper.y, lower.y}, {upper.z, lower.z, upper.w, lower.w}};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      operands[2 * half][i] = both[0][i];
      operands[2 * half + 1][i] = both[1][i];
    }
  }
};

/// `at`: the lane's row, at its first element of the step; `rows` of the 16 exist, and `left` elements from there.
template <bool kVector>
__device__ inline Weights load_weights(const Bf16* at, std::int64_t row_stride, int rows, int left, int row) {
  Weights out;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int count = left - 32 * half;
    out.set(half, load_eight<kVector, true>(at + 32 * half, row < rows ? count : 0), load_eight<kVector, true>(at + 8 * row_stride + 32 * half, row + 8 < rows ? count : 0));
  }
  return out;
}

/// One step of a lane's row of x as it lies in memory: 16 floats, or both halves of the first terms and then of the second.
struct RawRow {
  uint4 words[4];
};

/// `at`: the lane's first element of the step, of which `left` exist from there.
template <bool kVector>
__device__ inline RawRow load_floats(const float* at, int left) {
  RawRow out;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    out.words[2 * half] = load_four_floats<kVector, false>(at + 32 * half, left - 32 * half);
    out.words[2 * half + 1] = load_four_floats<kVector, false>(at + 32 * half + 4, left - 32 * half - 4 * !kVector);
  }
  return out;
}
template <bool kVector>
__device__ inline RawRow load_terms(const Bf16* high, const Bf16* low, int left) {
  RawRow out;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    out.words[half] = load_eight<kVector, false>(high + 32 * half, left - 32 * half);
    out.words[2 + half] = load_eight<kVector, false>(low + 32 * half, low != nullptr ? left - 32 * half : 0);
  }
  return out;
}

/// Keeps the compiler from beginning with one load's data before it has started the next load (it would wait for memory once for each): nothing goes on
/// until all are there. `nothing` is zero.
template <int kHeld, int kN>
__device__ inline void start_together(const RawRow (&rows)[kHeld][kN], unsigned nothing) {
  unsigned all = 0;
#pragma unroll
  for (int h = 0; h < kHeld; ++h) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) all |= rows[h][n].words[i].x;
    }
  }
  if ((all & nothing) != 0) __trap();
}

/// The norm's weights of a lane's 16 elements of one step.
struct NormWeights {
  uint4 words[4];
};

template <bool kVector>
__device__ inline NormWeights load_norm(const float* at, int left) {
  NormWeights out;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    out.words[2 * half] = load_four_floats<kVector, true>(at + 32 * half, left - 32 * half);
    out.words[2 * half + 1] = load_four_floats<kVector, true>(at + 32 * half + 4, left - 32 * half - 4 * !kVector);
  }
  return out;
}

/// sum + the squares of a raw row's elements, in their order.
__device__ inline float add_squares(const RawRow& raw, float sum) {
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const float v = __uint_as_float((&raw.words[i / 4].x)[i % 4]);
    sum = fmaf(v, v, sum);
  }
  return sum;
}

/// Over the four lanes of a row.
__device__ inline float sum_of_row(float value) {
  value += __shfl_xor_sync(kAllLanes, value, 1);
  return value + __shfl_xor_sync(kAllLanes, value, 2);
}

/// A lane's 16 normed elements of one step for other readers, from `at` on in both arrays; `left` of its row's exist.
template <bool kVector>
__device__ inline void write_normed(const TermProductArgs& args, const RawRow& raw, const NormWeights& norm, float factor, std::int64_t at, int left) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t to = at + 32 * half;
    float v[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) v[i] = __uint_as_float((&raw.words[2 * half + i / 4].x)[i % 4]) * factor * __uint_as_float((&norm.words[2 * half + i / 4].x)[i % 4]);
    if constexpr (kVector) {
      if (left <= 32 * half) continue;
      if (args.normed != nullptr) {
        *reinterpret_cast<float4*>(args.normed + to) = {v[0], v[1], v[2], v[3]};
        *reinterpret_cast<float4*>(args.normed + to + 4) = {v[4], v[5], v[6], v[7]};
      }
      if (args.normed_high != nullptr)
        *reinterpret_cast<uint4*>(args.normed_high + to) = {pack_pair(v[0], v[1]), pack_pair(v[2], v[3]), pack_pair(v[4], v[5]), pack_pair(v[6], v[7])};
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        if (32 * half + i >= left) break;
        if (args.normed != nullptr) args.normed[to + i] = v[i];
        if (args.normed_high != nullptr) args.normed_high[to + i] = round_bf16(v[i]);
      }
    }
  }
}

/// Both terms of a row's step.
struct Terms {
  uint4 high[2], low[2];
};

/// A row's step in two terms: of what is to be normed, times the norm's weights, but not yet the row's factor, which the sum of the products is
/// multiplied by. So the products need not wait for the norm.
template <TermInput kInput>
__device__ inline Terms split_row(const RawRow& raw, const NormWeights& norm) {
  Terms out;
  if constexpr (kInput == TermInput::Terms) {
    out = {{raw.words[0], raw.words[1]}, {raw.words[2], raw.words[3]}};
  } else {
#pragma unroll
    for (int i = 0; i < 16; i += 2) {
      float a = __uint_as_float((&raw.words[i / 4].x)[i % 4]), b = __uint_as_float((&raw.words[i / 4].x)[i % 4 + 1]);
      if constexpr (kInput == TermInput::Normed) {
        a *= __uint_as_float((&norm.words[i / 4].x)[i % 4]);
        b *= __uint_as_float((&norm.words[i / 4].x)[i % 4 + 1]);
      }
      const unsigned high = pack_pair(a, b);
      (&out.high[i / 8].x)[i % 8 / 2] = high;
      (&out.low[i / 8].x)[i % 8 / 2] = pack_pair(a - __uint_as_float(high << 16), b - __uint_as_float(high & 0xffff0000U));
    }
  }
  return out;
}

/// Sums of both terms, apart: two chains of matrix instructions wait for each other less than one.
struct Sums {
  float high[4] = {}, low[4] = {};
};

/// One step of 16 weight rows with kN × 8 rows of x.
template <int kN>
__device__ inline void multiply_step(Sums (&sums)[kN], const Weights& weights, const Terms (&x)[kN], bool two_terms) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int half = k / 2, word = k % 2 * 2;
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      const unsigned* high = &x[n].high[half].x + word;
      multiply_add(sums[n].high, weights.operands[k], high[0], high[1]);
    }
    if (two_terms) {
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const unsigned* low = &x[n].low[half].x + word;
        multiply_add(sums[n].low, weights.operands[k], low[0], low[1]);
      }
    }
  }
}

/// An element's slices in order, `distance` apart. All are loaded at once; what is not there counts as zero.
__device__ inline float sum_slices(const float* partial, int slices, int distance) {
  float parts[kMaxSlices];
#pragma unroll
  for (int s = 0; s < kMaxSlices; ++s) parts[s] = s < slices ? partial[s * distance] : 0.0f;
  float sum = 0;
#pragma unroll
  for (int s = 0; s < kMaxSlices; ++s) sum += parts[s];
  return sum;
}

__device__ inline float norm_factor(float squares, const TermProductArgs& args, const Slices& slices) { return rsqrtf(fmaf(squares, slices.one_over_inner, args.eps)); }

/// Where a block's elements lie in y. With the gated activation, kOutputs counts gates alone.
template <int kRows, int kOutputs>
struct OutputTile {
  int first_row = 0, first_output = 0;
  std::int64_t problem = 0;

  __device__ bool has(const TermProductArgs& args, int element) const {
    return element < kRows * kOutputs && first_row + element / kOutputs < args.rows && first_output + element % kOutputs < args.outputs;
  }
  __device__ std::int64_t at(const TermProductArgs& args, int element) const {
    return problem * args.y_distance + (first_row + element / kOutputs) * args.y_stride + first_output + element % kOutputs;
  }
};

/// Writes one element from its sum (and the sum of its up), `before` being what y holds.
template <TermOutput kOutput>
__device__ inline void finish(const TermProductArgs& args, std::int64_t to, float value, float up, float before) {
  if constexpr (kOutput == TermOutput::GateTerms) value = silu(value) * up;
  if constexpr (kOutput == TermOutput::Float) {
    args.y[to] = value;
  } else if constexpr (kOutput == TermOutput::AddFloat) {
    args.y[to] = before + value;
  } else {
    args.y_high[to] = round_bf16(value);
    if (args.y_low != nullptr) args.y_low[to] = round_rest(value);
  }
}

/// The same for four neighbours, from sums without their norm's factor.
template <TermOutput kOutput>
__device__ inline void finish_four(const TermProductArgs& args, std::int64_t to, float factor, const float4& sums, const float4& ups, const uint4& before) {
  float v[4] = {factor * sums.x, factor * sums.y, factor * sums.z, factor * sums.w};
  const float up[4] = {factor * ups.x, factor * ups.y, factor * ups.z, factor * ups.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kOutput == TermOutput::GateTerms) v[i] = silu(v[i]) * up[i];
    if constexpr (kOutput == TermOutput::AddFloat) v[i] = __uint_as_float((&before.x)[i]) + v[i];
  }
  if constexpr (kOutput == TermOutput::Float || kOutput == TermOutput::AddFloat) {
    *reinterpret_cast<float4*>(args.y + to) = {v[0], v[1], v[2], v[3]};
  } else {
    float rest[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) rest[i] = v[i] - __bfloat162float(__float2bfloat16_rn(v[i]));
    *reinterpret_cast<uint2*>(args.y_high + to) = {pack_pair(v[0], v[1]), pack_pair(v[2], v[3])};
    if (args.y_low != nullptr) *reinterpret_cast<uint2*>(args.y_low + to) = {pack_pair(rest[0], rest[1]), pack_pair(rest[2], rest[3])};
  }
}

}  // namespace gauntlet::kernels::terms
