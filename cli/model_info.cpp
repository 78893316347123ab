#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/model_command.h"
#include "inference/cuda/make_cuda_backend.h"
#include "inference/weights.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kContexts[] = {2048, 8192, 32768, 131072};

/// Parameters that one token's forward pass reads: of the embedding one row, of the routed experts the chosen ones.
std::int64_t active_parameters(const ModelWeights& weights) {
  const ModelConfig& c = weights.config;
  const std::int64_t expert = std::int64_t{3} * c.expert_width * c.dim;
  const std::int64_t idle = std::int64_t{c.layers - c.dense_layers} * (c.experts - c.experts_per_token) * expert;
  const std::int64_t rows = c.tied_embeddings ? 0 : (std::int64_t{c.vocab} - 1) * c.dim;
  return static_cast<std::int64_t>(weights.parameters) - idle - rows;
}

Json cache_table(const ModelConfig& config) {
  std::set<std::int64_t> contexts = {config.max_positions};
  for (const auto length : kContexts) {
    if (length < config.max_positions) contexts.insert(length);
  }
  Json table = Json::array();
  for (const auto length : contexts) {
    table.push_back({{"context", length}, {"bf16", length * cache_bytes_per_token(config, CacheFormat::Bf16)}, {"fp8", length * cache_bytes_per_token(config, CacheFormat::Fp8)}});
  }
  return table;
}

/// Every device of this machine and program, with what the weights take there.
Json runs_on(const ModelWeights& weights) {
  Json out = Json::array({{{"device", "cpu"}, {"dtype", "f32"}, {"weight_bytes", 4 * weights.parameters}}});
  if (const auto device = find_cuda_device()) {
    for (const char* dtype : {"bf16", "fp8"}) out.push_back({{"device", "cuda"}, {"name", device->name}, {"dtype", dtype}, {"weight_bytes", 2 * weights.parameters}, {"free_bytes", device->free_bytes}});
  }
  return out;
}

}  // namespace

Json describe_model(const std::string& folder) {
  const ModelConfig c = load_model_config(folder);
  const Checkpoint checkpoint(folder);
  const ModelWeights weights = bind_weights(c, checkpoint);
  return {
      {"path", folder},
      {"architecture", architecture_name(c.architecture)},
      {"vocab", c.vocab},
      {"dim", c.dim},
      {"layers", c.layers},
      {"dense_layers", c.dense_layers},
      {"heads", c.heads},
      {"latent_dim", c.kv_rank},
      {"rope_dim", c.rope_dim},
      {"experts", c.experts},
      {"experts_per_token", c.experts_per_token},
      {"shared_experts", c.shared_experts},
      {"index_heads", c.index_heads},
      {"index_dim", c.index_dim},
      {"index_topk", c.index_topk},
      {"max_positions", c.max_positions},
      {"tied_embeddings", c.tied_embeddings},
      {"fp8_weights", weights.fp8},
      {"parameters", weights.parameters},
      {"active_parameters", active_parameters(weights)},
      {"bytes_on_disk", checkpoint.file_bytes()},
      {"mtp", {{"layers", weights.mtp_layers}, {"parameters", weights.mtp_parameters}}},
      {"cache_bytes_per_token", {{"bf16", cache_bytes_per_token(c, CacheFormat::Bf16)}, {"fp8", cache_bytes_per_token(c, CacheFormat::Fp8)}}},
      {"cache", cache_table(c)},
      {"unused_tensors", weights.unused},
      {"runs_on", runs_on(weights)},
  };
}

}  // namespace gauntlet
