#include "inference/cuda/sparse_attention.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

/// Positions that a block works on at a time.
constexpr int kTile = 64;
/// Elements beyond a row's own in shared memory: an odd number of 16-byte units keeps ldmatrix free of bank conflicts.
constexpr int kPad = 8;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;
constexpr float kNone = -INFINITY;

/// Where the block's shared memory lies, in bytes.
struct Shared {
  int query_stride, key_stride;  // elements
  int queries_low, keys, probabilities, maxima, sums, rows, total;

  __host__ __device__ Shared(int width, int row_tiles, int stages, int terms)
      : query_stride(width + kPad),
        key_stride(width + kPad),
        queries_low(row_tiles * 16 * query_stride * 2),
        keys(terms * queries_low),
        probabilities(keys + stages * kTile * key_stride * 2),
        maxima(probabilities + row_tiles * 16 * (kTile + kPad) * 2),
        sums(maxima + row_tiles * 16 * 4 * 4),
        rows(sums + row_tiles * 16 * 4 * 4),
        total(rows + stages * kTile * 8) {}
};

/// The cache row of entry `at` of the token's list; -1 for none.
__device__ std::int64_t row_of_entry(const SparseAttentionArgs& args, int token, int row, int at, int end) {
  if (at >= end) return -1;
  const int last = args.batch.positions[token];
  const int position = args.chosen != nullptr ? args.chosen[static_cast<std::int64_t>(row) * args.k + at] : at;
  return position < 0 || position > last ? -1 : cache_row(args.batch, args.batch.sequences[token], position);
}

/// A tile of keys into shared memory, zeros where there is no position: what is not chosen is never read, so it cannot leak, NaN included.
template <CacheFormat kFormat>
__device__ void load_keys(const SparseAttentionArgs& args, const std::int64_t* rows, Bf16* keys, int stride, int threads) {
  const CacheLayout& layout = args.layout;
  if constexpr (kFormat == CacheFormat::Bf16) {
    const int chunks = layout.width() / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kTile * chunks; i += threads) {
      const int at = i / chunks, chunk = i % chunks;
      const std::int64_t row = rows[at];
      copy_16_async(keys + at * stride + chunk * 8, args.latent_rows + (row < 0 ? 0 : row * layout.row_bytes() + chunk * 16), row >= 0);
    }
  } else {
    const int latent_chunks = layout.latent_padded() / 16, chunks = latent_chunks + layout.rope_padded() / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kTile * chunks; i += threads) {
      const int at = i / chunks, chunk = i % chunks;
      const std::int64_t row = rows[at];
      const std::byte* entry = args.latent_rows + row * layout.row_bytes();
      if (chunk < latent_chunks) {
        uint4 packed = make_uint4(0, 0, 0, 0);
        float scale = 0;
        if (row >= 0) {
          packed = *reinterpret_cast<const uint4*>(entry + chunk * 16);
          scale = reinterpret_cast<const float*>(entry + layout.latent_padded())[chunk * 16 / kCacheBlock];
        }
        widen_16(packed, scale, keys + at * stride + chunk * 16);
      } else {
        uint4 value = make_uint4(0, 0, 0, 0);
        if (row >= 0) value = *reinterpret_cast<const uint4*>(entry + layout.rope_offset_bytes() + (chunk - latent_chunks) * 16);
        *reinterpret_cast<uint4*>(keys + at * stride + layout.latent_padded() + (chunk - latent_chunks) * 8) = value;
      }
    }
  }
  commit_copies();
}

// Grid: rows × groups of heads × parts. A block attends for kRowTiles × 16 heads of one token over one part of its list. Four warps share a
// tile of 16 heads: each scores a quarter of the positions, and sums a quarter of the value's columns.
template <int kRowTiles, int kColumnTiles, int kStages, CacheFormat kFormat>
__global__ void __launch_bounds__(kRowTiles * 128) sparse_attention_kernel(const SparseAttentionArgs args) {
  begin_after_previous();
  constexpr int kThreads = kRowTiles * 128;
  extern __shared__ __align__(16) std::byte shared[];
  const CacheLayout& layout = args.layout;
  const bool two_terms = args.queries_low != nullptr;
  const Shared at(layout.width(), kRowTiles, kStages, two_terms ? 2 : 1);
  Bf16* queries = reinterpret_cast<Bf16*>(shared);
  Bf16* queries_low = reinterpret_cast<Bf16*>(shared + at.queries_low);
  Bf16* keys = reinterpret_cast<Bf16*>(shared + at.keys);
  Bf16* probabilities = reinterpret_cast<Bf16*>(shared + at.probabilities);  // [heads of the block, kTile + kPad]
  float* maxima = reinterpret_cast<float*>(shared + at.maxima);              // [heads of the block, 4 warps]
  float* sums = reinterpret_cast<float*>(shared + at.sums);
  std::int64_t* rows = reinterpret_cast<std::int64_t*>(shared + at.rows);    // [kStages, kTile]
  const int row = static_cast<int>(blockIdx.x), token = args.first + row, part = static_cast<int>(blockIdx.z), parts = static_cast<int>(gridDim.z);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32 % 4, tile_row = thread / 128;
  const int first_head = static_cast<int>(blockIdx.y) * kRowTiles * 16;
  const int begin = part * args.part;
  const int positions = args.batch.positions[token] + 1;
  const int length = args.chosen == nullptr ? positions : args.form == ListForm::Packed ? min(args.k, positions) : args.k;
  const int end = min(length, begin + args.part);
  const int tiles = end > begin ? (end - begin + kTile - 1) / kTile : 0;

  for (int i = thread; i < kRowTiles * 16 * (layout.width() / 8); i += kThreads) {
    const int head = i / (layout.width() / 8), chunk = i % (layout.width() / 8);
    const bool valid = first_head + head < args.heads;
    const std::int64_t from = (static_cast<std::int64_t>(token) * args.heads + first_head + head) * layout.width() + chunk * 8;
    const uint4 zero = make_uint4(0, 0, 0, 0);
    *reinterpret_cast<uint4*>(queries + head * at.query_stride + chunk * 8) = valid ? *reinterpret_cast<const uint4*>(args.queries + from) : zero;
    if (two_terms) *reinterpret_cast<uint4*>(queries_low + head * at.query_stride + chunk * 8) = valid ? *reinterpret_cast<const uint4*>(args.queries_low + from) : zero;
  }

  const auto list_rows = [&](int tile) {
    if (thread < kTile) rows[tile % kStages * kTile + thread] = row_of_entry(args, token, row, begin + tile * kTile + thread, end);
  };
  const auto fetch = [&](int tile) { load_keys<kFormat>(args, rows + tile % kStages * kTile, keys + tile % kStages * kTile * at.key_stride, at.key_stride, kThreads); };

  float out[kColumnTiles][2][4] = {};
  float most[2] = {kNone, kNone}, sum[2] = {0, 0};  // of heads lane / 4 and lane / 4 + 8; sum: over this warp's positions
  if (kStages == 2 && tiles > 0) {
    list_rows(0);
    __syncthreads();
    fetch(0);
  }
  for (int tile = 0; tile < tiles; ++tile) {
    if constexpr (kStages == 2) {
      if (tile + 1 < tiles) list_rows(tile + 1);
      __syncthreads();  // rows are listed, and the tile that lay where the next goes has been used
      if (tile + 1 < tiles) {
        fetch(tile + 1);
        wait_copies<1>();
      } else {
        wait_copies<0>();
      }
    } else {
      list_rows(tile);
      __syncthreads();
      fetch(tile);
      wait_copies<0>();
    }
    __syncthreads();
    const Bf16* tile_keys = keys + tile % kStages * kTile * at.key_stride;
    const std::int64_t* tile_rows = rows + tile % kStages * kTile;

    float c[2][4] = {};
    for (int k = 0; k < layout.width(); k += 16) {
      unsigned a[4], b[4];
      load_matrices(a, queries + (tile_row * 16 + lane % 16) * at.query_stride + k + lane / 16 * 8);
      load_matrices(b, tile_keys + (warp * 16 + lane / 16 * 8 + lane % 8) * at.key_stride + k + lane / 8 % 2 * 8);
      multiply_add(c[0], a, b[0], b[1]);
      multiply_add(c[1], a, b[2], b[3]);
      if (two_terms) {
        load_matrices(a, queries_low + (tile_row * 16 + lane % 16) * at.query_stride + k + lane / 16 * 8);
        multiply_add(c[0], a, b[0], b[1]);
        multiply_add(c[1], a, b[2], b[3]);
      }
    }
    float largest[2] = {kNone, kNone};
    for (int n = 0; n < 2; ++n) {
      for (int i = 0; i < 4; ++i) {
        const bool valid = tile_rows[warp * 16 + n * 8 + lane % 4 * 2 + i % 2] >= 0;
        c[n][i] = valid ? c[n][i] * (args.scale * kLog2E) : kNone;
        largest[i / 2] = fmaxf(largest[i / 2], c[n][i]);
      }
    }
    for (int r = 0; r < 2; ++r) {
      largest[r] = fmaxf(largest[r], __shfl_xor_sync(kAllLanes, largest[r], 1));
      largest[r] = fmaxf(largest[r], __shfl_xor_sync(kAllLanes, largest[r], 2));
      if (lane % 4 == 0) maxima[(tile_row * 16 + r * 8 + lane / 4) * 4 + warp] = largest[r];
    }
    __syncthreads();
    for (int r = 0; r < 2; ++r) {
      const float4 four = *reinterpret_cast<const float4*>(maxima + (tile_row * 16 + r * 8 + lane / 4) * 4);
      const float now = fmaxf(most[r], fmaxf(fmaxf(four.x, four.y), fmaxf(four.z, four.w)));
      const float base = now == kNone ? 0.0f : now;
      const float shrink = exp2f(most[r] - base);
      most[r] = now;
      float added = 0;
      for (int n = 0; n < 2; ++n) {
        const float p0 = exp2f(c[n][2 * r] - base), p1 = exp2f(c[n][2 * r + 1] - base);
        added += p0 + p1;
        *reinterpret_cast<unsigned*>(probabilities + (tile_row * 16 + r * 8 + lane / 4) * (kTile + kPad) + warp * 16 + n * 8 + lane % 4 * 2) = pack_bf16(p0, p1);
      }
      sum[r] = fmaf(sum[r], shrink, added);
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        for (int n = 0; n < 2; ++n) {
          out[j][n][2 * r] *= shrink;
          out[j][n][2 * r + 1] *= shrink;
        }
      }
    }
    __syncthreads();
    for (int k = 0; k < kTile; k += 16) {
      unsigned a[4];
      load_matrices(a, probabilities + (tile_row * 16 + lane % 16) * (kTile + kPad) + k + lane / 16 * 8);
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        const int column = (j * 4 + warp) * 16;
        if (column < layout.latent_padded()) {
          unsigned b[4];
          load_matrices_transposed(b, tile_keys + (k + lane % 16) * at.key_stride + column + lane / 16 * 8);
          multiply_add(out[j][0], a, b[0], b[1]);
          multiply_add(out[j][1], a, b[2], b[3]);
        }
      }
    }
    if constexpr (kStages == 1) __syncthreads();
  }

  for (int r = 0; r < 2; ++r) {
    sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 1);
    sum[r] += __shfl_xor_sync(kAllLanes, sum[r], 2);
    if (lane % 4 == 0) sums[(tile_row * 16 + r * 8 + lane / 4) * 4 + warp] = sum[r];
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int head = first_head + tile_row * 16 + r * 8 + lane / 4;
    if (head >= args.heads) continue;
    const float4 four = *reinterpret_cast<const float4*>(sums + (head - first_head) * 4);
    const float total = ((four.x + four.y) + four.z) + four.w;
    if (parts > 1) {
      const std::int64_t slot = (static_cast<std::int64_t>(row) * parts + part) * args.heads + head;
      if (warp == 0 && lane % 4 == 0) {
        args.part_stats[2 * slot] = most[r];
        args.part_stats[2 * slot + 1] = total;
      }
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        const int column = (j * 4 + warp) * 16 + lane % 4 * 2;
        for (int n = 0; n < 2 && (j * 4 + warp) * 16 < layout.latent_padded(); ++n) *reinterpret_cast<float2*>(args.part_out + slot * layout.latent_padded() + column + n * 8) = make_float2(out[j][n][2 * r], out[j][n][2 * r + 1]);
      }
      continue;
    }
    if (args.lse != nullptr && warp == 0 && lane % 4 == 0) args.lse[static_cast<std::int64_t>(row) * args.heads + head] = total == 0 ? INFINITY : (most[r] + log2f(total)) * kLn2;
    const std::int64_t to = (static_cast<std::int64_t>(token) * args.heads + head) * layout.latent;
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j) {
      for (int n = 0; n < 2; ++n) {
        for (int i = 0; i < 2; ++i) {
          const int column = (j * 4 + warp) * 16 + n * 8 + lane % 4 * 2 + i;
          if (column >= layout.latent) continue;
          const float value = total == 0 ? 0.0f : out[j][n][2 * r + i] / total;
          args.out[to + column] = round_bf16(value);
          if (args.out_low != nullptr) args.out_low[to + column] = round_rest(value);
        }
      }
    }
  }
}

// Grid: rows × heads. Joins the parts in order. A part without positions has the sum 0; one with NaN in it makes all NaN.
__global__ void join_parts_kernel(const SparseAttentionArgs args, int parts) {
  begin_after_previous();
  const int row = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const auto slot = [&](int part) { return (static_cast<std::int64_t>(row) * parts + part) * args.heads + head; };
  float most = kNone;
  for (int part = 0; part < parts; ++part) most = fmaxf(most, args.part_stats[2 * slot(part)]);
  const float base = most == kNone ? 0.0f : most;
  float total = 0;
  for (int part = 0; part < parts; ++part) {
    const float sum = args.part_stats[2 * slot(part) + 1];
    if (sum != 0) total = fmaf(sum, exp2f(args.part_stats[2 * slot(part)] - base), total);
  }
  if (args.lse != nullptr && threadIdx.x == 0) args.lse[static_cast<std::int64_t>(row) * args.heads + head] = total == 0 ? INFINITY : (most + log2f(total)) * kLn2;
  const std::int64_t to = (static_cast<std::int64_t>(args.first + row) * args.heads + head) * args.layout.latent;
  for (int column = static_cast<int>(threadIdx.x); column < args.layout.latent; column += static_cast<int>(blockDim.x)) {
    float value = 0;
    for (int part = 0; part < parts; ++part) {
      if (args.part_stats[2 * slot(part) + 1] != 0) value = fmaf(args.part_out[slot(part) * args.layout.latent_padded() + column], exp2f(args.part_stats[2 * slot(part)] - base), value);
    }
    value = total == 0 ? 0.0f : value / total;
    args.out[to + column] = round_bf16(value);
    if (args.out_low != nullptr) args.out_low[to + column] = round_rest(value);
  }
}

int terms_of(const SparseAttentionArgs& args) { return args.queries_low != nullptr ? 2 : 1; }

template <int kRowTiles, int kColumnTiles, int kStages, CacheFormat kFormat>
void launch(const SparseAttentionArgs& args, CudaStream stream) {
  const auto kernel = sparse_attention_kernel<kRowTiles, kColumnTiles, kStages, kFormat>;
  const Shared at(args.layout.width(), kRowTiles, kStages, terms_of(args));
  // Always the same value: the attribute belongs to the function, which other backends of the process may launch at the same time.
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit()));
  const dim3 grid(static_cast<unsigned>(args.rows), static_cast<unsigned>((args.heads + kRowTiles * 16 - 1) / (kRowTiles * 16)), static_cast<unsigned>(args.parts()));
  start_kernel(kernel, grid, kRowTiles * 128, static_cast<std::size_t>(at.total), stream, args);
}

template <int kRowTiles, int kColumnTiles, CacheFormat kFormat>
void choose_stages(const SparseAttentionArgs& args, CudaStream stream) {
  const int limit = shared_limit();
  if (Shared(args.layout.width(), kRowTiles, 2, terms_of(args)).total <= limit) return launch<kRowTiles, kColumnTiles, 2, kFormat>(args, stream);
  const int needed = Shared(args.layout.width(), kRowTiles, 1, terms_of(args)).total;
  require(needed <= limit, ErrorKind::Usage, "CUDA: attention over keys of " + std::to_string(args.layout.width()) + " elements needs " + std::to_string(needed) + " bytes of shared memory; this device has " + std::to_string(limit));
  launch<kRowTiles, kColumnTiles, 1, kFormat>(args, stream);
}

template <int kColumnTiles, CacheFormat kFormat>
void choose_rows(const SparseAttentionArgs& args, CudaStream stream) {
  // Two tiles of heads share each key that is loaded, where there are two and they fit.
  if (args.heads > 16 && Shared(args.layout.width(), 2, 1, terms_of(args)).total <= shared_limit()) return choose_stages<2, kColumnTiles, kFormat>(args, stream);
  choose_stages<1, kColumnTiles, kFormat>(args, stream);
}

template <CacheFormat kFormat>
void choose_columns(const SparseAttentionArgs& args, CudaStream stream) {
  const int tiles = (args.layout.latent_padded() / 16 + 3) / 4;
  if (tiles <= 2) return choose_rows<2, kFormat>(args, stream);
  if (tiles <= 4) return choose_rows<4, kFormat>(args, stream);
  if (tiles <= 8) return choose_rows<8, kFormat>(args, stream);
  if (tiles <= 16) return choose_rows<16, kFormat>(args, stream);
  fail(ErrorKind::Usage, "CUDA: kv_lora_rank: found " + std::to_string(args.layout.latent) + "; accepted: 1 to 1024");
}

}  // namespace

int sparse_attention_shared_bytes(const CacheLayout& layout, ActivationTerms terms) { return Shared(layout.width(), 1, 1, terms == ActivationTerms::Two ? 2 : 1).total; }

void sparse_attention(const SparseAttentionArgs& args, CudaStream stream) {
  require(args.heads >= 1 && args.longest >= 0 && (args.chosen == nullptr || args.longest >= args.k), ErrorKind::Internal, "sparse_attention: no heads, or lists longer than said");
  require(args.part >= kTile && args.part % kTile == 0, ErrorKind::Internal, "sparse_attention: a part must be a multiple of 64 positions");
  if (args.rows == 0) return;
  SparseAttentionArgs work = args;
  work.longest = args.longest < 1 ? 1 : args.longest;  // one part at least, to write the rows without a list
  require(work.parts() <= 65535 && (work.parts() == 1 || (args.part_out != nullptr && args.part_stats != nullptr)), ErrorKind::Internal, "sparse_attention: too many parts, or no workspace for them");
  if (args.layout.format == CacheFormat::Bf16) {
    choose_columns<CacheFormat::Bf16>(work, stream);
  } else {
    choose_columns<CacheFormat::Fp8>(work, stream);
  }
  if (work.parts() == 1) return;
  start_kernel(join_parts_kernel, dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(args.heads)), 128, 0, stream, work, work.parts());
}

}  // namespace gauntlet::kernels
