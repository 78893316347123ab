#pragma once

// Term products of few rows: the inner dimension is spread over the warps of a block, and all weights of a block are in registers before the launch before
// it has ended. So what is left between two launches is one load of x, a few matrix instructions, one barrier and one store.

#include "inference/cuda/term_product.cuh"

namespace gauntlet::kernels::terms {

/// A block's tile of kM × kN matrix instructions. kSteps: of a slice, all held in registers; 0: any number, one held.
template <int kM_, int kN_, int kSteps_>
struct SplitTile {
  static constexpr int kM = kM_, kN = kN_, kSteps = kSteps_, kHeld = kSteps > 1 ? kSteps : 1, kRows = 8 * kN;
  /// Of a row of partial sums: four apart in banks, so that a warp's stores meet no other's bank.
  static constexpr int kStride = 16 * kM + 4;
  static constexpr int shared_floats(int slices) { return slices * kRows * (kStride + 1); }
};

/// Grid: (tiles of outputs, and one more that writes the normed rows if they are wanted; tiles of rows; problems). A warp multiplies one slice of the inner
/// dimension for the whole tile, then the block sums slices and finishes the elements. With the gated activation, half of a tile's weight rows are ups.
template <class Tile, TermInput kInput, TermOutput kOutput, bool kVector>
__global__ void __launch_bounds__(kMaxSlices * 32) split_kernel(const __grid_constant__ TermProductArgs args, const Slices slices) {
  constexpr int kM = Tile::kM, kN = Tile::kN, kHeld = Tile::kHeld, kRows = Tile::kRows;
  constexpr bool kNormed = kInput == TermInput::Normed, kGate = kOutput == TermOutput::GateTerms;
  constexpr int kGates = kGate ? kM / 2 : kM, kOutputs = 16 * kGates;
  let_next_begin();
  extern __shared__ float shared[];
  float* const partial = shared;                                         // [slices, kRows, kStride]
  float* const squares = shared + slices.count * kRows * Tile::kStride;  // [slices, kRows]

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const OutputTile<kRows, kOutputs> tile{.first_row = static_cast<int>(blockIdx.y) * kRows, .first_output = static_cast<int>(blockIdx.x) * kOutputs, .problem = blockIdx.z};
  const int steps = Tile::kSteps > 0 ? Tile::kSteps : slices.steps;
  // The lane's rows are lane / 4 and, of weights, 8 more; its elements `first` .. first + 7 and 32 more of each step, up to the end of the slice.
  const int lane_row = lane / 4, first = warp * steps * kStep + lane % 4 * 8, left = min(args.inner, (warp + 1) * steps * kStep) - first;
  const bool writes_norm = kNormed && tile.first_output >= args.outputs;
  const bool two_terms = kInput == TermInput::Terms ? args.x_low != nullptr : args.terms == ActivationTerms::Two;

  Weights weights[kHeld][kM];
  NormWeights norm[kHeld];
  const auto load_constants = [&](int held, int step) {
    const Bf16* from = args.weights + tile.problem * args.weights_distance + static_cast<std::int64_t>(tile.first_output + lane_row) * args.inner + first + step * kStep;
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      const int row = 16 * (m < kGates ? m : m - kGates);
      weights[held][m] = load_weights<kVector>(from + static_cast<std::int64_t>(row + (m < kGates ? 0 : args.outputs)) * args.inner, args.inner,
                                               args.outputs - tile.first_output - row, left - step * kStep, lane_row);
    }
    if constexpr (kNormed) norm[held] = load_norm<kVector>(args.norm_weight + first + step * kStep, left - step * kStep);
  };
#pragma unroll
  for (int h = 0; h < kHeld; ++h) load_constants(h, h);
  std::int64_t x_at[kN];
#pragma unroll
  for (int n = 0; n < kN; ++n) {
    const int row = tile.first_row + 8 * n + lane_row;
    const std::int64_t source = args.source_rows != nullptr && row < args.rows ? args.source_rows[row] : row;
    x_at[n] = tile.problem * args.x_distance + source * args.x_stride + first;
  }
  const auto exists = [&](int n) { return tile.first_row + 8 * n + lane_row < args.rows; };
  const auto load_x = [&](int n, int step) {
    const std::int64_t at = x_at[n] + step * kStep;
    const int count = exists(n) ? left - step * kStep : 0;
    if constexpr (kInput == TermInput::Terms) return load_terms<kVector>(args.x_high + at, args.x_low != nullptr ? args.x_low + at : nullptr, count);
    else return load_floats<kVector>(args.x + at, count);
  };
  wait_for_previous();

  float before = 0;  // what the first element of this thread is added to
  Sums sums[kM][kN];
  float square[kN] = {};
  for (int base = 0; base < steps; base += kHeld) {
    if (base > 0) load_constants(0, base);
    RawRow raw[kHeld][kN];
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
#pragma unroll
      for (int n = 0; n < kN; ++n) raw[h][n] = load_x(n, base + h);
    }
    if constexpr (kOutput == TermOutput::AddFloat) {
      if (base == 0 && tile.has(args, thread)) before = __ldcg(args.y + tile.at(args, thread));
    }
    start_together(raw, slices.nothing);
#pragma unroll
    for (int h = 0; h < kHeld; ++h) {
      Terms x[kN];
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        if constexpr (kNormed) square[n] = add_squares(raw[h][n], square[n]);
        x[n] = split_row<kInput>(raw[h][n], norm[h]);
      }
#pragma unroll
      for (int m = 0; m < kM; ++m) multiply_step(sums[m], weights[h][m], x, two_terms);
    }
  }
#pragma unroll
  for (int n = 0; n < kN; ++n) {
    if constexpr (kNormed) {
      const float sum = sum_of_row(square[n]);
      if (lane % 4 == 0) squares[warp * kRows + 8 * n + lane_row] = sum;
    }
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = 8 * n + lane % 4 * 2 + i % 2, column = 16 * m + lane_row + i / 2 * 8;
        partial[(warp * kRows + row) * Tile::kStride + column] = sums[m][n].high[i] + sums[m][n].low[i];
      }
    }
  }
  __syncthreads();

  const auto factor_of = [&](int row) { return norm_factor(sum_slices(squares + row, slices.count, kRows), args, slices); };
  if constexpr (kNormed) {
    if (writes_norm) {
      for (int step = 0; step < steps; ++step) {
        const int rest = left - step * kStep;
        const NormWeights weight = load_norm<kVector>(args.norm_weight + first + step * kStep, rest);
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          const int row = 8 * n + lane_row;
          const std::int64_t to = static_cast<std::int64_t>(tile.first_row + row) * args.inner + first + step * kStep;
          if (exists(n)) write_normed<kVector>(args, load_x(n, step), weight, factor_of(row), to, rest);
        }
      }
      return;
    }
  }
  constexpr int kDistance = kRows * Tile::kStride;
  for (int element = thread; element < kRows * kOutputs; element += static_cast<int>(blockDim.x)) {
    if (!tile.has(args, element)) continue;
    const int row = element / kOutputs;
    const float* from = partial + row * Tile::kStride + element % kOutputs;
    const float factor = kNormed ? factor_of(row) : 1.0f;
    const std::int64_t to = tile.at(args, element);
    if constexpr (kOutput == TermOutput::AddFloat) {
      if (element != thread) before = __ldcg(args.y + to);
    }
    const float value = factor * sum_slices(from, slices.count, kDistance), up = kGate ? factor * sum_slices(from + kOutputs, slices.count, kDistance) : 0.0f;
    finish<kOutput>(args, to, value, up, before);
  }
}

}  // namespace gauntlet::kernels::terms
