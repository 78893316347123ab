#include "inference/cuda/hopper/masked_attention.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "inference/cuda/hopper/masked_attention_rows.cuh"
#include "inference/cuda/hopper/tensor_map.h"
#include "inference/cuda/launch.cuh"

namespace gauntlet::kernels {
namespace hopper::masked {
namespace {

/// A warpgroup: rows [64 · group, 64 · group + 64) of every tile of queries of a block.
///
/// While the products of a key tile with the queries run, the values of the tile before are added; the softmax runs beside the latter. The groups take
/// turns to start their products, so that the softmax of one also falls into the products of the other.
class Group {
 public:
  __device__ Group(const Work& work, unsigned tiles, Barriers& barriers, int group)
      : work_(work), barriers_(barriers), group_(group), queries_at_(tiles + static_cast<unsigned>(group) * kGroupQueryBytes), keys_at_(tiles + kGroups * kGroupQueryBytes),
        values_at_(keys_at_ + kStages * kKeyBytes), queries_(tile_along_k(queries_at_)) {
    if (group == kGroups - 1) end_turn();  // the first turn is group 0's
  }

  __device__ void run() {
    for (Step step = next_step(); step.head >= 0; step = next_step()) {
      if (!enter(step)) continue;
      wait_queries(step);
      // On the diagonal, the first group needs the first half of the keys only.
      if (last_row(step) - step.key < kKeys / 2) {
        first_logits<kKeys / 2>(step);
      } else {
        first_logits<kKeys>(step);
      }
      bool add = false;
      for (; step.more != 0; add = true) next_tile(step, add);
      start_values(step, add);
      products_wait<0>();
      hold(sums_);
      release_values();
      write_rows(work_, sums_, state_, own_, step.last, step.head);
    }
  }

 private:
  __device__ Step next_step() {
    wait(shared_address(&barriers_.key_full[key_.stage]), key_.phase);
    return barriers_.steps[key_.stage];
  }
  __device__ void release(std::uint64_t& barrier) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(shared_address(&barrier));
  }
  __device__ void release_keys() {
    release(barriers_.key_empty[key_.stage]);
    key_.advance();
  }
  __device__ void release_values() {
    release(barriers_.value_empty[value_.stage]);
    value_.advance();
  }
  __device__ void begin_turn() { sync_threads(1 + group_, kGroups * kWarpgroup); }
  __device__ void end_turn() { arrive_threads(1 + (group_ + 1) % kGroups, kGroups * kWarpgroup); }
  __device__ int last_row(const Step& step) const { return min(step.first + kGroupRows * (group_ + 1) - 1, step.last); }

  /// Passes over tiles that none of these rows attends to. False: there are no rows.
  __device__ bool enter(Step& step) {
    const bool idle = step.first + kGroupRows * group_ > step.last;
    while (idle || step.key > last_row(step)) {
      begin_turn();
      end_turn();
      release_keys();
      wait(shared_address(&barriers_.value_full[value_.stage]), value_.phase);
      release_values();
      if (step.more == 0) return false;
      step = next_step();
    }
    return true;
  }
  __device__ void wait_queries(const Step& step) {
    const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
    first_ = step.first + kGroupRows * group_;
    own_ = first_ + thread / 32 * 16 + thread % 32 / 4;
    state_ = {};
    wait(shared_address(&barriers_.query_full[group_]), query_phase_);
    query_phase_ ^= 1U;
#pragma unroll
    for (int i = 0; i < kHeldSteps; ++i) {
      constexpr int kFirst = kQuerySteps - kHeldSteps;
      load_queries(held_[i], queries_at_ + static_cast<unsigned>(kFirst + i) / 4 * kQueryColumns, static_cast<unsigned>(kFirst + i) % 4);
    }
  }
  template <int kCount>
  __device__ void start_keys(float (&logits)[kCount]) {
    begin_turn();
    products_begin();
    start_logits(logits, queries_, held_, tile_along_k(keys_at_ + key_.stage * kKeyBytes));
    products_commit();
  }
  __device__ void start_values(const Step& step, bool add) {
    wait(shared_address(&barriers_.value_full[value_.stage]), value_.phase);
    const unsigned values = values_at_ + value_.stage * kValueBytes;
    if (step.key + kKeys - 1 > step.last) clear_values(values, step.last - step.key + 1, 1 + kGroups + group_);
    products_begin();
    start_sums(sums_, weights_, tile_along_outer(values, kKeyColumns), add);
    products_commit();
  }
  /// When the products of keys are done: weights instead of logits.
  template <int kCount>
  __device__ void take_logits(float (&logits)[kCount], const Step& step, float (&factors)[2]) {
    hold(logits);
    release_keys();
    if (step.more == 0) release(barriers_.query_empty[group_]);
    if (step.key + 2 * kCount - 1 > first_) RowState::mask(logits, own_ - step.key);
    state_.take(logits, work_.scale, factors);
    hold(logits);
  }
  /// Weights of the first kCount keys of the first tile of some queries; the others' are 0.
  template <int kCount>
  __device__ void first_logits(const Step& step) {
    float logits[kCount / 2], factors[2];
    start_keys(logits);
    end_turn();
    products_wait<0>();
    take_logits(logits, step, factors);
    pack_weights(weights_, logits);
  }
  /// Adds the values of `step`, and goes on to the next one's weights.
  __device__ void next_tile(Step& step, bool add) {
    const Step next = next_step();
    float logits[kKeys / 2], factors[2];
    start_keys(logits);
    start_values(step, add);
    end_turn();
    step = next;
    products_wait<1>();
    take_logits(logits, step, factors);
    products_wait<0>();
    hold(sums_);
    release_values();
    if (__any_sync(kAllLanes, factors[0] != 1.0f || factors[1] != 1.0f)) scale_rows(sums_, factors);
    pack_weights(weights_, logits);
  }

  const Work& work_;
  Barriers& barriers_;
  int group_;
  unsigned queries_at_, keys_at_, values_at_;
  std::uint64_t queries_;
  Ring key_, value_;
  unsigned query_phase_ = 0;
  int first_ = 0, own_ = 0;  ///< tokens of the group's first row and of this thread's
  RowState state_;
  unsigned held_[kHeldSteps][4];
  float sums_[kMaskedValue / 2];
  unsigned weights_[kKeys / 16][4];
};

/// One block a multiprocessor, each taking items until there are none left: writes `out` and `lse` of these.
/// Warpgroups 0 and 1 compute; of the last one, a warp reads tiles and a warp plans.
__global__ void __launch_bounds__(kThreads, 1)
    masked_attention_kernel(const __grid_constant__ CUtensorMap queries, const __grid_constant__ CUtensorMap keys_values, const __grid_constant__ CUtensorMap rotary,
                            const __grid_constant__ Work work) {
  extern __shared__ std::byte dynamic[];
  __shared__ Barriers barriers;
  const unsigned tiles = (shared_address(dynamic) + 1023U) & ~1023U;
  const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpgroup, 0);
  if (threadIdx.x == 0) {
    init_barriers(barriers);
    for (const CUtensorMap* map : {&queries, &keys_values, &rotary}) prefetch_map(map);
  }
  __syncthreads();
  begin_after_previous();
  if (group == kGroups) {
    give_registers<40>();
    const int warp = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) % kWarpgroup / 32, 0);
    if (warp == 0 && elect_one()) Reader(queries, keys_values, rotary, tiles, barriers).read_all();
    if (warp == 1) Planner(queries, work, barriers).plan_all();
  } else {
    take_registers<232>();
    Group(work, tiles, barriers, group).run();
  }
}

/// Boxes of 64 columns of one head. `data` [tokens, heads, columns].
CUtensorMap head_map(const Bf16* data, int columns, const MaskedAttentionArgs& args, int box_rows) {
  const auto row = static_cast<cuuint64_t>(columns);
  const std::array<cuuint64_t, 3> sizes{row, static_cast<cuuint64_t>(args.heads), static_cast<cuuint64_t>(args.batch.tokens)};
  const std::array<cuuint64_t, 2> strides{row * sizeof(Bf16), row * sizeof(Bf16) * static_cast<cuuint64_t>(args.heads)};
  const std::array<cuuint32_t, 3> box{64, 1, static_cast<cuuint32_t>(box_rows)};
  return make_tensor_map({.data = const_cast<Bf16*>(data), .sizes = sizes, .strides_bytes = strides, .box = box});
}

CUtensorMap rotary_map(const MaskedAttentionArgs& args) {
  const std::array<cuuint64_t, 2> sizes{kMaskedRotary, static_cast<cuuint64_t>(args.batch.tokens)};
  const std::array<cuuint64_t, 1> strides{kMaskedRotary * sizeof(Bf16)};
  const std::array<cuuint32_t, 2> box{kMaskedRotary, kKeys};
  return make_tensor_map({.data = const_cast<Bf16*>(args.rotary_keys), .sizes = sizes, .strides_bytes = strides, .box = box});
}

void launch(const MaskedAttentionArgs& args, CudaStream stream) {
  // Sixteen heads of 2,048 tokens are 16 MB of keys and values: they stay in the L2 cache while their queries pass.
  constexpr int kTogether = 16;
  constexpr float kLog2E = 1.44269504088896341f;
  const Work work{.positions = args.batch.positions, .first = args.first, .rows = args.rows, .heads = args.heads, .heads_together = std::min(kTogether, args.heads),
                  .scale = args.scale * kLog2E, .out = args.out, .lse = args.lse, .counters = args.work};
  const int items = (args.rows + kQueries - 1) / kQueries * args.heads;
  const dim3 grid(static_cast<unsigned>(std::min(items, multiprocessors())));
  cuda_check(cudaFuncSetAttribute(masked_attention_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kSharedBytes)));
  start_kernel(masked_attention_kernel, grid, kThreads, kSharedBytes, stream, head_map(args.queries, kMaskedQuery, args, kGroupRows),
               head_map(args.keys_values, kMaskedContent + kMaskedValue, args, kKeys), rotary_map(args), work);
}

bool on_16_bytes(const void* at) { return std::bit_cast<std::uintptr_t>(at) % 16 == 0; }

}  // namespace
}  // namespace hopper::masked

bool masked_attention_takes(const MaskedAttentionArgs& args) {
  using hopper::masked::on_16_bytes;
  return args.heads > 0 && std::isfinite(args.scale) && args.scale > 0 && args.work != nullptr && on_16_bytes(args.queries) && on_16_bytes(args.keys_values) &&
         on_16_bytes(args.rotary_keys) && on_16_bytes(args.out) && compute_capability() == 90;
}

void masked_attention(const MaskedAttentionArgs& args, CudaStream stream) {
  require(masked_attention_takes(args), ErrorKind::Internal, "masked attention: arguments that masked_attention_takes() refuses");
  require(args.first >= 0 && args.rows >= 0 && args.first + args.rows <= args.batch.tokens, ErrorKind::Internal, "masked attention: rows beyond the batch");
  if (args.rows == 0) return;
  hopper::masked::launch(args, stream);
  cuda_check(cudaGetLastError());
}

}  // namespace gauntlet::kernels
