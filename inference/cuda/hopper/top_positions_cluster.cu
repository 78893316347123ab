#include "inference/cuda/hopper/top_positions_cluster.h"

#include <algorithm>

#include "inference/cuda/hopper/top_positions_short.cuh"

namespace gauntlet::kernels {
namespace {

using hopper::Bound;
using hopper::Cut;

constexpr int kMostK = 4096;
/// An H100's multiprocessors; what is planned from them changes no result.
constexpr int kProcessors = 132;
constexpr int kShortEach = hopper::ShortRow<256>::kEach;

// A cluster of `plan.blocks` blocks a row, each with a part of its positions.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, kThreads == 256 ? 3 : 2) top_positions_cluster_kernel(const TopPositionsArgs args, const TopPositionsPlan plan) {
  using Part = hopper::PositionSelector<kThreads>;
  extern __shared__ __align__(128) float dynamic[];
  __shared__ unsigned long long full[8];
  __shared__ unsigned sums[2 * Part::kWarps];
  __shared__ unsigned found[4], counts[3 * hopper::kSelectorBlocks];
  const int row = static_cast<int>(blockIdx.x) / plan.blocks, rank = static_cast<int>(blockIdx.x) % plan.blocks, thread = static_cast<int>(threadIdx.x);
  unsigned* bins = reinterpret_cast<unsigned*>(dynamic + plan.stages * Part::kStep);
  unsigned* keys = bins + Part::kBins;
  Part part{.ring = dynamic, .keys = keys, .positions = keys + plan.candidates, .bins = bins, .sums = sums, .full = full, .found = found, .counts = counts,
            .k = static_cast<unsigned>(args.k), .rank = rank, .blocks = plan.blocks, .stages = plan.stages, .capacity = plan.candidates,
            .thread = thread, .lane = thread % 32, .warp = thread / 32};
  if (thread == 0) {
    for (int i = 0; i < plan.stages; ++i) hopper::barrier_init(shared_address(&full[i]), 1);
    hopper::fence_barrier_init();
  }
  part.clear(bins, Part::kBins);
  part.clear(keys, Part::kSampleBins);  // the sample's histogram, before there are candidates

  begin_after_previous();
  const int length = args.last[row] + 1;
  std::int32_t* chosen = args.chosen + static_cast<std::int64_t>(row) * args.k;
  if (length <= args.k) {
    for (int i = rank * kThreads + thread; i < args.k; i += plan.blocks * kThreads) chosen[i] = i < length ? i : -1;
    return;
  }
  const int each = ((length + plan.blocks - 1) / plan.blocks + 31) / 32 * 32;
  const float* scores = args.scores + static_cast<std::int64_t>(row) * args.score_stride;
  part.first = min(rank * each, length);
  part.own = min(each, length - part.first);
  part.scores = scores + part.first;
  const bool sampled = plan.sampled && length > 2 * args.k && length >= Part::kSample;
  if (plan.blocks > 1) hopper::cluster_arrive_relaxed();  // so that all blocks run before one looks into another
  typename Part::Pieces pieces;
  if (sampled) pieces = part.load_sample(scores, length);
  part.start_loads(0, sampled ? 1 : plan.stages);  // few before the sample is there, which would wait for them
  __syncthreads();

  Bound bound;
  if (sampled) bound = part.bound_of_sample(pieces, length, keys);
  part.collect(bound);

  if (plan.blocks > 1) hopper::cluster_wait();
  int slot = 0;  // of counts: each is written once
  unsigned lower = 0, total = part.count_cluster(slot, lower);
  if (total < part.k) {  // the sample has misled: keep everything that fits
    part.count = 0;
    bound = {};
    part.start_loads(0, plan.stages);
    part.collect(bound);
    total = part.count_cluster(slot = 1, lower);
  }
  const unsigned room = static_cast<unsigned>(plan.stages * Part::kStep), share = room / static_cast<unsigned>(plan.blocks);
  if (plan.blocks > 1 && total > room) {
    if (static_cast<unsigned>(part.count) > share) part.drop_candidates(share);
    total = part.count_cluster(slot = 2, lower);
  }
  const unsigned* candidates = keys;
  if (plan.blocks > 1) {
    unsigned* gathered = reinterpret_cast<unsigned*>(dynamic);
    part.gather_keys(slot, total, gathered);
    candidates = gathered;
    hopper::cluster_arrive_relaxed();  // this block has read the others' keys
  }
  const Cut cut = part.find_cut(candidates, static_cast<int>(total), part.k, bound.key);
  unsigned before = 0;  // of lower rank: above in the low half, equal in the high half
  if (lower > 0) {
    unsigned sum = 0;
    for (unsigned i = static_cast<unsigned>(thread); i < lower; i += kThreads) sum += candidates[i] > cut.key ? 1U : candidates[i] == cut.key ? 0x10000U : 0U;
    part.prefix(sum, before);
  }
  part.keep_best(cut.key, part.k - cut.above, before & 0xffffU, before >> 16,
                 [&](unsigned index, unsigned position, unsigned) { chosen[index] = static_cast<std::int32_t>(position); });
  if (plan.blocks > 1) hopper::cluster_wait();
}

template <int kThreads>
void launch(const TopPositionsArgs& args, const TopPositionsPlan& plan, CudaStream stream) {
  using Part = hopper::PositionSelector<kThreads>;
  const int room = plan.stages * Part::kStep;
  require(plan.blocks >= 1 && plan.blocks <= hopper::kSelectorBlocks && plan.stages >= 2 && plan.stages <= 8 && room < 0x10000 && room >= plan.blocks * args.k, ErrorKind::Internal,
          "top_positions_cluster: a plan without room for the cluster's candidates");
  require(plan.candidates % 4 == 0 && plan.candidates > args.k && plan.candidates < 0x10000 && plan.candidates * 2 >= Part::kSampleBins, ErrorKind::Internal,
          "top_positions_cluster: a plan without room for a block's candidates");
  const int bytes = room * 4 + Part::kBins * 4 + plan.candidates * 8;
  const auto kernel = top_positions_cluster_kernel<kThreads>;
  cuda_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_limit() - 1024));
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(plan.blocks), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(args.rows) * static_cast<unsigned>(plan.blocks));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  cuda_check(cudaLaunchKernelEx(&config, kernel, args, plan));
}

void launch_short(const TopPositionsArgs& args, const TopPositionsPlan& plan, CudaStream stream) {
  require(args.score_stride <= plan.threads * kShortEach, ErrorKind::Internal, "top_positions_cluster: a plan without room for a row");
  const auto start = [&](auto kernel) { start_kernel(kernel, static_cast<unsigned>(args.rows), static_cast<unsigned>(plan.threads), 0, stream, args); };
  if (plan.threads == 256) return start(hopper::top_positions_short_kernel<256, 3>);
  if (plan.threads == 1024) return start(hopper::top_positions_short_kernel<1024, 1>);
  // A third block on each multiprocessor pays when there are so many rows, though each is slower for want of registers.
  if (args.rows > 2 * kProcessors) return start(hopper::top_positions_short_kernel<512, 3>);
  start(hopper::top_positions_short_kernel<512, 2>);
}

}  // namespace

TopPositionsPlan plan_top_positions(const TopPositionsArgs& args) {
  const bool many = args.rows > kProcessors;
  for (const int threads : {256, 512, 1024}) {
    if (args.score_stride <= threads * kShortEach && !(many && threads == 1024)) return {.blocks = 0, .threads = threads};
  }
  TopPositionsPlan plan{.candidates = std::max(round_up(args.k / 4 * 5, 4) + 1792, 4096)};
  if (many) {  // several blocks on each multiprocessor
    plan.stages = 2;
    if (args.score_stride <= 16384) plan.threads = 256;
    return plan;
  }
  while (args.rows * plan.blocks * 2 <= kProcessors && plan.blocks < hopper::kSelectorBlocks && plan.blocks * 2 * args.k <= plan.stages * 8192) plan.blocks *= 2;
  return plan;
}

bool top_positions_cluster_takes(const TopPositionsArgs& args) {
  return args.k >= 1 && args.k <= kMostK && args.score_stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(args.scores) % 16 == 0 && compute_capability() == 90;
}

void top_positions_cluster(const TopPositionsArgs& args, CudaStream stream) { top_positions_cluster(args, plan_top_positions(args), stream); }

void top_positions_cluster(const TopPositionsArgs& args, const TopPositionsPlan& plan, CudaStream stream) {
  require(args.k >= 1 && args.k <= kMostK && args.score_stride % 4 == 0, ErrorKind::Internal, "top_positions_cluster: k must be 1 to 4096 and the stride a multiple of 4");
  if (args.rows == 0) return;
  if (plan.blocks == 0) return launch_short(args, plan, stream);
  if (plan.threads == 256) return launch<256>(args, plan, stream);
  launch<512>(args, plan, stream);
}

}  // namespace gauntlet::kernels
