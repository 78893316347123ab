#pragma once

// Term products of many rows: steps of the inner dimension pass through a few stages of shared memory, from which each warp multiplies its part of the tile.

#include "inference/cuda/term_product.cuh"

namespace gauntlet::kernels::terms {

/// kRowWarps × kOutputWarps warps, each with 16 rows and its share of 64 weight rows.
template <int kRowWarps, int kOutputWarps_>
struct StagedTile {
  static constexpr int kOutputWarps = kOutputWarps_, kThreads = 32 * kRowWarps * kOutputWarps, kRows = 16 * kRowWarps, kWeightRows = 64, kStages = 4;
  static constexpr int kBlocks = 2;  ///< of a multiprocessor, at least
  static constexpr int kWeightBytes = kWeightRows * kStep * 2, kStageBytes = kWeightBytes + kRows * kStep * 4;
  static constexpr int kStride = kWeightRows + 4;  ///< of a row of sums: four apart in banks
  /// The norm's weights, then stages; sums and factors take the place of stages in the end.
  static constexpr int shared_bytes(int inner, bool normed) { return (normed ? round_up(inner, kStep) * 4 : 0) + kStages * kStageBytes; }
  static_assert(kRows * (kStride + 1) * 4 <= kStages * kStageBytes);
};

// Where 16 bytes lie in a stage. Neighbouring rows change places, so that the lanes that read together find all banks.
__device__ inline int half_row_at(int row, int unit) { return row * 128 + unit * 16 ^ row % 2 * 64; }
__device__ inline int float_row_at(int row, int unit) { return row * 256 + unit * 16 ^ row % 2 * 16; }

/// Copies of a block's units of 16 bytes to a stage, each thread the same units of each step. Rows that do not exist are copies of the last one.
template <class Tile, TermInput kInput, int kGates>
struct StageCopies {
  static constexpr bool kTerms = kInput == TermInput::Terms;
  static constexpr int kThreads = Tile::kThreads, kUnits = kTerms ? 8 : 16;  ///< of a row of x; with terms, of each
  static constexpr int kWeightCopies = Tile::kWeightRows * 8 / kThreads, kXCopies = Tile::kRows * kUnits / kThreads;
  const Bf16* weights;
  const std::byte *x, *x_low;
  int weight_rows[kWeightCopies], x_rows[kXCopies];
  int x_stride_bytes, weight_to, x_to;

  template <int kRows, int kOutputs>
  __device__ StageCopies(const TermProductArgs& args, const OutputTile<kRows, kOutputs>& tile) {
    const int thread = static_cast<int>(threadIdx.x);
    weights = args.weights + tile.problem * args.weights_distance + thread % 8 * 8;
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) {
      const int row = thread / 8 + i * (kThreads / 8);
      weight_rows[i] = min(tile.first_output + row % kGates, args.outputs - 1) + (row < kGates ? 0 : args.outputs);
    }
    const std::int64_t from = tile.problem * args.x_distance + thread % kUnits * (kStep / kUnits);
    if constexpr (kTerms) {
      x = reinterpret_cast<const std::byte*>(args.x_high + from);
      x_low = args.x_low != nullptr ? reinterpret_cast<const std::byte*>(args.x_low + from) : x;
    } else {
      x = reinterpret_cast<const std::byte*>(args.x + from);
    }
    x_stride_bytes = static_cast<int>(args.x_stride) * (kTerms ? 2 : 4);
#pragma unroll
    for (int i = 0; i < kXCopies; ++i) {
      const int row = min(tile.first_row + thread / kUnits + i * (kThreads / kUnits), args.rows - 1);
      x_rows[i] = args.source_rows != nullptr ? args.source_rows[row] : row;
    }
    weight_to = half_row_at(thread / 8, thread % 8);
    x_to = Tile::kWeightBytes + (kTerms ? half_row_at(thread / 8, thread % 8) : float_row_at(thread / 16, thread % 16));
  }

  __device__ void copy_weights(std::byte* stage, int step, int inner) const {
    const Bf16* from = weights + step * kStep;
    const bool inside = step * kStep + static_cast<int>(threadIdx.x) % 8 * 8 < inner;
#pragma unroll
    for (int i = 0; i < kWeightCopies; ++i) copy_16_async(stage + weight_to + i * (kThreads / 8) * 128, from + static_cast<std::int64_t>(weight_rows[i]) * inner, inside);
  }

  __device__ void copy_x(std::byte* stage, int step, int inner, bool two_terms) const {
    constexpr int kRowBytes = kTerms ? 128 : 256;
    const int first = step * kStep + static_cast<int>(threadIdx.x) % kUnits * (kStep / kUnits);
    const std::int64_t skip = static_cast<std::int64_t>(step) * kRowBytes;
#pragma unroll
    for (int i = 0; i < kXCopies; ++i) {
      const std::int64_t at = static_cast<std::int64_t>(x_rows[i]) * x_stride_bytes + skip;
      std::byte* to = stage + x_to + i * (kThreads / kUnits) * kRowBytes;
      copy_16_async(to, x + at, first < inner);
      if constexpr (kTerms) copy_16_async(to + Tile::kRows * 128, x_low + at, two_terms && first < inner);
    }
  }
};

/// Grid: (tiles of outputs, tiles of rows, problems). A block makes one tile. With the gated activation, half of its weight rows are ups. Normed rows, if they
/// are wanted, are written by all tiles of outputs, each some steps of them.
template <class Tile, TermInput kInput, TermOutput kOutput>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks) staged_kernel(const __grid_constant__ TermProductArgs args, const Slices slices) {
  constexpr int kM = Tile::kWeightRows / 16 / Tile::kOutputWarps, kN = 2, kRows = Tile::kRows, kThreads = Tile::kThreads, kStages = Tile::kStages;
  constexpr bool kNormed = kInput == TermInput::Normed, kGate = kOutput == TermOutput::GateTerms, kTerms = kInput == TermInput::Terms;
  constexpr int kOutputs = kGate ? Tile::kWeightRows / 2 : Tile::kWeightRows;
  let_next_begin();
  extern __shared__ __align__(128) std::byte bytes[];
  float* const norm = reinterpret_cast<float*>(bytes);
  std::byte* const stages = bytes + (kNormed ? round_up(args.inner, kStep) * 4 : 0);

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32, lane_row = lane / 4, quarter = lane % 4;
  const OutputTile<kRows, kOutputs> tile{.first_row = static_cast<int>(blockIdx.y) * kRows, .first_output = static_cast<int>(blockIdx.x) * kOutputs, .problem = blockIdx.z};
  const int steps = (args.inner + kStep - 1) / kStep, warp_row = warp / Tile::kOutputWarps * 16, warp_column = warp % Tile::kOutputWarps * 16 * kM;
  const bool two_terms = kTerms ? args.x_low != nullptr : args.terms == ActivationTerms::Two;

  const StageCopies<Tile, kInput, kOutputs> copies(args, tile);
  const auto stage_of = [&](int step) { return stages + step % kStages * Tile::kStageBytes; };
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < steps) copies.copy_weights(stage_of(i), i, args.inner);
  }
  if constexpr (kNormed) {
    for (int i = thread; i < round_up(args.inner, kStep); i += kThreads) norm[i] = i < args.inner ? args.norm_weight[i] : 0.0f;
  }
  wait_for_previous();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    if (i < steps) copies.copy_x(stage_of(i), i, args.inner, two_terms);
    commit_copies();
  }

  Sums sums[kM][kN];
  float totals[kM][kN][4] = {}, square[kN] = {}, squares[kN] = {};
  for (int step = 0; step < steps; ++step) {
    wait_copies<kStages - 2>();
    __syncthreads();
    if (const int next = step + kStages - 1; next < steps) {
      copies.copy_weights(stage_of(next), next, args.inner);
      copies.copy_x(stage_of(next), next, args.inner, two_terms);
    }
    commit_copies();

    const std::byte* stage = stage_of(step);
    Terms x[kN];
    NormWeights norm_weights{};
    if constexpr (kNormed) {
#pragma unroll
      for (int i = 0; i < 4; ++i) norm_weights.words[i] = *reinterpret_cast<const uint4*>(norm + step * kStep + i / 2 * 32 + quarter * 8 + i % 2 * 4);
    }
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      const std::byte* from = stage + Tile::kWeightBytes + (warp_row + 8 * n) * (kTerms ? 128 : 256);
      RawRow raw;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = kTerms ? i / 2 * kRows * 128 + half_row_at(lane_row, i % 2 * 4 + quarter) : float_row_at(lane_row, i / 2 * 8 + quarter * 2 + i % 2);
        raw.words[i] = *reinterpret_cast<const uint4*>(from + at);
      }
      if constexpr (kNormed) square[n] = add_squares(raw, square[n]);
      x[n] = split_row<kInput>(raw, norm_weights);
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      Weights weights;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::byte* from = stage + (warp_column + 16 * m) * 128 + half_row_at(lane_row, 4 * half + quarter);
        weights.set(half, *reinterpret_cast<const uint4*>(from), *reinterpret_cast<const uint4*>(from + 8 * 128));
      }
      multiply_step(sums[m], weights, x, two_terms);
    }
    if ((step + 1) % slices.steps != 0 && step + 1 < steps) continue;
    // The end of a slice.
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      if constexpr (kNormed) {
        squares[n] += sum_of_row(square[n]);
        square[n] = 0;
      }
#pragma unroll
      for (int m = 0; m < kM; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) totals[m][n][i] += sums[m][n].high[i] + sums[m][n].low[i];
        sums[m][n] = {};
      }
    }
  }
  // What elements are added to, under way while the block meets.
  constexpr int kFours = kRows * kOutputs / 4 / kThreads;
  uint4 before[kFours];
  if constexpr (kOutput == TermOutput::AddFloat) {
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
      const int element = (thread + i * kThreads) * 4;
      before[i] = load_16<false>(args.y + tile.at(args, element), tile.has(args, element));
    }
  }
  wait_copies<0>();
  __syncthreads();

  float* const finished = reinterpret_cast<float*>(stages);  // [kRows, kStride]
  float* const factors = finished + kRows * Tile::kStride;   // [kRows]
#pragma unroll
  for (int n = 0; n < kN; ++n) {
    const float factor = kNormed ? norm_factor(squares[n], args, slices) : 1.0f;
    if (warp_column == 0 && quarter == 0) factors[warp_row + 8 * n + lane_row] = factor;
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) finished[(warp_row + 8 * n + quarter * 2 + i % 2) * Tile::kStride + warp_column + 16 * m + lane_row + i / 2 * 8] = totals[m][n][i];
    }
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kFours; ++i) {
    const int element = (thread + i * kThreads) * 4, row = element / kOutputs;
    if (!tile.has(args, element)) continue;
    const float* from = finished + row * Tile::kStride + element % kOutputs;
    finish_four<kOutput>(args, tile.at(args, element), factors[row], *reinterpret_cast<const float4*>(from),
                         *reinterpret_cast<const float4*>(from + (kGate ? kOutputs : 0)), before[i]);
  }
  if constexpr (kNormed) {
    if (args.normed == nullptr && args.normed_high == nullptr) return;
    const int tiles = static_cast<int>(gridDim.x);
    for (int step = static_cast<int>(blockIdx.x) + warp % Tile::kOutputWarps * tiles; step < steps; step += tiles * Tile::kOutputWarps) {
      const int first = step * kStep + quarter * 8, left = args.inner - first;
      const NormWeights weight = load_norm<true>(args.norm_weight + first, left);
      RawRow raw[1][kN];
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const int row = min(tile.first_row + warp_row + 8 * n + lane_row, args.rows - 1);
        raw[0][n] = load_floats<true>(args.x + (args.source_rows != nullptr ? args.source_rows[row] : row) * args.x_stride + first, left);
      }
      start_together(raw, slices.nothing);
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const int row = warp_row + 8 * n + lane_row;
        if (tile.first_row + row < args.rows) write_normed<true>(args, raw[0][n], weight, factors[row], static_cast<std::int64_t>(tile.first_row + row) * args.inner + first, left);
      }
    }
  }
}

}  // namespace gauntlet::kernels::terms
