#include "inference/cuda/index_scores.h"

#include <algorithm>

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
/// Positions of a step of the block: two pages.
constexpr int kTile = 2 * kPageTokens;
/// Elements between rows in shared memory beyond their own: an odd number of 16-byte units keeps ldmatrix free of bank conflicts.
constexpr int kPad = 8;

// Grid: rows × splits. A block walks over tiles of 128 positions, the splits taking turns; a warp scores 32 positions, with positions as
// the rows of its matrix products and the indexer's heads as columns, so that the sum over heads stays in registers.
template <int kSteps, int kRowTiles, CacheFormat kFormat>
__global__ void __launch_bounds__(kThreads) index_scores_kernel(const IndexScoresArgs args) {
  begin_after_previous();
  constexpr int kStride = kSteps * 16 + kPad;
  constexpr int kWarpRows = kTile / kWarps;
  extern __shared__ __align__(16) Bf16 shared[];
  const int head_rows = (args.heads + 15) / 16 * 16;
  Bf16* queries = shared;                         // [head_rows, kStride]
  Bf16* keys = queries + head_rows * kStride;     // [kTile, kStride]
  float* weights = reinterpret_cast<float*>(keys + kTile * kStride);  // [head_rows]
  const int row = static_cast<int>(blockIdx.x), token = args.first + row, thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int count = args.batch.positions[token] + 1;
  if (count <= args.skip_up_to || static_cast<int>(blockIdx.y) * kTile >= count) return;
  const int padded = args.layout.index_padded(), chunks = padded / 8;
  const std::int32_t* pages = args.batch.pages + static_cast<std::int64_t>(args.batch.sequences[token]) * args.batch.page_stride;

  for (int i = thread; i < head_rows * (kSteps * 2); i += kThreads) {
    const int head = i / (kSteps * 2), chunk = i % (kSteps * 2);
    uint4 value = make_uint4(0, 0, 0, 0);
    if (head < args.heads && chunk < chunks) value = reinterpret_cast<const uint4*>(args.queries + (static_cast<std::int64_t>(token) * args.heads + head) * padded)[chunk];
    *reinterpret_cast<uint4*>(queries + head * kStride + chunk * 8) = value;
  }
  for (int i = thread; i < head_rows; i += kThreads) weights[i] = i < args.heads ? args.weights[static_cast<std::int64_t>(token) * args.heads + i] : 0.0f;

  float* scores = args.scores + static_cast<std::int64_t>(row) * args.score_stride;
  for (int base = static_cast<int>(blockIdx.y) * kTile; base < count; base += static_cast<int>(gridDim.y) * kTile) {
    __syncthreads();  // the tile before has been read
    if constexpr (kFormat == CacheFormat::Bf16) {
      for (int i = thread; i < kTile * (kSteps * 2); i += kThreads) {
        const int at = i / (kSteps * 2), chunk = i % (kSteps * 2), position = base + at;
        const bool valid = position < count && chunk < chunks;
        const std::int64_t page = valid ? pages[position / kPageTokens] : 0;
        const Bf16* from = reinterpret_cast<const Bf16*>(args.index_pages + page * args.layout.index_page_bytes()) + (position % kPageTokens) * padded + chunk * 8;
        copy_16_async(keys + at * kStride + chunk * 8, valid ? from : reinterpret_cast<const Bf16*>(args.index_pages), valid);
      }
      commit_copies();
      wait_copies<0>();
    } else {
      for (int i = thread; i < kTile * kSteps; i += kThreads) {
        const int at = i / kSteps, chunk = i % kSteps, position = base + at;
        uint4 packed = make_uint4(0, 0, 0, 0);
        float scale = 0;
        if (position < count && chunk * 16 < padded) {
          const std::byte* page = args.index_pages + static_cast<std::int64_t>(pages[position / kPageTokens]) * args.layout.index_page_bytes();
          const int slot = position % kPageTokens;
          packed = *reinterpret_cast<const uint4*>(page + slot * padded + chunk * 16);
          scale = reinterpret_cast<const float*>(page + args.layout.index_scales_offset_bytes())[slot * args.layout.index_blocks() + chunk * 16 / kCacheBlock];
        }
        widen_16(packed, scale, keys + at * kStride + chunk * 16);
      }
    }
    __syncthreads();

    for (int part = 0; part < kWarpRows; part += kRowTiles * 16) {
      unsigned a[kRowTiles][kSteps][4];
      for (int m = 0; m < kRowTiles; ++m) {
        for (int k = 0; k < kSteps; ++k) load_matrices(a[m][k], keys + (warp * kWarpRows + part + m * 16 + lane % 16) * kStride + k * 16 + lane / 16 * 8);
      }
      float sums[kRowTiles][2] = {};
      for (int head = 0; head < head_rows; head += 16) {
        float c[kRowTiles][2][4] = {};
        for (int k = 0; k < kSteps; ++k) {
          unsigned b[4];
          load_matrices(b, queries + (head + lane / 16 * 8 + lane % 8) * kStride + k * 16 + lane / 8 % 2 * 8);
          for (int m = 0; m < kRowTiles; ++m) {
            multiply_add(c[m][0], a[m][k], b[0], b[1]);
            multiply_add(c[m][1], a[m][k], b[2], b[3]);
          }
        }
        for (int n = 0; n < 2; ++n) {
          const float2 w = *reinterpret_cast<const float2*>(weights + head + n * 8 + lane % 4 * 2);
          for (int m = 0; m < kRowTiles; ++m) {
            sums[m][0] = fmaf(fmaxf(c[m][n][1], 0.0f), w.y, fmaf(fmaxf(c[m][n][0], 0.0f), w.x, sums[m][0]));
            sums[m][1] = fmaf(fmaxf(c[m][n][3], 0.0f), w.y, fmaf(fmaxf(c[m][n][2], 0.0f), w.x, sums[m][1]));
          }
        }
      }
      for (int m = 0; m < kRowTiles; ++m) {
        for (int r = 0; r < 2; ++r) {
          float sum = sums[m][r];
          sum += __shfl_xor_sync(kAllLanes, sum, 1);
          sum += __shfl_xor_sync(kAllLanes, sum, 2);
          const int position = base + warp * kWarpRows + part + m * 16 + r * 8 + lane / 4;
          if (lane % 4 == 0 && position < count) scores[position] = sum;
        }
      }
    }
  }
}

/// Steps of 16 elements that keys are padded to; 0: too many.
int steps_of(const CacheLayout& layout) {
  for (const int steps : {1, 2, 4, 8, 16}) {
    if (layout.index_padded() / 16 <= steps) return steps;
  }
  return 0;
}

int shared_bytes(int heads, int steps) {
  const int head_rows = round_up(heads, 16);
  return (head_rows + kTile) * (steps * 16 + kPad) * static_cast<int>(sizeof(Bf16)) + head_rows * static_cast<int>(sizeof(float));
}

template <int kSteps, int kRowTiles, CacheFormat kFormat>
void launch(const IndexScoresArgs& args, CudaStream stream) {
  const int shared = shared_bytes(args.heads, kSteps);
  const auto kernel = index_scores_kernel<kSteps, kRowTiles, kFormat>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit()));
  // Enough blocks for any chip; which block scores which tile does not show in the result.
  const int tiles = (args.longest + kTile - 1) / kTile;
  const int splits = std::clamp(4096 / args.rows, 1, std::min(tiles, 65535));
  start_kernel(kernel, dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(splits)), kThreads, static_cast<std::size_t>(shared), stream, args);
}

template <CacheFormat kFormat>
void dispatch_size(const IndexScoresArgs& args, CudaStream stream) {
  switch (steps_of(args.layout)) {
    case 1: return launch<1, 2, kFormat>(args, stream);
    case 2: return launch<2, 2, kFormat>(args, stream);
    case 4: return launch<4, 2, kFormat>(args, stream);
    case 8: return launch<8, 2, kFormat>(args, stream);
    case 16: return launch<16, 1, kFormat>(args, stream);
    default: fail(ErrorKind::Usage, "CUDA: index_head_dim: found " + std::to_string(args.layout.index) + "; accepted: 1 to 256");
  }
}

}  // namespace

int index_scores_shared_bytes(const CacheLayout& layout, int heads) { return shared_bytes(heads, steps_of(layout)); }

void index_scores(const IndexScoresArgs& args, CudaStream stream) {
  require(args.heads >= 1 && args.layout.index > 0 && args.score_stride % 4 == 0, ErrorKind::Internal, "index_scores: no heads, no keys, or a stride that is no multiple of 4");
  if (args.rows == 0 || args.longest <= args.skip_up_to) return;
  if (args.layout.format == CacheFormat::Bf16) {
    dispatch_size<CacheFormat::Bf16>(args, stream);
  } else {
    dispatch_size<CacheFormat::Fp8>(args, stream);
  }
}

}  // namespace gauntlet::kernels
