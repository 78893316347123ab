#include "inference/cuda/hopper/sparse_prefill_fp8.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "inference/cuda/hopper/sparse_prefill_fp8_score.cuh"
#include "inference/cuda/hopper/sparse_prefill_fp8_sum.cuh"
#include "inference/cuda/hopper/tensor_map.h"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace hopper::fp8_queries {
namespace {

constexpr int kThreads = 4 * kWarpgroup;
constexpr int kSumRegisters = 160, kScoreRegisters = 96;
// The warpgroups share what the block started with.
static_assert(2 * (kSumRegisters + kScoreRegisters) <= 65536 / kWarpgroup);

/// Arrivals that complete each barrier.
__device__ void init_barriers(unsigned shared) {
  constexpr unsigned kWarps = kWarpgroup / 32;
  for (unsigned of = 0; of < 2; ++of) {
    barrier_init(shared + At::keys_full + of * 8, kWarpgroup + kWarps);  // copies, and what comes with them
    barrier_init(shared + At::keys_free + of * 8, 3 * kWarps);
    barrier_init(shared + At::bases_full + of * 8, kWarps);
    barrier_init(shared + At::weights_full + of * 8, kWarps);
    barrier_init(shared + At::weights_free + of * 8, 2 * kWarps);
  }
  barrier_init(shared + At::queries_full, 1);
  barrier_init(shared + At::queries_free, 2 * kWarps);
  fence_barrier_init();
}

// Grid: as many blocks as run at once; each takes every gridDim.x-th item: 64 heads of a row.
__global__ void __launch_bounds__(kThreads, 1)
    sparse_prefill_fp8_kernel(const __grid_constant__ SparsePrefillFp8Args problem, const __grid_constant__ QueryMaps maps, int groups, int items) {
  extern __shared__ __align__(1024) std::byte shared_bytes[];
  const unsigned shared = shared_address(shared_bytes);
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (threadIdx.x == 0) {
    init_barriers(shared);
    prefetch_map(&maps.latent);
    prefetch_map(&maps.rotary);
  }
  __syncthreads();
  wait_for_previous();
  let_next_begin();
  if (warpgroup == 0) {
    take_registers<kSumRegisters>();
    sum<0>(problem.attention, shared, shared_bytes, groups, items);
  } else if (warpgroup == 1) {
    take_registers<kSumRegisters>();
    sum<1>(problem.attention, shared, shared_bytes, groups, items);
  } else if (warpgroup == 2) {
    give_registers<kScoreRegisters>();
    score<0>(problem, maps, shared, shared_bytes, groups, items);
  } else {
    give_registers<kScoreRegisters>();
    score<1>(problem, maps, shared, shared_bytes, groups, items);
  }
}

QueryMaps query_maps(const SparsePrefillFp8Args& args) {
  const auto heads = static_cast<cuuint64_t>(args.attention.batch.tokens) * static_cast<cuuint64_t>(args.attention.heads);
  const std::array<cuuint64_t, 2> latent_sizes{kLatent, heads}, rotary_sizes{kRope, heads};
  const std::array<cuuint64_t, 1> latent_strides{kLatent}, rotary_strides{kRope * 2};
  const std::array<cuuint32_t, 2> latent_box{kCacheBlock, kHeads}, rotary_box{kRope, kHeads};
  auto* latent = const_cast<std::uint8_t*>(args.queries_fp8);
  return {.latent = make_tensor_map({.type = CU_TENSOR_MAP_DATA_TYPE_UINT8, .data = latent, .sizes = latent_sizes, .strides_bytes = latent_strides, .box = latent_box}),
          .rotary = make_tensor_map({.data = const_cast<Bf16*>(args.query_rotary), .sizes = rotary_sizes, .strides_bytes = rotary_strides, .box = rotary_box})};
}

}  // namespace
}  // namespace hopper::fp8_queries

bool sparse_prefill_fp8_takes(const SparsePrefillFp8Args& args) {
  const SparseAttentionArgs& attention = args.attention;
  const CacheLayout& layout = attention.layout;
  const bool sizes = layout.format == CacheFormat::Fp8 && layout.latent == hopper::kLatent && layout.rope == hopper::kRope;
  const bool heads = attention.heads > 0 && attention.heads % hopper::kHeads == 0;
  return sizes && heads && attention.out_low == nullptr && attention.scale > 0 && attention.longest <= attention.part;
}

void sparse_prefill_fp8(const SparsePrefillFp8Args& args, CudaStream stream) {
  namespace kernel = hopper::fp8_queries;
  const SparseAttentionArgs& attention = args.attention;
  require(sparse_prefill_fp8_takes(args), ErrorKind::Internal, "sparse_prefill_fp8: sizes that it is not made for");
  require(args.queries_fp8 != nullptr && args.query_rotary != nullptr && args.query_scales != nullptr, ErrorKind::Internal, "sparse_prefill_fp8: no queries");
  require(attention.longest >= 0 && (attention.chosen == nullptr || attention.longest >= attention.k), ErrorKind::Internal, "sparse_prefill_fp8: lists longer than said");
  if (attention.rows == 0) return;
  const int groups = attention.heads / hopper::kHeads;
  const std::int64_t items = static_cast<std::int64_t>(attention.rows) * groups;
  require(items <= INT32_MAX / 2, ErrorKind::Internal, "sparse_prefill_fp8: too many rows");
  // Always the same value: the attribute belongs to the function, which other backends of the process may launch at the same time.
  cuda_check(cudaFuncSetAttribute(kernel::sparse_prefill_fp8_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kernel::At::total));
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(items, multiprocessors()));
  start_kernel(kernel::sparse_prefill_fp8_kernel, blocks, kernel::kThreads, kernel::At::total, stream, args, kernel::query_maps(args), groups, static_cast<int>(items));
}

}  // namespace gauntlet::kernels
