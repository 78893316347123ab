#include "inference/cuda/grouped_product.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"
#include "inference/cuda/moe.h"

namespace gauntlet::kernels {
namespace {

// A block multiplies kWeightRows rows of one expert's weights with the slots of one tile. Weights are the matrix unit's left operand (16 rows),
// slots its columns (8), so that a tile of few slots costs few instructions. The inner dimension goes by in stages of kDepth elements, in
// order; beyond its end both operands are zero.
constexpr int kThreads = 128;
constexpr int kWeightRows = 128;                                    ///< 64 of gate and 64 of up, or 128 outputs
constexpr int kHalfRows = kWeightRows / 2;
constexpr int kDepth = 64;
constexpr int kStages = 4;
constexpr int kChunks = kDepth / 8;                                 ///< of 16 bytes in a row of a stage
constexpr int kStageBytes = (kWeightRows + kExpertTile) * kDepth * 2;
constexpr int kSharedBytes = kStages * kStageBytes;

enum class Product { GateUp, Down };

struct GroupedArgs {
  GroupedTiles tiles;
  int inner = 0;
  int outputs = 0;                            ///< of y; GateUp: gate's rows, with as many of up after them
  const std::int32_t* token_of = nullptr;     ///< GateUp only
  const Bf16* x = nullptr;
  const Bf16* weights = nullptr;
  Bf16* y_bf16 = nullptr;                     ///< GateUp
  float* y_float = nullptr;                   ///< Down
};

/// Byte offset of a chunk in a stage's matrix; chunks of a row are permuted so that eight rows' equal chunks lie in different banks.
__device__ int chunk_offset(int row, int chunk) { return row * kDepth * 2 + ((chunk ^ (row % 8)) * 16); }

/// Eight elements of `row` from `k` on into shared memory, zeros where the row ends or does not exist. Without kVector by single loads, for
/// rows that do not begin at multiples of 16 bytes.
template <bool kVector>
__device__ void copy_chunk(std::byte* to, const Bf16* row, bool exists, int k, int inner) {
  if constexpr (kVector) {
    const bool valid = exists && k < inner;
    copy_16_async(to, valid ? row + k : row, valid);
  } else {
    unsigned pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const unsigned low = exists && k + 2 * i < inner ? row[k + 2 * i].bits : 0U, high = exists && k + 2 * i + 1 < inner ? row[k + 2 * i + 1].bits : 0U;
      pairs[i] = low | (high << 16);
    }
    *reinterpret_cast<uint4*>(to) = {pairs[0], pairs[1], pairs[2], pairs[3]};
  }
}

/// Grid: (tiles, groups of output rows). Warp w has weight rows [16 w, 16 w + 16) of either half, so that gate and up of one output meet in
/// one thread.
template <Product kProduct, bool kVector>
__global__ void __launch_bounds__(kThreads) grouped_kernel(GroupedArgs args) {
  begin_after_previous();
  extern __shared__ __align__(128) std::byte shared[];
  const int expert = args.tiles.expert[blockIdx.x];
  if (expert < 0) return;
  const int first_slot = args.tiles.first[blockIdx.x], rows = args.tiles.rows[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const std::int64_t inner = args.inner;

  // First output of each half of the weight rows, and how many of the half's rows exist.
  constexpr int kOutputsEach = kProduct == Product::GateUp ? kHalfRows : kWeightRows;
  const int first_output = static_cast<int>(blockIdx.y) * kOutputsEach;
  const int weight_rows = kProduct == Product::GateUp ? 2 * args.outputs : args.outputs;
  const Bf16* weights = args.weights + expert * weight_rows * inner;
  const Bf16* half[2];
  int half_rows[2];
  half[0] = weights + first_output * inner;
  half_rows[0] = args.outputs - first_output;
  if constexpr (kProduct == Product::GateUp) {
    half[1] = half[0] + args.outputs * inner;
    half_rows[1] = half_rows[0];
  } else {
    half[1] = half[0] + kHalfRows * inner;
    half_rows[1] = half_rows[0] - kHalfRows;
  }

  // What this thread copies in each stage: one chunk of every 16th row.
  constexpr int kRowStep = kThreads / kChunks;
  const int my_row = thread / kChunks, my_chunk = thread % kChunks;
  const Bf16* x_rows[kExpertTile / kRowStep];
#pragma unroll
  for (int i = 0; i < kExpertTile / kRowStep; ++i) {
    const int row = my_row + i * kRowStep, slot = first_slot + min(row, rows - 1);
    x_rows[i] = args.x + (kProduct == Product::GateUp ? args.token_of[slot] : slot) * inner;
  }
  const auto load_stage = [&](int stage) {
    std::byte* to_weights = shared + stage % kStages * kStageBytes;
    std::byte* to_x = to_weights + kWeightRows * kDepth * 2;
    const int k = stage * kDepth + my_chunk * 8;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int i = 0; i < kHalfRows / kRowStep; ++i) {
        const int row = my_row + i * kRowStep;
        const bool exists = row < half_rows[h];
        copy_chunk<kVector>(to_weights + chunk_offset(h * kHalfRows + row, my_chunk), exists ? half[h] + row * inner : args.weights, exists, k, args.inner);
      }
    }
#pragma unroll
    for (int i = 0; i < kExpertTile / kRowStep; ++i) {
      const int row = my_row + i * kRowStep;
      copy_chunk<kVector>(to_x + chunk_offset(row, my_chunk), x_rows[i], row < rows, k, args.inner);
    }
  };

  float sums[2][kExpertTile / 8][4] = {};
  const int stages = (args.inner + kDepth - 1) / kDepth;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < stages) load_stage(s);
    commit_copies();
  }
  for (int stage = 0; stage < stages; ++stage) {
    wait_copies<kStages - 2>();
    __syncthreads();  // this stage has arrived for all, and all are done with the one that is overwritten now
    if (stage + kStages - 1 < stages) load_stage(stage + kStages - 1);
    commit_copies();
    const std::byte* of_weights = shared + stage % kStages * kStageBytes;
    const std::byte* of_x = of_weights + kWeightRows * kDepth * 2;
#pragma unroll
    for (int step = 0; step < kDepth / 16; ++step) {
      // Left operand: matrices (rows 0–7, k 0–7), (8–15, 0–7), (0–7, 8–15), (8–15, 8–15).
      unsigned a[2][4];
#pragma unroll
      for (int h = 0; h < 2; ++h) load_matrices(a[h], of_weights + chunk_offset(h * kHalfRows + warp * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
      for (int pair = 0; pair < kExpertTile / 16; ++pair) {
        if (pair * 16 >= rows) break;
        // Right operand of slots 0–7: (k 0–7), (k 8–15); then of slots 8–15.
        unsigned b[4];
        load_matrices(b, of_x + chunk_offset(pair * 16 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          multiply_add(sums[h][2 * pair], a[h], b[0], b[1]);
          if (pair * 16 + 8 < rows) multiply_add(sums[h][2 * pair + 1], a[h], b[2], b[3]);
        }
      }
    }
  }
  wait_copies<0>();

  // Thread l has outputs l / 4 and l / 4 + 8 of slots l % 4 × 2 and the next.
#pragma unroll
  for (int n = 0; n < kExpertTile / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = n * 8 + lane % 4 * 2 + i % 2, output = first_output + warp * 16 + lane / 4 + i / 2 * 8;
      if (row >= rows) continue;
      const std::int64_t at = static_cast<std::int64_t>(first_slot + row) * args.outputs + output;
      if constexpr (kProduct == Product::GateUp) {
        if (output < args.outputs) args.y_bf16[at] = round_bf16(silu(sums[0][n][i]) * sums[1][n][i]);
      } else {
        if (output < args.outputs) args.y_float[at] = sums[0][n][i];
        if (output + kHalfRows < args.outputs) args.y_float[at + kHalfRows] = sums[1][n][i];
      }
    }
  }
}

template <Product kProduct, bool kVector>
void launch(const GroupedArgs& args, CudaStream stream) {
  constexpr int kOutputsEach = kProduct == Product::GateUp ? kHalfRows : kWeightRows;
  const auto kernel = grouped_kernel<kProduct, kVector>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes));
  // Tiles are the fast index: those of one expert run side by side, and find its weights in the L2 cache.
  const dim3 grid(static_cast<unsigned>(args.tiles.count), static_cast<unsigned>((args.outputs + kOutputsEach - 1) / kOutputsEach));
  start_kernel(kernel, grid, kThreads, kSharedBytes, stream, args);
}

template <Product kProduct>
void launch(const GroupedArgs& args, CudaStream stream) {
  const auto aligned = [](const Bf16* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
  if (args.inner % 8 == 0 && aligned(args.x) && aligned(args.weights)) {
    launch<kProduct, true>(args, stream);
  } else {
    launch<kProduct, false>(args, stream);
  }
}

void check_sizes(const char* name, const GroupedTiles& tiles, int dim, int width) {
  require(tiles.count >= 0 && dim > 0 && dim <= 1 << 20 && width > 0 && width <= 1 << 20, ErrorKind::Internal,
          std::string(name) + ": tiles must not be negative, dim and width 1 to 1048576");
}

}  // namespace

void grouped_gate_up(const GroupedGateUpArgs& args, CudaStream stream) {
  check_sizes("grouped_gate_up", args.tiles, args.dim, args.width);
  if (args.tiles.count == 0) return;
  launch<Product::GateUp>({.tiles = args.tiles, .inner = args.dim, .outputs = args.width, .token_of = args.token_of, .x = args.x, .weights = args.weights, .y_bf16 = args.y},
                          stream);
}

void grouped_down(const GroupedDownArgs& args, CudaStream stream) {
  check_sizes("grouped_down", args.tiles, args.dim, args.width);
  if (args.tiles.count == 0) return;
  launch<Product::Down>({.tiles = args.tiles, .inner = args.width, .outputs = args.dim, .x = args.x, .weights = args.weights, .y_float = args.y}, stream);
}

}  // namespace gauntlet::kernels
