#include "inference/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "inference/mapped_file.h"

namespace gauntlet {
namespace {

constexpr int kMaxSize = 1 << 24;
constexpr int kMaxLayers = 4096;
constexpr std::size_t kMaxConfigBytes = 1 << 20;
constexpr int kFp8ScaleBlock = 128;

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

  /// A setting that is not implemented at all.
  void absent(std::string_view key) const {
    require(!has(key), ErrorKind::Input, fmt::format("{}: {}: found {:.80}; accepted: none", what_, key, has(key) ? dump_json(object_.at(std::string(key))) : ""));
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
  // YaRN divides by the logarithm of the base.
  config.rope_theta = fields.number_or("rope_theta", 10000.0, 2.0, 1e12);
  fields.only("rope_interleave", true);
  if (!fields.has(key)) return;
  const Fields rope(get_object(fields.object(), key, fields.what()), fields.what() + ": " + key);
  config.rope_theta = rope.number_or("rope_theta", config.rope_theta, 2.0, 1e12);
  rope.only("partial_rotary_factor", 1.0);
  const std::string type = string_or(rope.object(), "rope_type", string_or(rope.object(), "type", "default", rope.what()), rope.what());
  if (type == "default") return;
  require(type == "yarn", ErrorKind::Input, fmt::format("{}: found the type \"{:.80}\"; accepted: default, yarn", rope.what(), type));
  rope.absent("attention_factor");
  rope.only("truncate", true);
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

/// A list with one word for each layer; empty if the field is absent.
std::vector<std::string> layer_words(const Fields& fields, const ModelConfig& config, std::string_view key, std::string_view accepted) {
  std::vector<std::string> out;
  if (!fields.has(key)) return out;
  for (const auto& item : get_array(fields.object(), key, fields.what())) {
    require(item.is_string(), ErrorKind::Input, fmt::format("{}: {}: found {:.60}; accepted: {}", fields.what(), key, dump_json(item), accepted));
    out.push_back(item.get<std::string>());
  }
  require(out.size() == static_cast<std::size_t>(config.layers), ErrorKind::Input,
          fmt::format("{}: {}: found {} entries; accepted: {}, one for each of num_hidden_layers", fields.what(), key, out.size(), config.layers));
  return out;
}

/// DeepSeek counts the dense layers, transformers 5 may list each layer's type.
int read_dense_layers(const Fields& fields, const ModelConfig& config) {
  const int counted = std::min(fields.size_or("first_k_dense_replace", 0, 0, kMaxLayers), config.layers);
  const auto types = layer_words(fields, config, "mlp_layer_types", "dense, sparse");
  if (types.empty()) return counted;
  const int listed = static_cast<int>(std::count(types.begin(), types.end(), "dense"));
  for (int i = 0; i < config.layers; ++i) {
    const std::string& type = types[static_cast<std::size_t>(i)];
    require(type == (i < listed ? "dense" : "sparse"), ErrorKind::Input, fmt::format("{}: mlp_layer_types: found \"{:.60}\" for layer {}; accepted: first all dense ones, then all sparse ones", fields.what(), type, i));
  }
  require(!fields.has("first_k_dense_replace") || counted == listed, ErrorKind::Input,
          fmt::format("{}: mlp_layer_types: found {} dense layers, first_k_dense_replace says {}", fields.what(), listed, counted));
  return listed;
}

void read_experts(const Fields& fields, ModelConfig& config) {
  config.dense_layers = read_dense_layers(fields, config);
  if (config.dense_layers == config.layers) return;
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
  for (const auto& type : layer_words(fields, config, "indexer_types", "full")) {
    require(type == "full", ErrorKind::Input, fmt::format("{}: indexer_types: found \"{:.60}\"; accepted: full", fields.what(), type));
  }
}

void read_quantization(const Fields& fields, ModelConfig& config) {
  if (!fields.has("quantization_config")) return;
  const Fields quantization(get_object(fields.object(), "quantization_config", fields.what()), fields.what() + ": quantization_config");
  const std::string method = get_string(quantization.object(), "quant_method", quantization.what());
  require(method == "fp8", ErrorKind::Input, fmt::format("{}: quant_method: found \"{:.60}\"; accepted: fp8", quantization.what(), method));
  // modules_to_not_convert needs no reading: each tensor states its own type.
  refuse_unknown_members(quantization.object(), {"quant_method", "fmt", "activation_scheme", "weight_block_size", "scale_fmt", "modules_to_not_convert"}, quantization.what());
  quantization.only("fmt", "e4m3");
  quantization.only("activation_scheme", "dynamic");
  require(quantization.has("weight_block_size"), ErrorKind::Input, quantization.what() + ": weight_block_size: found none; accepted: [128,128]");
  quantization.only("weight_block_size", Json::array({kFp8ScaleBlock, kFp8ScaleBlock}));
  quantization.only("scale_fmt", "ue8m0");
  config.fp8_weights = true;
  config.power_of_two_scales = quantization.has("scale_fmt");
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

std::int64_t cache_bytes_per_token(const ModelConfig& config, CacheFormat format) {
  const auto scaled = [](std::int64_t size) { return size + 4 * ((size + kFp8ScaleBlock - 1) / kFp8ScaleBlock); };
  const std::int64_t indexer = config.has_indexer() ? config.index_dim : 0;
  const std::int64_t layer = format == CacheFormat::Bf16 ? 2 * (config.cache_dim() + indexer) : scaled(config.kv_rank) + 2 * config.rope_dim + scaled(indexer);
  return config.layers * layer;
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
  fields.only("num_key_value_heads", config.heads);
  fields.only("hidden_act", "silu");
  fields.only("attention_bias", false);
  read_rope(fields, config);
  read_experts(fields, config);
  read_indexer(fields, config);
  read_quantization(fields, config);
  read_tokens(fields, config);
  return config;
}

ModelConfig load_model_config(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  const MappedFile file(path);
  require(file.bytes().size() <= kMaxConfigBytes, ErrorKind::Input, fmt::format("{}: found {} bytes; accepted: at most {}", path, file.bytes().size(), kMaxConfigBytes));
  return parse_model_config(parse_json(file.text(), path), path);
}

}  // namespace gauntlet
