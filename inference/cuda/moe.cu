#include "inference/cuda/moe.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kMaxExperts = 512;
constexpr int kMaxGroups = 64;
constexpr int kDispatchWarps = 16;

__device__ int lane_id() { return static_cast<int>(threadIdx.x) % 32; }
__device__ unsigned lanes_below() { return (1U << lane_id()) - 1; }

/// Sorts as inference/selection.h: larger is chosen first; higher score, then lower index; -0 equals +0; NaN last. Never 0.
__device__ std::uint64_t rank_key(float score, int index) {
  unsigned bits = __float_as_uint(score == 0.0f ? 0.0f : score);
  bits = score != score ? 0U : (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return (static_cast<std::uint64_t>(bits) << 32) | (0xffffffffU - static_cast<unsigned>(index));
}

/// Bank conflicts are avoided where lanes read whole groups.
__device__ constexpr int padded(int expert) { return expert + expert / 32; }

/// Grid: tokens; one warp routes one. Lane l holds experts l, l + 32, …
template <int kEach>
__global__ void __launch_bounds__(32) route_kernel(RouteArgs args) {
  begin_after_previous();
  __shared__ float scores[kEach * 32];
  __shared__ float ranked[padded(kEach * 32)];
  __shared__ std::uint64_t group_keys[kMaxGroups];
  __shared__ int best[kEach * 32];
  const int lane = lane_id();
  const float* logits = args.logits + static_cast<std::int64_t>(blockIdx.x) * args.experts;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = lane + 32 * j;
    if (e >= args.experts) continue;
    scores[e] = 1.0f / (1.0f + expf(-logits[e]));
    ranked[padded(e)] = scores[e] + args.correction[e];
  }
  __syncwarp();

  const int group_size = args.experts / args.groups;
  if (args.groups > 1) {  // a group counts as much as its two best
    for (int g = lane; g < args.groups; g += 32) {
      float first = -INFINITY, second = -INFINITY;
      for (int e = g * group_size; e < (g + 1) * group_size; ++e) {
        const float value = ranked[padded(e)];
        if (value > first) {
          second = first;
          first = value;
        } else if (value > second) {
          second = value;
        }
      }
      group_keys[g] = rank_key(first + second, g);
    }
    __syncwarp();
  }

  std::uint64_t keys[kEach];
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int e = lane + 32 * j;
    keys[j] = 0;
    if (e >= args.experts) continue;
    float value = ranked[padded(e)];
    if (args.groups > 1) {
      int before = 0;
      for (int g = 0; g < args.groups; ++g) before += group_keys[g] > group_keys[e / group_size] ? 1 : 0;
      if (before >= args.groups_kept) value = -INFINITY;
    }
    keys[j] = rank_key(value, e);
  }

  unsigned taken = 0;  // bit j: this lane's expert j
  for (int i = 0; i < args.per_token; ++i) {
    std::uint64_t mine = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) mine = max(mine, keys[j]);
    std::uint64_t most = mine;
    for (int step = 16; step > 0; step /= 2) most = max(most, __shfl_xor_sync(kAllLanes, most, step));
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      if (keys[j] != most) continue;  // keys differ, so one lane has it
      keys[j] = 0;
      taken |= 1U << j;
    }
  }

  int count = 0;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const bool here = ((taken >> j) & 1U) != 0;
    const unsigned votes = __ballot_sync(kAllLanes, here);
    if (here) best[count + __popc(votes & lanes_below())] = lane + 32 * j;
    count += __popc(votes);
  }
  __syncwarp();

  float total = 0;
  for (int i = 0; i < args.per_token; ++i) total += scores[best[i]];
  const std::int64_t out = static_cast<std::int64_t>(blockIdx.x) * args.per_token;
  for (int i = lane; i < args.per_token; i += 32) {
    args.chosen[out + i] = best[i];
    // 1e-20 as transformers; without effect unless all gates are 0.
    args.weights[out + i] = scores[best[i]] / (args.normalise ? total + 1e-20f : 1.0f) * args.routed_scale;
  }
}

/// Grid: experts; a block finds all slots of one, without the others: it counts the choices of lower experts, which gives its first slot, and
/// numbers its own in the order of tokens. Each warp has one stretch of the list. Tile entries of expert e begin at first / kExpertTile + e,
/// where they cannot meet those of e + 1.
__global__ void __launch_bounds__(kDispatchWarps * 32) dispatch_kernel(DispatchArgs args) {
  begin_after_previous();
  __shared__ int lower_in[kDispatchWarps], own_in[kDispatchWarps];
  const int expert = static_cast<int>(blockIdx.x), lane = lane_id(), warp = static_cast<int>(threadIdx.x) / 32;
  const int slots = args.tokens * args.per_token;
  const int stretch = (slots + kDispatchWarps * 32 - 1) / (kDispatchWarps * 32) * 32;
  const int begin = min(warp * stretch, slots), end = min(begin + stretch, slots);

  int lower = 0, own = 0;
  for (int i = begin + lane; i < end; i += 32) {
    const int e = args.chosen[i];
    lower += e < expert ? 1 : 0;
    own += e == expert ? 1 : 0;
  }
  lower = __reduce_add_sync(kAllLanes, lower);
  own = __reduce_add_sync(kAllLanes, own);
  if (lane == 0) {
    lower_in[warp] = lower;
    own_in[warp] = own;
  }
  __syncthreads();
  int first = 0, next = 0, count = 0;
  for (int w = 0; w < kDispatchWarps; ++w) {
    first += lower_in[w];
    next += w < warp ? own_in[w] : 0;
    count += own_in[w];
  }
  next += first;

  for (int base = begin; base < end; base += 32) {
    const int i = base + lane;
    const bool here = i < end && args.chosen[i] == expert;
    const unsigned votes = __ballot_sync(kAllLanes, here);
    if (here) {
      const int slot = next + __popc(votes & lanes_below());
      args.slot_of[i] = slot;
      args.token_of[slot] = i / args.per_token;
    }
    next += __popc(votes);
  }

  const int tile_begin = first / kExpertTile + expert, tile_end = (first + count) / kExpertTile + expert + 1;  // of the last expert: max_tiles()
  for (int tile = tile_begin + static_cast<int>(threadIdx.x); tile < tile_end; tile += kDispatchWarps * 32) {
    const int done = (tile - tile_begin) * kExpertTile;
    args.tile_expert[tile] = done < count ? expert : -1;
    args.tile_first[tile] = first + done;
    args.tile_rows[tile] = max(min(count - done, kExpertTile), 0);
  }
}

/// Grid: (tokens, groups of 128 × (4 or 1) columns); a thread makes that many neighbours.
template <bool kVector>
__global__ void __launch_bounds__(128) combine_kernel(CombineArgs args) {
  begin_after_previous();
  constexpr int kEach = kVector ? 4 : 1;
  const int column = (static_cast<int>(blockIdx.y) * 128 + static_cast<int>(threadIdx.x)) * kEach;
  if (column >= args.dim) return;
  const std::int64_t choice = static_cast<std::int64_t>(blockIdx.x) * args.per_token;
  float sum[kEach] = {};
  for (int j = 0; j < args.per_token; ++j) {
    const float weight = args.weights[choice + j];
    const float* part = args.parts + static_cast<std::int64_t>(args.slot_of[choice + j]) * args.dim + column;
    if constexpr (kVector) {
      const float4 p = *reinterpret_cast<const float4*>(part);
      sum[0] = fmaf(weight, p.x, sum[0]);
      sum[1] = fmaf(weight, p.y, sum[1]);
      sum[2] = fmaf(weight, p.z, sum[2]);
      sum[3] = fmaf(weight, p.w, sum[3]);
    } else {
      sum[0] = fmaf(weight, *part, sum[0]);
    }
  }
  float* to = args.stream + static_cast<std::int64_t>(blockIdx.x) * args.dim + column;
  if constexpr (kVector) {
    const float4 old = *reinterpret_cast<float4*>(to);
    *reinterpret_cast<float4*>(to) = {old.x + sum[0], old.y + sum[1], old.z + sum[2], old.w + sum[3]};
  } else {
    *to += sum[0];
  }
}

}  // namespace

void route(const RouteArgs& args, CudaStream stream) {
  require(args.experts > 0 && args.experts <= kMaxExperts, ErrorKind::Internal, "route: experts must be 1 to 512");
  require(args.per_token > 0 && args.per_token <= args.experts, ErrorKind::Internal, "route: per_token must be 1 to experts");
  require(args.groups > 0 && args.groups <= kMaxGroups && args.experts % args.groups == 0, ErrorKind::Internal, "route: groups must be 1 to 64 and divide experts");
  require(args.groups == 1 || (args.experts / args.groups >= 2 && args.groups_kept > 0), ErrorKind::Internal, "route: groups need two experts, and one of them to stay");
  if (args.tokens <= 0) return;
  const auto grid = static_cast<unsigned>(args.tokens);
  if (args.experts <= 64) {
    start_kernel(route_kernel<2>, grid, 32, 0, stream, args);
  } else if (args.experts <= 256) {
    start_kernel(route_kernel<8>, grid, 32, 0, stream, args);
  } else {
    start_kernel(route_kernel<16>, grid, 32, 0, stream, args);
  }
}

void dispatch(const DispatchArgs& args, CudaStream stream) {
  require(args.experts > 0 && args.tokens >= 0 && args.per_token > 0, ErrorKind::Internal, "dispatch: experts and per_token must be positive, tokens not negative");
  start_kernel(dispatch_kernel, static_cast<unsigned>(args.experts), kDispatchWarps * 32, 0, stream, args);
}

void combine(const CombineArgs& args, CudaStream stream) {
  require(args.tokens >= 0 && args.dim > 0 && args.per_token > 0, ErrorKind::Internal, "combine: dim and per_token must be positive, tokens not negative");
  if (args.tokens == 0) return;
  const auto aligned = [](const float* at) { return reinterpret_cast<std::uintptr_t>(at) % 16 == 0; };
  const bool vector = args.dim % 4 == 0 && aligned(args.parts) && aligned(args.stream);
  const int columns = 128 * (vector ? 4 : 1);
  const dim3 grid(static_cast<unsigned>(args.tokens), static_cast<unsigned>((args.dim + columns - 1) / columns));
  if (vector) {
    start_kernel(combine_kernel<true>, grid, 128, 0, stream, args);
  } else {
    start_kernel(combine_kernel<false>, grid, 128, 0, stream, args);
  }
}

}  // namespace gauntlet::kernels
