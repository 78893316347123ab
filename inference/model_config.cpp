#include "inference/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr int kMaxSize = 1 << 24;
constexpr int kMaxLayers = 4096;

class Fields {
 public:
  Fields(const Json& object, std::string what) : object_(object), what_(std::move(what)) {}

  bool has(std::string_view key) const { return object_.contains(key) && !object_.at(std::string(key)).is_null(); }

  int size(std::string_view key, int least, int most = kMaxSize) const {
    const std::int64_t value = get_integer(object_, key, what_);
    require(value >= least && value <= most, ErrorKind::Input, fmt::format("{}: {}: found {}; accepted: {} to {}", what_, key, value, least, most));
    return static_cast<int>(value);
  }
  int size_or(std::string_view key, int fallback, int least, int most = kMaxSize) const { return has(key) ? size(key, least, most) : fallback; }

  double number_or(std::string_view key, double fallback, double least, double most) const {
    if (!has(key)) return fallback;
    const double value = get_number(object_, key, what_);
    require(value >= least && value <= most, ErrorKind::Input, fmt::format("{}: {}: found {}; accepted: {} to {}", what_, key, value, least, most));
    return value;
  }
  bool boolean(std::string_view key, bool fallback) const { return has(key) ? boolean_or(object_, key, fallback, what_) : fallback; }

  /// A setting of which only one value is implemented.
  void only(std::string_view key, const Json& accepted) const {
    if (!has(key)) return;
    const Json& found = object_.at(std::string(key));
    require(found == accepted, ErrorKind::Input, fmt::format("{}: {}: found {:.80}; accepted: {}", what_, key, dump_json(found), dump_json(accepted)));
  }

  const Json& object() const { return object_; }
  const std::string& what() const { return what_; }

 private:
  const Json& object_;
  std::string what_;
};

Architecture read_architecture(const Fields& fields) {
  const std::string type = get_string(fields.object(), "model_type", fields.what());
  if (type == "deepseek_v32") return Architecture::DeepseekV32;
  if (type == "deepseek_v3") return Architecture::DeepseekV3;
  fail(ErrorKind::Input, fmt::format("{}: model_type: found \"{:.80}\"; accepted: deepseek_v32, deepseek_v3", fields.what(), type));
}

/// Both spellings of the rotary settings: `rope_theta` with `rope_scaling`, and `rope_parameters`.
void read_rope(const Fields& fields, ModelConfig& config) {
  const bool joint = fields.has("rope_parameters");
  const std::string key = joint ? "rope_parameters" : "rope_scaling";
  config.rope_theta = fields.number_or("rope_theta", 10000.0, 1.0, 1e12);
  if (!fields.has(key)) return;
  const Fields rope(get_object(fields.object(), key, fields.what()), fields.what() + ": " + key);
  config.rope_theta = rope.number_or("rope_theta", config.rope_theta, 1.0, 1e12);
  const std::string type = string_or(rope.object(), "rope_type", string_or(rope.object(), "type", "default", rope.what()), rope.what());
  if (type == "default") return;
  require(type == "yarn", ErrorKind::Input, fmt::format("{}: found the type \"{:.80}\"; accepted: default, yarn", rope.what(), type));
  YarnScaling yarn;
  yarn.factor = rope.number_or("factor", 1.0, 1.0, 1e6);
  yarn.original_positions = rope.size_or("original_max_position_embeddings", static_cast<int>(config.max_positions), 1, 1 << 30);
  yarn.beta_fast = rope.number_or("beta_fast", 32.0, 1e-6, 1e9);
  yarn.beta_slow = rope.number_or("beta_slow", 1.0, 1e-6, 1e9);
  // Without both, transformers scales cos and sin instead of the softmax; DeepSeek's checkpoints always have both.
  require(rope.has("mscale") && rope.has("mscale_all_dim"), ErrorKind::Input, rope.what() + ": found yarn without mscale and mscale_all_dim; both are needed");
  yarn.mscale = rope.number_or("mscale", 1.0, 0.0, 100.0);
  yarn.mscale_all_dim = rope.number_or("mscale_all_dim", 1.0, 0.0, 100.0);
  config.yarn = yarn;
}

void read_experts(const Fields& fields, ModelConfig& config) {
  config.dense_layers = fields.size_or("first_k_dense_replace", 0, 0, kMaxLayers);
  if (config.dense_layers >= config.layers) {
    config.dense_layers = config.layers;
    return;
  }
  config.expert_width = fields.size("moe_intermediate_size", 1);
  config.experts = fields.size("n_routed_experts", 1, 65536);
  config.shared_experts = fields.size_or("n_shared_experts", 0, 0, 1024);
  config.experts_per_token = fields.size("num_experts_per_tok", 1, config.experts);
  config.groups = fields.size_or("n_group", 1, 1, config.experts);
  config.groups_kept = fields.size_or("topk_group", 1, 1, config.groups);
  config.routed_scale = fields.number_or("routed_scaling_factor", 1.0, -1e6, 1e6);
  config.normalise_gates = fields.boolean("norm_topk_prob", true);
  require(config.experts % config.groups == 0, ErrorKind::Input, fmt::format("{}: n_group: found {}; accepted: a divisor of n_routed_experts ({})", fields.what(), config.groups, config.experts));
  const int group_size = config.experts / config.groups;
  require(config.groups == 1 || group_size >= 2, ErrorKind::Input, fmt::format("{}: n_group: groups of {} expert(s) have no two best to add up", fields.what(), group_size));
  require(config.experts_per_token <= config.groups_kept * group_size, ErrorKind::Input,
          fmt::format("{}: num_experts_per_tok: found {}; the {} kept groups hold {} experts", fields.what(), config.experts_per_token, config.groups_kept, config.groups_kept * group_size));
  fields.only("moe_layer_freq", 1);
  fields.only("scoring_func", "sigmoid");
  fields.only("topk_method", "noaux_tc");
}

void read_indexer(const Fields& fields, ModelConfig& config) {
  if (config.architecture != Architecture::DeepseekV32) return;
  config.index_heads = fields.size("index_n_heads", 1, 65536);
  config.index_dim = fields.size("index_head_dim", 1, 65536);
  config.index_topk = fields.size("index_topk", 1, 1 << 20);
  require(config.index_dim >= config.rope_dim, ErrorKind::Input, fmt::format("{}: index_head_dim: found {}; accepted: qk_rope_head_dim ({}) or more", fields.what(), config.index_dim, config.rope_dim));
  fields.only("indexer_rope_interleave", false);
}

void read_tokens(const Fields& fields, ModelConfig& config) {
  const auto id = [&](const Json& value, std::string_view key) {
    require(value.is_number_integer() && value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() < config.vocab, ErrorKind::Input,
            fmt::format("{}: {}: found {:.60}; accepted: ids from 0 to {}", fields.what(), key, dump_json(value), config.vocab - 1));
    return value.get<std::int64_t>();
  };
  if (fields.has("bos_token_id")) config.bos = id(fields.object().at("bos_token_id"), "bos_token_id");
  if (!fields.has("eos_token_id")) return;
  const Json& eos = fields.object().at("eos_token_id");
  if (!eos.is_array()) {
    config.eos.push_back(id(eos, "eos_token_id"));
    return;
  }
  for (const auto& item : eos) config.eos.push_back(id(item, "eos_token_id"));
}

}  // namespace

std::string_view architecture_name(Architecture architecture) { return architecture == Architecture::DeepseekV32 ? "deepseek_v32" : "deepseek_v3"; }

double ModelConfig::softmax_scale() const {
  const double scale = 1.0 / std::sqrt(static_cast<double>(qk_dim()));
  if (!yarn || yarn->factor <= 1.0 || yarn->mscale_all_dim == 0.0) return scale;
  const double m = 0.1 * yarn->mscale_all_dim * std::log(yarn->factor) + 1.0;
  return scale * m * m;
}

ModelConfig parse_model_config(const Json& value, const std::string& what) {
  require(value.is_object(), ErrorKind::Input, what + ": expected a JSON object");
  const Fields fields(value, what);
  ModelConfig config;
  config.architecture = read_architecture(fields);
  config.vocab = fields.size("vocab_size", 1);
  config.dim = fields.size("hidden_size", 1);
  config.layers = fields.size("num_hidden_layers", 1, kMaxLayers);
  config.mtp_layers = fields.size_or("num_nextn_predict_layers", 0, 0, 64);
  config.heads = fields.size("num_attention_heads", 1, 65536);
  config.q_rank = fields.size_or("q_lora_rank", 0, 1);
  config.kv_rank = fields.size("kv_lora_rank", 1);
  config.nope_dim = fields.size("qk_nope_head_dim", 1, 65536);
  config.rope_dim = fields.size("qk_rope_head_dim", 2, 65536);
  config.v_dim = fields.size("v_head_dim", 1, 65536);
  config.dense_width = fields.size("intermediate_size", 1);
  config.max_positions = fields.size("max_position_embeddings", 1, 1 << 30);
  config.norm_eps = fields.number_or("rms_norm_eps", 1e-6, 0.0, 1.0);
  config.tied_embeddings = fields.boolean("tie_word_embeddings", false);
  require(config.rope_dim % 2 == 0, ErrorKind::Input, fmt::format("{}: qk_rope_head_dim: found {}; accepted: even numbers", what, config.rope_dim));
  require(config.q_rank > 0 || config.architecture == Architecture::DeepseekV3, ErrorKind::Input, what + ": q_lora_rank: found none; deepseek_v32's indexer reads the query latent");
  fields.only("hidden_act", "silu");
  fields.only("attention_bias", false);
  read_rope(fields, config);
  read_experts(fields, config);
  read_indexer(fields, config);
  read_tokens(fields, config);
  return config;
}

ModelConfig load_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  return parse_model_config(read_json_file(path), path);
}

}  // namespace gauntlet
