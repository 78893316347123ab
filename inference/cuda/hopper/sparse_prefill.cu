#include "inference/cuda/hopper/sparse_prefill.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "inference/cuda/hopper/sparse_prefill_attend.cuh"
#include "inference/cuda/hopper/sparse_prefill_fetch.cuh"
#include "inference/cuda/hopper/tensor_map.h"

namespace gauntlet::kernels {
namespace hopper::prefill {

inline constexpr int kThreads = 3 * kWarpgroup;

/// Arrivals that complete each barrier.
__device__ void init_barriers(unsigned base) {
  for (unsigned group = 0; group < kGroups; ++group) {
    barrier_init(base + At::kFull + group * 8, kWarpgroup);
    barrier_init(base + At::kFree + group * 8, 4);
  }
  for (unsigned slot = 0; slot < kRing; ++slot) {
    barrier_init(base + At::kListed + slot * 8, 1);
    barrier_init(base + At::kListFree + slot * 8, 12);  // warps
  }
  barrier_init(base + At::kQueriesFull, 1);
  fence_barrier_init();
}

// Grid: blocks that go through the items in turn. A block attends for 64 heads of a token over one part of its list.
__global__ void __launch_bounds__(kThreads, 1) sparse_prefill_kernel(const __grid_constant__ Problem problem, const __grid_constant__ CUtensorMap queries) {
  extern __shared__ __align__(1024) std::byte shared[];
  const unsigned base = shared_address(shared);
  if (threadIdx.x == 0) init_barriers(base);
  __syncthreads();
  if (threadIdx.x < kWarpgroup) {
    take_registers<224>();
    attend_left(problem, shared, base);
  } else if (threadIdx.x < 2 * kWarpgroup) {
    take_registers<224>();
    attend_right(problem, &queries, shared, base);
  } else {
    give_registers<56>();
    fetch(problem, shared, base);
  }
}

namespace {

void launch(const SparseAttentionArgs& args, CudaStream stream) {
  Problem problem{.args = args, .parts = args.parts(), .groups = args.heads / kHeads};
  const std::int64_t items = static_cast<std::int64_t>(args.rows) * problem.parts * problem.groups;
  require(items <= INT32_MAX / 2, ErrorKind::Internal, "sparse_prefill: too many rows and parts");
  problem.items = static_cast<int>(items);
  const std::array<cuuint64_t, 2> sizes{kWidth, static_cast<cuuint64_t>(args.batch.tokens) * static_cast<cuuint64_t>(args.heads)};
  const std::array<cuuint64_t, 1> strides{kWidth * 2};
  const std::array<cuuint32_t, 2> box{64, kHeads};
  const CUtensorMap queries = make_tensor_map({.data = const_cast<Bf16*>(args.queries), .sizes = sizes, .strides_bytes = strides, .box = box});
  cuda_check(cudaFuncSetAttribute(sparse_prefill_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit()));
  sparse_prefill_kernel<<<std::min(multiprocessors(), problem.items), kThreads, At::kTotal, stream>>>(problem, queries);
  cuda_check(cudaGetLastError());
}

}  // namespace
}  // namespace hopper::prefill

bool sparse_prefill_takes(const SparseAttentionArgs& args) {
  const bool layout = args.layout.format == CacheFormat::Bf16 && args.layout.latent == hopper::prefill::kLatent && args.layout.rope == 64;
  const bool heads = args.heads >= 1 && args.heads % hopper::prefill::kHeads == 0;
  return layout && heads && args.queries_low == nullptr && args.out_low == nullptr && args.scale > 0 && (args.chosen == nullptr || args.k > 0);
}

void sparse_prefill(const SparseAttentionArgs& args, CudaStream stream) {
  require(sparse_prefill_takes(args), ErrorKind::Internal, "sparse_prefill: not what it takes");
  require(args.longest >= 0 && (args.chosen == nullptr || args.longest >= args.k), ErrorKind::Internal, "sparse_prefill: lists longer than said");
  require(args.part >= 64 && args.part % 64 == 0, ErrorKind::Internal, "sparse_prefill: a part must be a multiple of 64 positions");
  if (args.rows == 0) return;
  SparseAttentionArgs work = args;
  work.longest = std::max(args.longest, 1);
  require(work.parts() == 1 || (args.part_out != nullptr && args.part_stats != nullptr), ErrorKind::Internal, "sparse_prefill: no workspace for parts");
  hopper::prefill::launch(work, stream);
}

}  // namespace gauntlet::kernels
