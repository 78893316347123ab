#include "inference/cuda/fast_kernels.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "inference/cuda/cuda.h"
#include "inference/cuda/hopper/index_scores_fp8.h"
#include "inference/cuda/hopper/sparse_decode.h"
#include "inference/cuda/hopper/sparse_few_heads.h"
#include "inference/cuda/hopper/sparse_prefill.h"
#include "inference/cuda/hopper/top_positions_cluster.h"

namespace gauntlet::kernels {
namespace {

/// Machine code for sm_90a runs on compute capability 9.0 alone.
bool on_hopper() { return compute_capability() == 90; }

bool aligned_16(std::initializer_list<const void*> pointers) {
  return std::ranges::all_of(pointers, [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; });
}

}  // namespace

AttentionKernel attention_kernel(const SparseAttentionArgs& args) {
  if (!on_hopper() || !aligned_16({args.latent_rows, args.queries, args.out, args.out_low, args.part_out, args.part_stats})) return AttentionKernel::Portable;
  if (sparse_few_heads_takes(args)) return AttentionKernel::FewHeads;
  if (sparse_decode_takes(args)) return AttentionKernel::Fp8;
  if (sparse_prefill_takes(args)) return AttentionKernel::Bf16;
  return AttentionKernel::Portable;
}

const char* name_of(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::Portable: return "portable";
    case AttentionKernel::FewHeads: return "few heads";
    case AttentionKernel::Fp8: return "FP8";
    case AttentionKernel::Bf16: return "bf16";
  }
  return "";
}

int fastest_part(const SparseAttentionArgs& args) {
  switch (attention_kernel(args)) {
    case AttentionKernel::Portable: return kAttentionPart;
    case AttentionKernel::FewHeads: return few_heads_part(args.rows, args.longest);
    case AttentionKernel::Fp8:
    case AttentionKernel::Bf16: return decode_part(args.rows, args.heads, args.longest);
  }
  return kAttentionPart;
}

void attend(const SparseAttentionArgs& args, CudaStream stream) {
  switch (attention_kernel(args)) {
    case AttentionKernel::Portable: return sparse_attention(args, stream);
    case AttentionKernel::Fp8: return sparse_decode(args, stream);
    case AttentionKernel::FewHeads: return sparse_few_heads(args, stream);
    case AttentionKernel::Bf16: break;
  }
  sparse_prefill(args, stream);
  if (args.rows > 0 && args.parts() > 1) join_attention_parts(args, stream);
}

bool scores_in_fp8(const CacheLayout& layout, int heads) {
  // Of the arguments only sizes and alignment are asked for.
  alignas(16) static constexpr std::uint8_t kQueries[16] = {};
  alignas(16) static constexpr float kWeights[4] = {};
  return on_hopper() && index_scores_fp8_takes({.batch = {}, .layout = layout, .heads = heads, .queries_fp8 = kQueries, .weights_fp8 = kWeights});
}

void score_positions(const IndexScoresArgs& args, CudaStream stream) {
  if (on_hopper() && index_scores_fp8_takes(args)) return index_scores_fp8(args, stream);
  index_scores(args, stream);
}

void choose_positions(const TopPositionsArgs& args, CudaStream stream) {
  if (top_positions_cluster_takes(args)) return top_positions_cluster(args, stream);
  top_positions(args, stream);
}

}  // namespace gauntlet::kernels
