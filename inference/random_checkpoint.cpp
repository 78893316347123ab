#include "inference/random_checkpoint.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "core/error.h"
#include "core/rng.h"
#include "inference/float_types.h"
#include "inference/model_config.h"
#include "inference/safetensors.h"

namespace gauntlet {
namespace {

/// What all sizes share.
Json base_config() {
  return {{"model_type", "deepseek_v32"}, {"architectures", {"DeepseekV32ForCausalLM"}}, {"n_shared_experts", 1}, {"num_experts_per_tok", 2}, {"norm_topk_prob", true},
          {"hidden_act", "silu"}, {"rms_norm_eps", 1e-6}, {"rope_theta", 10000.0}, {"attention_bias", false}, {"scoring_func", "sigmoid"}, {"topk_method", "noaux_tc"},
          {"moe_layer_freq", 1}, {"bos_token_id", 0}, {"eos_token_id", 1}, {"torch_dtype", "bfloat16"}};
}

/// 28 M parameters: 28 MB in 8 bits.
Json small_config() {
  return {{"vocab_size", 8192}, {"hidden_size", 384}, {"intermediate_size", 1024}, {"moe_intermediate_size", 256}, {"num_hidden_layers", 8}, {"num_attention_heads", 6},
          {"num_key_value_heads", 6}, {"n_routed_experts", 8}, {"routed_scaling_factor", 1.0}, {"kv_lora_rank", 128}, {"q_lora_rank", 192}, {"qk_rope_head_dim", 32},
          {"qk_nope_head_dim", 32}, {"v_head_dim", 64}, {"n_group", 1}, {"topk_group", 1}, {"max_position_embeddings", 8192}, {"tie_word_embeddings", true},
          {"index_topk", 512}, {"index_head_dim", 64}, {"index_n_heads", 8}, {"first_k_dense_replace", 1}};
}

/// One layer of DeepSeek-V3.2 as it is, but for the number of experts and the vocabulary.
Json layer_config() {
  return {{"vocab_size", 8192}, {"hidden_size", 7168}, {"intermediate_size", 18432}, {"moe_intermediate_size", 2048}, {"num_hidden_layers", 1}, {"num_attention_heads", 128},
          {"num_key_value_heads", 128}, {"n_routed_experts", 8}, {"routed_scaling_factor", 2.5}, {"kv_lora_rank", 512}, {"q_lora_rank", 1536}, {"qk_rope_head_dim", 64},
          {"qk_nope_head_dim", 128}, {"v_head_dim", 128}, {"n_group", 4}, {"topk_group", 2}, {"max_position_embeddings", 163840}, {"tie_word_embeddings", true},
          {"index_topk", 2048}, {"index_head_dim", 128}, {"index_n_heads", 64}, {"first_k_dense_replace", 0},
          {"rope_scaling", {{"type", "yarn"}, {"factor", 40.0}, {"original_max_position_embeddings", 4096}, {"beta_fast", 32}, {"beta_slow", 1}, {"mscale", 1.0}, {"mscale_all_dim", 1.0}}}};
}

/// DeepSeek-V3.2's attention with half of its heads, and narrow layers around it: what its kernels need, in a file of tens of megabytes.
Json attention_config() {
  Json out = layer_config();
  out.update({{"vocab_size", 512}, {"hidden_size", 256}, {"intermediate_size", 384}, {"moe_intermediate_size", 128}, {"num_hidden_layers", 2}, {"num_attention_heads", 64},
              {"num_key_value_heads", 64}, {"q_lora_rank", 256}, {"index_topk", 128}, {"first_k_dense_replace", 1}});
  return out;
}

/// The same with the heads that each of four devices has when 64 are shared out.
Json shard_config() {
  Json out = attention_config();
  out.update({{"num_attention_heads", 16}, {"num_key_value_heads", 16}});
  return out;
}

Json tiny_config() {
  return {{"vocab_size", 512}, {"hidden_size", 64}, {"intermediate_size", 128}, {"moe_intermediate_size", 64}, {"num_hidden_layers", 2}, {"num_attention_heads", 2},
          {"num_key_value_heads", 2}, {"n_routed_experts", 4}, {"routed_scaling_factor", 1.0}, {"kv_lora_rank", 64}, {"q_lora_rank", 64}, {"qk_rope_head_dim", 16},
          {"qk_nope_head_dim", 16}, {"v_head_dim", 32}, {"n_group", 1}, {"topk_group", 1}, {"max_position_embeddings", 2048}, {"tie_word_embeddings", false},
          {"index_topk", 64}, {"index_head_dim", 32}, {"index_n_heads", 4}, {"first_k_dense_replace", 1}};
}

/// Fills a folder's worth of tensors, each from a random stream of its own name.
class Filler {
 public:
  Filler(const ModelConfig& config, std::uint64_t seed) : config_(config), rng_(seed) {}

  void all() {
    matrix("model.embed_tokens.weight", config_.vocab, config_.dim, 1.0);
    for (int i = 0; i < config_.layers; ++i) layer(fmt::format("model.layers.{}.", i), i < config_.dense_layers);
    norm("model.norm.weight", config_.dim);
    if (!config_.tied_embeddings) matrix("lm_head.weight", config_.vocab, config_.dim, 2.0 / std::sqrt(config_.dim));
  }
  std::map<std::string, Tensor> tensors() const {
    std::map<std::string, Tensor> out;
    for (const auto& [name, box] : boxes_) out[name] = {.dtype = box.dtype, .shape = box.shape, .data = box.bytes};
    return out;
  }
  std::int64_t parameters() const { return parameters_; }

 private:
  struct Box {
    DType dtype = DType::BF16;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };

  Box& box(const std::string& name, DType dtype, std::vector<std::int64_t> shape) {
    Box& out = boxes_[name];
    out = {.dtype = dtype, .shape = std::move(shape), .bytes = {}};
    std::size_t elements = 1;
    for (const auto size : out.shape) elements *= static_cast<std::size_t>(size);
    parameters_ += static_cast<std::int64_t>(elements);
    out.bytes.resize(elements * dtype_bytes(dtype));
    return out;
  }

  /// Uniform around `mean`; four values from each draw, so that gigabytes take seconds.
  void fill(const std::string& name, std::vector<std::int64_t> shape, double mean, double deviation) {
    Box& out = box(name, DType::BF16, std::move(shape));
    Rng rng = rng_.split(name);
    const auto step = static_cast<float>(deviation * std::sqrt(3.0) / 32768.0), offset = static_cast<float>(mean);
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < out.bytes.size() / 2; ++i) {
      bits = i % 4 == 0 ? rng.next() : bits >> 16;
      const Bf16 value = to_bf16(offset + (static_cast<float>(bits & 0xffffU) - 32767.5f) * step);
      std::memcpy(out.bytes.data() + 2 * i, &value.bits, 2);
    }
  }
  void matrix(const std::string& name, std::int64_t rows, std::int64_t cols, double deviation) { fill(name, {rows, cols}, 0.0, deviation); }
  /// Keeps the variance of its input.
  void linear(const std::string& name, std::int64_t rows, std::int64_t cols, double gain = 1.0) { matrix(name, rows, cols, gain / std::sqrt(static_cast<double>(cols))); }
  void norm(const std::string& name, std::int64_t size) { fill(name, {size}, 1.0, 0.1); }

  void mlp(const std::string& prefix, std::int64_t width) {
    linear(prefix + "gate_proj.weight", width, config_.dim);
    linear(prefix + "up_proj.weight", width, config_.dim);
    linear(prefix + "down_proj.weight", config_.dim, width, residual());
  }

  void layer(const std::string& prefix, bool dense) {
    const ModelConfig& c = config_;
    const std::string a = prefix + "self_attn.", m = prefix + "mlp.";
    norm(prefix + "input_layernorm.weight", c.dim);
    norm(prefix + "post_attention_layernorm.weight", c.dim);
    linear(a + "q_a_proj.weight", c.q_rank, c.dim);
    norm(a + "q_a_layernorm.weight", c.q_rank);
    linear(a + "q_b_proj.weight", std::int64_t{c.heads} * c.qk_dim(), c.q_rank);
    linear(a + "kv_a_proj_with_mqa.weight", c.cache_dim(), c.dim);
    norm(a + "kv_a_layernorm.weight", c.kv_rank);
    linear(a + "kv_b_proj.weight", std::int64_t{c.heads} * (c.nope_dim + c.v_dim), c.kv_rank);
    linear(a + "o_proj.weight", c.dim, std::int64_t{c.heads} * c.v_dim, residual());
    linear(a + "indexer.wq_b.weight", std::int64_t{c.index_heads} * c.index_dim, c.q_rank);
    linear(a + "indexer.wk.weight", c.index_dim, c.dim);
    norm(a + "indexer.k_norm.weight", c.index_dim);
    fill(a + "indexer.k_norm.bias", {c.index_dim}, 0.0, 0.1);
    linear(a + "indexer.weights_proj.weight", c.index_heads, c.dim);
    if (dense) return mlp(m, c.dense_width);
    linear(m + "gate.weight", c.experts, c.dim);
    box(m + "gate.e_score_correction_bias", DType::F32, {c.experts});
    for (int e = 0; e < c.experts; ++e) mlp(fmt::format("{}experts.{}.", m, e), c.expert_width);
    mlp(m + "shared_experts.", std::int64_t{c.expert_width} * c.shared_experts);
  }

  /// Each layer adds two parts to the stream.
  double residual() const { return 1.0 / std::sqrt(2.0 * config_.layers); }

  const ModelConfig& config_;
  Rng rng_;
  std::map<std::string, Box> boxes_;
  std::int64_t parameters_ = 0;
};

}  // namespace

const std::vector<RandomSize>& random_sizes() {
  static const std::vector<RandomSize> sizes = {{"small", "8 layers of width 384, 28 M parameters"},
                                                {"layer", "one layer with DeepSeek-V3.2's dimensions, 8 experts, 0.66 B parameters"},
                                                {"attention", "2 layers of width 256 with DeepSeek-V3.2's attention for 64 heads, 33 M parameters"},
                                                {"shard", "the same with 16 heads, 15 M parameters"},
                                                {"tiny", "2 layers of width 64, for tests"}};
  return sizes;
}

Json random_config(std::string_view size) {
  Json out = base_config();
  if (size == "small") {
    out.update(small_config());
  } else if (size == "layer") {
    out.update(layer_config());
  } else if (size == "attention") {
    out.update(attention_config());
  } else if (size == "shard") {
    out.update(shard_config());
  } else if (size == "tiny") {
    out.update(tiny_config());
  } else {
    fail(ErrorKind::Usage, fmt::format("--size: found \"{:.60}\"; accepted: small, layer, attention, shard, tiny", size));
  }
  return out;
}

std::int64_t write_random_checkpoint(std::string_view size, std::uint64_t seed, const std::string& folder) {
  const Json json = random_config(size);
  const ModelConfig config = parse_model_config(json, fmt::format("the size {}", size));
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  require(!error, ErrorKind::Infrastructure, fmt::format("could not make the folder {}: {}", folder, error.message()));
  Filler filler(config, seed);
  filler.all();
  write_safetensors((std::filesystem::path(folder) / "model.safetensors").string(), filler.tensors());
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << json.dump(1) << "\n";
  file.close();
  require(static_cast<bool>(file), ErrorKind::Infrastructure, fmt::format("could not write {}: {}", path, std::strerror(errno)));
  return filler.parameters();
}

}  // namespace gauntlet
