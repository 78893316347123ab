#pragma once

// What a checkpoint's config.json says, in one form. Accepted are DeepSeek's own field names and those of transformers 5
// (`rope_parameters`). A setting that would change the function and is not implemented is refused, never ignored.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"

namespace gauntlet {

enum class Architecture { DeepseekV3, DeepseekV32 };

std::string_view architecture_name(Architecture architecture);

/// YaRN (Peng et al. 2023) as DeepSeek uses it.
struct YarnScaling {
  double factor = 1.0;
  std::int64_t original_positions = 4096;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double mscale = 1.0;
  double mscale_all_dim = 0.0;
};

/// Sizes are in elements. See docs/model.md for the glossary.
struct ModelConfig {
  Architecture architecture = Architecture::DeepseekV32;
  int vocab = 0;
  int dim = 0;                  ///< width of the residual stream
  int layers = 0;
  int dense_layers = 0;         ///< the first so many have a plain MLP
  int mtp_layers = 0;           ///< multi-token-prediction layers after the last; read but not run
  int heads = 0;
  int q_rank = 0;               ///< 0: queries come straight from q_proj
  int kv_rank = 0;              ///< the latent that is cached
  int nope_dim = 0;             ///< of a query or key head, the part without position
  int rope_dim = 0;             ///< of a query or key head, the rotary part (and of an indexer head)
  int v_dim = 0;
  int dense_width = 0;
  int expert_width = 0;
  int experts = 0;
  int shared_experts = 0;
  int experts_per_token = 0;
  int groups = 1;               ///< of experts
  int groups_kept = 1;
  double routed_scale = 1.0;
  bool normalise_gates = true;
  int index_heads = 0;          ///< 0: no indexer, dense attention
  int index_dim = 0;
  int index_topk = 0;
  double norm_eps = 1e-6;       ///< of the layer norms; the norms of the two latents always use 1e-6
  double rope_theta = 10000.0;
  std::optional<YarnScaling> yarn;
  std::int64_t max_positions = 0;
  bool fp8_weights = false;     ///< quantization_config: e4m3 in blocks of 128 × 128
  bool power_of_two_scales = false;  ///< its scale_fmt is ue8m0
  bool tied_embeddings = false;
  std::int64_t bos = -1;
  std::vector<std::int64_t> eos;

  bool has_indexer() const { return index_heads > 0; }
  int qk_dim() const { return nope_dim + rope_dim; }
  /// Cached for each token and layer: latent and rotary key.
  int cache_dim() const { return kv_rank + rope_dim; }
  /// (nope + rope)^-1/2, times mscale² where YaRN asks for it.
  double softmax_scale() const;
};

/// How one position's cache is stored, all layers together.
enum class CacheFormat {
  Bf16,  ///< latent, rotary key and indexer key in bf16
  Fp8,   ///< latent in e4m3 with a float32 scale for each 128, rotary key in bf16; indexer key in e4m3 with a scale for each 128
};

/// V3.2 in Fp8: 656 + 132 bytes a layer.
std::int64_t cache_bytes_per_token(const ModelConfig& config, CacheFormat format);

/// Throws Error(Input) naming `what`, the field, what was found and what is accepted.
ModelConfig parse_model_config(const Json& value, const std::string& what);
/// FOLDER/config.json
ModelConfig load_model_config(const std::string& folder);

}  // namespace gauntlet
