#include "inference/cuda/model_limits.h"

#include <fmt/format.h>

#include "core/error.h"
#include "inference/cuda/draw.h"
#include "inference/cuda/index_scores.h"
#include "inference/cuda/sparse_attention.h"

namespace gauntlet {
namespace {

constexpr int kMostBlocks = 65'535;          ///< of a grid in its second and third dimension
constexpr int kMostExpertSide = 1 << 20;     ///< grouped_product.cu

void within(const char* what, std::int64_t found, std::int64_t least, std::int64_t most) {
  if (found < least || found > most) fail(ErrorKind::Usage, fmt::format("CUDA: {}: found {}; accepted: {} to {}", what, found, least, most));
}

}  // namespace

void check_cuda_model(const ModelConfig& config, CacheFormat cache, kernels::ActivationTerms terms, const CudaLimits& limits, const std::string& name) {
  require(limits.major >= 8, ErrorKind::Usage, fmt::format("the CUDA backend needs compute capability 8.0 or later; {} has {}.{}", name, limits.major, limits.minor));
  const kernels::CacheLayout layout = kernels::cache_layout(config, cache);
  within("vocab_size", config.vocab, 1, kernels::kMostDrawVocab);
  within("kv_lora_rank", config.kv_rank, 1, 1024);
  within("num_attention_heads", config.heads, 1, kMostBlocks);
  if (config.has_indexer()) {
    within("index_head_dim", config.index_dim, 1, 256);
    within("index_n_heads", config.index_heads, 1, kMostBlocks);
  }
  if (config.experts > 0) {
    within("hidden_size", config.dim, 1, kMostExpertSide);
    within("moe_intermediate_size", config.expert_width, 1, kMostExpertSide);
    within("n_routed_experts", config.experts, 1, 512);
    within("n_group", config.groups, 1, 64);
  }
  require(cache == CacheFormat::Bf16 || (config.index_dim & (config.index_dim - 1)) == 0, ErrorKind::Usage,
          fmt::format("CUDA: the FP8 cache rotates indexer keys by a Hadamard matrix, so index_head_dim must be a power of two; found {}; the bf16 cache takes any", config.index_dim));
  const auto fits = [&](const char* what, int bytes) {
    if (bytes > limits.shared_bytes) fail(ErrorKind::Usage, fmt::format("CUDA: {} needs {} bytes of shared memory for this model; {} has {}", what, bytes, name, limits.shared_bytes));
  };
  fits("attention", kernels::sparse_attention_shared_bytes(layout, terms));
  if (config.has_indexer()) fits("the indexer", kernels::index_scores_shared_bytes(layout, config.index_heads));
}

}  // namespace gauntlet
