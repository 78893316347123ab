#include "inference/cuda/latents.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
/// Of the norms of both latents and of the indexer key, whatever the model's own is (DeepSeek's published code).
constexpr float kLatentEps = 1e-6f;

/// A row that may come in two terms.
struct Summed {
  const float* high;
  const float* low;  ///< null: one term

  __device__ float operator[](std::int64_t i) const { return low == nullptr ? high[i] : high[i] + low[i]; }
  __device__ Summed operator+(std::int64_t offset) const { return {high + offset, low == nullptr ? nullptr : low + offset}; }
};

/// inference/float_types.h's fp8_block_scale.
__device__ float block_scale(float amax) {
  if (isnan(amax)) return amax;
  const unsigned bits = __float_as_uint(fmaxf(amax, 1e-4f) * (1.0f / kFp8Max));
  return __uint_as_float(((bits >> 23) + ((bits & 0x7fffffU) != 0 ? 1U : 0U)) << 23);
}

/// Sylvester's Hadamard matrix times values / sqrt(size), in place, by one warp. `size` is a power of two.
__device__ void hadamard(float* values, int size) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int half = 1; half < size; half *= 2) {
    __syncwarp();
    for (int i = lane; i < size / 2; i += 32) {
      const int at = i / half * 2 * half + i % half;
      const float a = values[at], b = values[at + half];
      values[at] = a + b;
      values[at + half] = a - b;
    }
  }
  __syncwarp();
  const float scale = 1.0f / sqrtf(static_cast<float>(size));
  for (int i = lane; i < size; i += 32) values[i] *= scale;
  __syncwarp();
}

/// The scale of block `block` of values [size], in every lane of the warp: NaN if one of them is. (Magnitudes are ordered as their bits are, NaN above all.)
__device__ float scale_of_block(const float* values, int size, int block) {
  unsigned amax = 0;
  for (int i = block * kCacheBlock + static_cast<int>(threadIdx.x) % 32; i < min(size, (block + 1) * kCacheBlock); i += 32) amax = max(amax, __float_as_uint(fabsf(values[i])));
  return block_scale(__uint_as_float(__reduce_max_sync(kAllLanes, amax)));
}

/// Half-split rotation of the first `rope` of values, by one warp.
__device__ void rotate_halves(float* values, int rope, const float* cosines, const float* sines) {
  const int half = rope / 2;
  for (int i = static_cast<int>(threadIdx.x) % 32; i < half; i += 32) rotate_pair(values[i], values[i + half], cosines[i], sines[i]);
  __syncwarp();
}

/// Values [size] and zeros up to `padded` as e4m3 with scales, by the whole block; values lie in shared memory.
__device__ void store_fp8(const float* values, int size, int padded, std::uint8_t* to, float* scales) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int block = static_cast<int>(threadIdx.x) / 32; block * kCacheBlock < padded; block += kWarps) {
    const float scale = scale_of_block(values, size, block);
    if (lane == 0 && block * kCacheBlock < size) scales[block] = scale;
    for (int i = block * kCacheBlock + lane; i < min(padded, (block + 1) * kCacheBlock); i += 32) to[i] = i < size ? float_to_fp8(values[i] / scale) : std::uint8_t{0};
  }
}

__device__ void store_bf16(const float* values, int size, int padded, Bf16* to) {
  for (int i = static_cast<int>(threadIdx.x); i < padded; i += kThreads) to[i] = i < size ? round_bf16(values[i]) : Bf16{};
}

// A block a token. Makes the query's latent and the token's two cache entries.
__global__ void __launch_bounds__(kThreads) latents_kernel(const LatentsArgs args) {
  begin_after_previous();
  extern __shared__ float values[];  // [max(latent, index)]
  __shared__ float scratch[32];
  const CacheLayout& layout = args.layout;
  const int token = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const std::int64_t input_at = static_cast<std::int64_t>(token) * args.input_stride;
  const Summed input{args.input + input_at, args.input_low == nullptr ? nullptr : args.input_low + input_at};
  const int position = args.batch.positions[token];
  const std::int64_t row = cache_row(args.batch, args.batch.sequences[token], position);
  const int half = layout.rope / 2;
  const float* cosines = args.cosines + static_cast<std::int64_t>(position) * half;
  const float* sines = args.sines + static_cast<std::int64_t>(position) * half;

  if (args.q_rank > 0) {
    float squares = 0;
    for (int i = thread; i < args.q_rank; i += kThreads) squares += input[i] * input[i];
    const float scale = rsqrtf(block_sum(squares, scratch) / static_cast<float>(args.q_rank) + kLatentEps);
    for (int i = thread; i < args.q_rank; i += kThreads) {
      const float value = input[i] * scale * args.q_norm[i];
      const std::int64_t at = static_cast<std::int64_t>(token) * args.q_rank + i;
      args.q_latent[at] = round_bf16(value);
      if (args.q_latent_low != nullptr) args.q_latent_low[at] = round_rest(value);
    }
  }

  const Summed kv = input + args.kv_offset;
  std::byte* entry = args.latent_rows + row * layout.row_bytes();
  float squares = 0;
  for (int i = thread; i < layout.latent; i += kThreads) squares += kv[i] * kv[i];
  const float scale = rsqrtf(block_sum(squares, scratch) / static_cast<float>(layout.latent) + kLatentEps);
  for (int i = thread; i < layout.latent; i += kThreads) values[i] = kv[i] * scale * args.kv_norm[i];
  __syncthreads();
  if (layout.format == CacheFormat::Bf16) {
    store_bf16(values, layout.latent, layout.latent_padded(), reinterpret_cast<Bf16*>(entry));
  } else {
    store_fp8(values, layout.latent, layout.latent_padded(), reinterpret_cast<std::uint8_t*>(entry), reinterpret_cast<float*>(entry + layout.latent_padded()));
  }

  Bf16* rotary = reinterpret_cast<Bf16*>(entry + layout.rope_offset_bytes());
  const Summed key = kv + layout.latent;
  for (int i = thread; i < layout.rope_padded() / 2; i += kThreads) {
    float a = 0, b = 0;
    if (i < half) {
      a = key[2 * i];
      b = key[2 * i + 1];
      rotate_pair(a, b, cosines[i], sines[i]);
    }
    rotary[2 * i] = round_bf16(a);
    rotary[2 * i + 1] = round_bf16(b);
  }
  if (layout.index == 0) return;

  const Summed index_key = key + layout.rope;
  const auto size = static_cast<float>(layout.index);
  float sum = 0;
  for (int i = thread; i < layout.index; i += kThreads) sum += index_key[i];
  const float mean = block_sum(sum, scratch) / size;
  float spread = 0;
  for (int i = thread; i < layout.index; i += kThreads) spread += (index_key[i] - mean) * (index_key[i] - mean);
  const float index_scale = rsqrtf(block_sum(spread, scratch) / size + kLatentEps);
  for (int i = thread; i < layout.index; i += kThreads) values[i] = (index_key[i] - mean) * index_scale * args.index_norm[i] + args.index_norm_bias[i];
  __syncthreads();
  if (thread < 32) {
    rotate_halves(values, layout.rope, cosines, sines);
    if (layout.format == CacheFormat::Fp8) hadamard(values, layout.index);
  }
  __syncthreads();
  std::byte* page = args.index_pages + row / kPageTokens * layout.index_page_bytes();
  const int slot = static_cast<int>(row % kPageTokens);
  if (layout.format == CacheFormat::Bf16) {
    store_bf16(values, layout.index, layout.index_padded(), reinterpret_cast<Bf16*>(page) + static_cast<std::int64_t>(slot) * layout.index_padded());
  } else {
    store_fp8(values, layout.index, layout.index_padded(), reinterpret_cast<std::uint8_t*>(page) + static_cast<std::int64_t>(slot) * layout.index_padded(),
              reinterpret_cast<float*>(page + layout.index_scales_offset_bytes()) + static_cast<std::int64_t>(slot) * layout.index_blocks());
  }
}

// Grid: tokens × groups of kWarps heads (attention's, then the indexer's). A warp turns one head of one token into operands.
__global__ void __launch_bounds__(kThreads) queries_kernel(const QueriesArgs args) {
  begin_after_previous();
  extern __shared__ float shared[];  // [kWarps, index]
  const CacheLayout& layout = args.layout;
  const int token = static_cast<int>(blockIdx.x), lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y) * kWarps + warp;
  if (head >= args.heads + args.index_heads) return;
  const std::int64_t query_at = static_cast<std::int64_t>(token) * args.query_stride;
  const Summed query{args.query + query_at, args.query_low == nullptr ? nullptr : args.query_low + query_at};
  const int half = layout.rope / 2;
  const std::int64_t angles = static_cast<std::int64_t>(args.batch.positions[token]) * half;

  if (head < args.heads) {
    const Summed from = query + static_cast<std::int64_t>(head) * (args.nope + layout.rope);
    const std::int64_t content = (static_cast<std::int64_t>(token) * args.heads + head) * args.nope, joined = (static_cast<std::int64_t>(token) * args.heads + head) * (args.nope + layout.rope);
    for (int i = lane; i < args.nope; i += 32) {
      args.content[content + i] = round_bf16(from[i]);
      if (args.joined != nullptr) args.joined[joined + i] = round_bf16(from[i]);
      if (args.content_low != nullptr) args.content_low[content + i] = round_rest(from[i]);
    }
    const std::int64_t rotary = (static_cast<std::int64_t>(token) * args.heads + head) * layout.width() + layout.latent_padded();
    for (int i = lane; i < layout.rope_padded() / 2; i += 32) {
      float a = 0, b = 0;
      if (i < half) {
        a = from[args.nope + 2 * i];
        b = from[args.nope + 2 * i + 1];
        rotate_pair(a, b, args.cosines[angles + i], args.sines[angles + i]);
      }
      args.absorbed[rotary + 2 * i] = round_bf16(a);
      args.absorbed[rotary + 2 * i + 1] = round_bf16(b);
      if (args.joined != nullptr && i < half) {
        args.joined[joined + args.nope + 2 * i] = round_bf16(a);
        args.joined[joined + args.nope + 2 * i + 1] = round_bf16(b);
      }
      if (args.absorbed_low != nullptr) {
        args.absorbed_low[rotary + 2 * i] = round_rest(a);
        args.absorbed_low[rotary + 2 * i + 1] = round_rest(b);
      }
    }
    return;
  }
  const int index_head = head - args.heads;
  const Summed from = query + static_cast<std::int64_t>(args.heads) * (args.nope + layout.rope) + static_cast<std::int64_t>(index_head) * layout.index;
  float* values = shared + warp * layout.index;
  for (int i = lane; i < layout.index; i += 32) values[i] = from[i];
  __syncwarp();
  rotate_halves(values, layout.rope, args.cosines + angles, args.sines + angles);
  if (layout.format == CacheFormat::Fp8) hadamard(values, layout.index);
  const std::int64_t query_row = static_cast<std::int64_t>(token) * args.index_heads + index_head, to = query_row * layout.index_padded();
  for (int block = 0; block * kCacheBlock < layout.index_padded(); ++block) {
    const float scale = layout.format == CacheFormat::Fp8 ? scale_of_block(values, layout.index, block) : 1.0f;
    for (int i = block * kCacheBlock + lane; i < min(layout.index_padded(), (block + 1) * kCacheBlock); i += 32) {
      float value = i < layout.index ? values[i] : 0.0f;
      if (layout.format == CacheFormat::Fp8) {
        const std::uint8_t rounded = float_to_fp8(value / scale);
        if (args.index_queries_fp8 != nullptr) args.index_queries_fp8[to + i] = rounded;
        value = fp8_to_float(rounded) * scale;
      }
      if (args.index_queries != nullptr) args.index_queries[to + i] = round_bf16(value);
    }
    if (args.index_query_scales != nullptr && lane == 0) args.index_query_scales[query_row] = scale;
  }
}

// Grid: tokens. A block copies one entry.
__global__ void __launch_bounds__(kThreads) read_latents_kernel(const ReadLatentsArgs args) {
  begin_after_previous();
  const CacheLayout& layout = args.layout;
  const int token = static_cast<int>(blockIdx.x);
  const std::byte* entry = args.latent_rows + cache_row(args.batch, args.batch.sequences[token], args.batch.positions[token]) * layout.row_bytes();
  const float* scales = reinterpret_cast<const float*>(entry + layout.latent_padded());
  for (int i = static_cast<int>(threadIdx.x); i < layout.latent; i += kThreads) {
    Bf16& to = args.latents[static_cast<std::int64_t>(token) * layout.latent + i];
    if (layout.format == CacheFormat::Bf16) {
      to = reinterpret_cast<const Bf16*>(entry)[i];
    } else {
      to = round_bf16(fp8_to_float(static_cast<std::uint8_t>(entry[i])) * scales[i / kCacheBlock]);
    }
  }
  const Bf16* rotary = reinterpret_cast<const Bf16*>(entry + layout.rope_offset_bytes());
  for (int i = static_cast<int>(threadIdx.x); i < layout.rope; i += kThreads) args.rotary_keys[static_cast<std::int64_t>(token) * layout.rope + i] = rotary[i];
}

void check_layout(const CacheLayout& layout) {
  require(layout.latent > 0 && layout.rope > 0 && layout.rope % 2 == 0 && (layout.index == 0 || layout.index >= layout.rope), ErrorKind::Internal, "latents: the sizes of the cache make no sense");
  require(layout.format == CacheFormat::Bf16 || (layout.index & (layout.index - 1)) == 0, ErrorKind::Usage,
          "the FP8 cache rotates indexer keys by a Hadamard matrix, so index_head_dim must be a power of two; found " + std::to_string(layout.index));
}

}  // namespace

void write_latents(const LatentsArgs& args, CudaStream stream) {
  check_layout(args.layout);
  if (args.batch.tokens == 0) return;
  const std::size_t shared = sizeof(float) * static_cast<std::size_t>(max(args.layout.latent, args.layout.index));
  require(shared <= 48 * 1024, ErrorKind::Usage, "CUDA: kv_lora_rank and index_head_dim may be at most 12288");
  start_kernel(latents_kernel, static_cast<unsigned>(args.batch.tokens), kThreads, shared, stream, args);
}

void split_queries(const QueriesArgs& args, CudaStream stream) {
  check_layout(args.layout);
  require(args.index_queries_fp8 == nullptr || (args.layout.format == CacheFormat::Fp8 && args.layout.index_blocks() == 1 && args.index_query_scales != nullptr), ErrorKind::Internal,
          "split_queries: queries in FP8 need an FP8 cache with one scale a key, and a place for their scales");
  if (args.batch.tokens == 0) return;
  const std::size_t shared = sizeof(float) * static_cast<std::size_t>(kWarps) * static_cast<std::size_t>(args.index_heads > 0 ? args.layout.index : 0);
  require(shared <= 48 * 1024, ErrorKind::Usage, "CUDA: index_head_dim may be at most 3072");
  const dim3 grid(static_cast<unsigned>(args.batch.tokens), static_cast<unsigned>((args.heads + args.index_heads + kWarps - 1) / kWarps));
  start_kernel(queries_kernel, grid, kThreads, shared, stream, args);
}

void read_latents(const ReadLatentsArgs& args, CudaStream stream) {
  check_layout(args.layout);
  if (args.batch.tokens == 0) return;
  start_kernel(read_latents_kernel, static_cast<unsigned>(args.batch.tokens), kThreads, 0, stream, args);
}

}  // namespace gauntlet::kernels
