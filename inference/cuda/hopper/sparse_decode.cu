#include "inference/cuda/hopper/sparse_decode.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "inference/cuda/hopper/sparse_decode_keys.cuh"
#include "inference/cuda/hopper/sparse_decode_sums.cuh"
#include "inference/cuda/hopper/tensor_map.h"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace hopper {
namespace {

constexpr int kDecodeThreads = 4 * kWarpgroup;
/// Registers of a thread: of the warpgroup that scores, of the one that only sums, of the two that fetch.
constexpr int kScoreRegisters = 208, kSumRegisters = 160, kFillRegisters = 72;

// Grid: as many blocks as run at once; each takes every gridDim.x-th item: one part of a row's list for 64 heads.
__global__ void __launch_bounds__(kDecodeThreads, 1)
    sparse_decode_kernel(const SparseAttentionArgs args, const __grid_constant__ CUtensorMap query_map, int parts, int groups, int items) {
  extern __shared__ __align__(1024) std::byte shared_bytes[];
  const unsigned shared = shared_address(shared_bytes);
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (threadIdx.x == 0) {
    for (int buffer = 0; buffer < 2; ++buffer) {
      for (const int half : {kLeft, kRight}) {
        barrier_init(full_barrier(shared, buffer, half), 8);
        barrier_init(empty_barrier(shared, buffer, half), 4);
      }
      barrier_init(full_barrier(shared, buffer, kRotary), 2 * kWarpgroup);
    }
    barrier_init(shared + DecodeShared::queries_full, 1);
    fence_barrier_init();
    prefetch_map(&query_map);
  }
  __syncthreads();
  wait_for_previous();
  let_next_begin();
  if (warpgroup == 0) {
    take_registers<kScoreRegisters>();
    score_and_sum(args, &query_map, shared, shared_bytes, parts, groups, items);
  } else if (warpgroup == 1) {
    take_registers<kSumRegisters>();
    sum_right(args, shared, shared_bytes, parts, groups, items);
  } else {
    give_registers<kFillRegisters>();
    fill_keys(args, shared, shared_bytes, parts, groups, items);
  }
}

// Grid: heads × rows (in x). A block joins the parts of one head in order; a thread has four columns, and asks for kAhead parts of them at a time.
template <int kAhead>
__global__ void join_attention_parts_kernel(const SparseAttentionArgs args, int parts) {
  wait_for_previous();
  let_next_begin();
  const int row = static_cast<int>(blockIdx.x) / args.heads, head = static_cast<int>(blockIdx.x) % args.heads, thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const std::int64_t slot = static_cast<std::int64_t>(row) * parts * args.heads + head;
  const float2* stats = reinterpret_cast<const float2*>(args.part_stats) + slot;
  const float4* from = reinterpret_cast<const float4*>(args.part_out + slot * args.layout.latent_padded()) + thread;
  const std::int64_t step = static_cast<std::int64_t>(args.heads) * args.layout.latent_padded() / 4;
  const auto stat_of = [&](int part) { return part < parts ? stats[static_cast<std::int64_t>(part) * args.heads] : make_float2(kNothing, 0.0f); };
  float2 stat = stat_of(lane);
  float4 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (i < parts) ahead[i] = from[i * step];
  }
  float most = stat.x;
  for (int part = lane + 32; part < parts; part += 32) most = fmaxf(most, stat_of(part).x);
  most = warp_max(most);
  const float base = most == kNothing ? 0.0f : most;
  float total = 0, weight = 0;
  float4 value = make_float4(0, 0, 0, 0);
  for (int first = 0; first < parts; first += kAhead) {
    if (first % 32 == 0) {
      if (first > 0) stat = stat_of(first + lane);
      weight = exp2f(stat.x - base);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int part = first + i;
      if (part >= parts) break;
      const float4 of = ahead[i];
      if (part + kAhead < parts) ahead[i] = from[(part + kAhead) * step];
      const float scale = __shfl_sync(kAllLanes, weight, part % 32), sum = __shfl_sync(kAllLanes, stat.y, part % 32);
      if (sum == 0) continue;  // a part without positions; NaN must not be skipped
      total = fmaf(sum, scale, total);
      value = {fmaf(of.x, scale, value.x), fmaf(of.y, scale, value.y), fmaf(of.z, scale, value.z), fmaf(of.w, scale, value.w)};
    }
  }
  if (args.lse != nullptr && thread == 0) args.lse[static_cast<std::int64_t>(row) * args.heads + head] = total == 0 ? INFINITY : (most + log2f(total)) * kLn2;
  const float inverse = total == 0 ? 0.0f : 1.0f / total, values[4] = {value.x, value.y, value.z, value.w};
  Bf16 high[4], low[4];
  for (int i = 0; i < 4; ++i) {
    const float mean = quotient(values[i], total, inverse);
    high[i] = round_bf16(mean);
    low[i] = round_rest(mean);
  }
  const std::int64_t to = (static_cast<std::int64_t>(args.first + row) * args.heads + head) * args.layout.latent + 4 * thread;
  const auto two = [](Bf16 a, Bf16 b) { return static_cast<unsigned>(a.bits) | (static_cast<unsigned>(b.bits) << 16); };
  *reinterpret_cast<uint2*>(args.out + to) = make_uint2(two(high[0], high[1]), two(high[2], high[3]));
  if (args.out_low != nullptr) *reinterpret_cast<uint2*>(args.out_low + to) = make_uint2(two(low[0], low[1]), two(low[2], low[3]));
}

CUtensorMap query_tensor(const SparseAttentionArgs& args) {
  const std::array<cuuint64_t, 2> sizes{kWidth, static_cast<cuuint64_t>(args.batch.tokens) * static_cast<cuuint64_t>(args.heads)};
  const std::array<cuuint64_t, 1> strides{kWidth * 2};
  const std::array<cuuint32_t, 2> box{kColumns, kHeads};
  return make_tensor_map({.data = const_cast<Bf16*>(args.queries), .sizes = sizes, .strides_bytes = strides, .box = box});
}

}  // namespace
}  // namespace hopper

bool sparse_decode_takes(const SparseAttentionArgs& args) {
  const CacheLayout& layout = args.layout;
  const bool sizes = layout.format == CacheFormat::Fp8 && layout.latent == hopper::kLatent && layout.rope == hopper::kRope;
  return sizes && args.heads > 0 && args.heads % hopper::kHeads == 0 && args.queries_low == nullptr && args.out_low == nullptr && args.scale > 0;
}

int decode_part(int rows, int heads, int longest) {
  constexpr int kProcessors = 132;
  // Microseconds: of an item besides its blocks, of a block of 64 positions, of the join and each MiB of parts.
  constexpr double kItem = 5.0, kBlockTime = 2.55, kJoin = 0.5, kJoinMebibyte = 0.8;
  const int blocks = longest < 1 ? 1 : longest / hopper::kBlock + (longest % hopper::kBlock != 0 ? 1 : 0);
  int best = blocks;
  double least = 0;
  for (int parts = 1; parts <= blocks && parts <= 64; ++parts) {
    const int length = (blocks + parts - 1) / parts;
    const double items = static_cast<double>(rows) * (heads / hopper::kHeads) * ((blocks + length - 1) / length);
    const double waves = static_cast<double>(static_cast<long long>((items + kProcessors - 1) / kProcessors));
    const double mebibytes = items * hopper::kHeads * hopper::kLatent * 4 / (1 << 20);
    const double time = waves * (kItem + kBlockTime * length) + (parts > 1 ? kJoin + kJoinMebibyte * mebibytes : 0);
    if (parts == 1 || time < least) {
      least = time;
      best = length;
    }
  }
  return best * hopper::kBlock;
}

void join_attention_parts(const SparseAttentionArgs& args, CudaStream stream) {
  require(args.layout.latent % 128 == 0 && args.layout.latent <= 1024, ErrorKind::Internal, "join_attention_parts: a latent that is no multiple of 128 up to 1,024");
  if (args.rows == 0) return;
  const int parts = args.parts();
  const auto kernel = parts <= 4 ? hopper::join_attention_parts_kernel<4> : parts <= 8 ? hopper::join_attention_parts_kernel<8> : hopper::join_attention_parts_kernel<16>;
  start_kernel(kernel, static_cast<unsigned>(args.rows) * static_cast<unsigned>(args.heads), args.layout.latent / 4, 0, stream, args, parts);
}

void sparse_decode(const SparseAttentionArgs& args, CudaStream stream) {
  require(sparse_decode_takes(args), ErrorKind::Internal, "sparse_decode: sizes that it is not made for");
  require(args.longest >= 0 && (args.chosen == nullptr || args.longest >= args.k), ErrorKind::Internal, "sparse_decode: lists longer than said");
  require(args.part >= hopper::kBlock && args.part % hopper::kBlock == 0, ErrorKind::Internal, "sparse_decode: a part must be a multiple of 64 positions");
  if (args.rows == 0) return;
  SparseAttentionArgs work = args;
  work.longest = args.longest < 1 ? 1 : args.longest;  // one part at least, to write the rows without a list
  const std::int64_t items = static_cast<std::int64_t>(work.rows) * work.parts() * (work.heads / hopper::kHeads);
  require(items <= INT32_MAX / 2, ErrorKind::Internal, "sparse_decode: too many parts");
  require(work.parts() == 1 || (args.part_out != nullptr && args.part_stats != nullptr), ErrorKind::Internal, "sparse_decode: no workspace for parts");
  // Always the same value: the attribute belongs to the function, which other backends of the process may launch at the same time.
  cuda_check(cudaFuncSetAttribute(hopper::sparse_decode_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, hopper::DecodeShared::total));
  const int blocks = static_cast<int>(std::min<std::int64_t>(items, multiprocessors()));
  start_kernel(hopper::sparse_decode_kernel, static_cast<unsigned>(blocks), hopper::kDecodeThreads, hopper::DecodeShared::total, stream, work, hopper::query_tensor(work),
               work.parts(), work.heads / hopper::kHeads, static_cast<int>(items));
  if (work.parts() > 1) join_attention_parts(work, stream);
}

}  // namespace gauntlet::kernels
