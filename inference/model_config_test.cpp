#include "inference/model_config.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cmath>

#include "core/error.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

/// config.json of deepseek-ai/DeepSeek-V3.2.
constexpr std::string_view kV32 = R"({
  "architectures": ["DeepseekV32ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1,
  "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168, "index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048,
  "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type": "deepseek_v32",
  "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
  "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
  "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
  "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt": "ue8m0", "weight_block_size": [128, 128]},
  "rms_norm_eps": 1e-06,
  "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
  "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
  "torch_dtype": "bfloat16", "transformers_version": "4.44.2", "use_cache": true, "v_head_dim": 128, "vocab_size": 129280})";

Json v32() { return parse_json(kV32, "the test"); }

std::string verdict(const Json& json) {
  return sample::error_of([&] { parse_model_config(json, "c"); });
}
/// V3.2's config with one member changed; null removes it.
std::string with(const std::string& key, const Json& value) {
  Json json = v32();
  json[key] = value;
  if (value.is_null()) json.erase(key);
  return verdict(json);
}
std::string with_part(const std::string& part, const std::string& key, const Json& value) {
  Json json = v32();
  json[part][key] = value;
  if (value.is_null()) json[part].erase(key);
  return verdict(json);
}

TEST_CASE("the published config of DeepSeek-V3.2 is read in full") {
  const ModelConfig c = parse_model_config(v32(), "c");
  CHECK(c.architecture == Architecture::DeepseekV32);
  CHECK(architecture_name(c.architecture) == "deepseek_v32");
  CHECK(c.vocab == 129280);
  CHECK(c.dim == 7168);
  CHECK(c.layers == 61);
  CHECK(c.dense_layers == 3);
  CHECK(c.mtp_layers == 1);
  CHECK(c.heads == 128);
  CHECK(c.q_rank == 1536);
  CHECK(c.kv_rank == 512);
  CHECK(c.nope_dim == 128);
  CHECK(c.rope_dim == 64);
  CHECK(c.v_dim == 128);
  CHECK(c.qk_dim() == 192);
  CHECK(c.cache_dim() == 576);
  CHECK(c.dense_width == 18432);
  CHECK(c.expert_width == 2048);
  CHECK(c.experts == 256);
  CHECK(c.shared_experts == 1);
  CHECK(c.experts_per_token == 8);
  CHECK(c.groups == 8);
  CHECK(c.groups_kept == 4);
  CHECK(c.routed_scale == 2.5);
  CHECK(c.normalise_gates);
  CHECK(c.index_heads == 64);
  CHECK(c.index_dim == 128);
  CHECK(c.index_topk == 2048);
  CHECK(c.norm_eps == 1e-6);
  CHECK(c.rope_theta == 10000.0);
  REQUIRE(c.yarn.has_value());
  CHECK(c.yarn->factor == 40.0);
  CHECK(c.yarn->original_positions == 4096);
  CHECK(c.yarn->beta_fast == 32.0);
  CHECK(c.yarn->beta_slow == 1.0);
  CHECK(c.yarn->mscale == 1.0);
  CHECK(c.yarn->mscale_all_dim == 1.0);
  CHECK(c.max_positions == 163840);
  CHECK_FALSE(c.tied_embeddings);
  CHECK(c.bos == 0);
  CHECK(c.eos == std::vector<std::int64_t>{1});
  CHECK(c.fp8_weights);
  CHECK(c.power_of_two_scales);
}

TEST_CASE("the cache of V3.2 takes 656 + 132 bytes a layer in FP8") {
  ModelConfig c = parse_model_config(v32(), "c");
  CHECK(cache_bytes_per_token(c, CacheFormat::Fp8) == 61 * (656 + 132));
  CHECK(cache_bytes_per_token(c, CacheFormat::Bf16) == 61 * (1152 + 256));
  c.index_heads = c.index_dim = 0;
  CHECK(cache_bytes_per_token(c, CacheFormat::Fp8) == 61 * 656);
  CHECK(cache_bytes_per_token(c, CacheFormat::Bf16) == 61 * 1152);
  c.kv_rank = 130;  // two scales, the second for two values
  CHECK(cache_bytes_per_token(c, CacheFormat::Fp8) == 61 * (130 + 8 + 128));
}

TEST_CASE("the names of transformers 5 mean the same") {
  Json json = v32();
  json.erase("rope_scaling");
  json.erase("rope_theta");
  json.erase("first_k_dense_replace");
  json["rope_interleave"] = true;
  json["rope_parameters"] = parse_json(R"({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0,
    "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "attention_factor": null, "truncate": true, "partial_rotary_factor": 1.0})", "the test");
  json["mlp_layer_types"] = Json::array();
  json["indexer_types"] = Json::array();
  for (int i = 0; i < 61; ++i) {
    json["mlp_layer_types"].push_back(i < 3 ? "dense" : "sparse");
    json["indexer_types"].push_back("full");
  }
  const ModelConfig theirs = parse_model_config(json, "c"), ours = parse_model_config(v32(), "c");
  CHECK(theirs.dense_layers == 3);
  CHECK(theirs.rope_theta == ours.rope_theta);
  REQUIRE(theirs.yarn.has_value());
  CHECK(theirs.yarn->factor == 40.0);
  CHECK(theirs.softmax_scale() == ours.softmax_scale());

  Json plain = v32();
  plain.erase("rope_scaling");
  plain["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 5000.0}};
  CHECK(parse_model_config(plain, "c").rope_theta == 5000.0);
  CHECK_FALSE(parse_model_config(plain, "c").yarn.has_value());

  json["first_k_dense_replace"] = 4;
  CHECK(verdict(json) == "c: mlp_layer_types: found 3 dense layers, first_k_dense_replace says 4");
  json.erase("first_k_dense_replace");
  json["indexer_types"][7] = "shared";
  CHECK(verdict(json) == "c: indexer_types: found \"shared\"; accepted: full");
  json.erase("indexer_types");
  json["mlp_layer_types"][1] = "sparse";
  CHECK(verdict(json) == "c: mlp_layer_types: found \"sparse\" for layer 1; accepted: first all dense ones, then all sparse ones");
  json["mlp_layer_types"] = {"dense"};
  CHECK(verdict(json) == "c: mlp_layer_types: found 1 entries; accepted: 61, one for each of num_hidden_layers");
}

TEST_CASE("deepseek_v3 has no indexer, may have no query latent, and absent settings take their defaults") {
  const Json json = parse_json(R"({"model_type": "deepseek_v3", "vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": null,
    "kv_lora_rank": 4, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 4, "intermediate_size": 6, "max_position_embeddings": 32,
    "first_k_dense_replace": 9, "index_topk": 16, "rope_scaling": null, "eos_token_id": [1, 9]})", "the test");
  const ModelConfig c = parse_model_config(json, "c");
  CHECK(c.architecture == Architecture::DeepseekV3);
  CHECK_FALSE(c.has_indexer());
  CHECK(c.q_rank == 0);
  CHECK(c.dense_layers == 2);
  CHECK(c.experts == 0);
  CHECK(c.mtp_layers == 0);
  CHECK(c.rope_theta == 10000.0);
  CHECK(c.norm_eps == 1e-6);
  CHECK_FALSE(c.yarn.has_value());
  CHECK_FALSE(c.fp8_weights);
  CHECK(c.bos == -1);
  CHECK(c.eos == std::vector<std::int64_t>{1, 9});
}

TEST_CASE("another architecture and missing or absurd sizes are refused by name") {
  CHECK(verdict(Json::array()) == "c: expected a JSON object");
  CHECK(with("model_type", "llama") == "c: model_type: found \"llama\"; accepted: deepseek_v32, deepseek_v3");
  CHECK(with("model_type", nullptr).find("model_type") != std::string::npos);
  for (const std::string key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "intermediate_size",
                                "max_position_embeddings", "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok", "index_n_heads", "index_head_dim", "index_topk"}) {
    CAPTURE(key);
    for (const Json& wrong : {Json(nullptr), Json(0), Json(-1), Json(1LL << 40), Json(UINT64_MAX), Json(7.5), Json("7"), Json(true), Json::array({7})}) {
      CAPTURE(wrong.dump());
      CHECK(with(key, wrong).find(key) != std::string::npos);
    }
  }
  CHECK(with("hidden_size", 0) == "c: hidden_size: found 0; accepted: 1 to 16777216");
  CHECK(with("num_hidden_layers", 5000) == "c: num_hidden_layers: found 5000; accepted: 1 to 4096");
  CHECK(with("q_lora_rank", nullptr) == "c: q_lora_rank: found none; deepseek_v32's indexer reads the query latent");
  CHECK(with("qk_rope_head_dim", 63) == "c: qk_rope_head_dim: found 63; accepted: even numbers");
  CHECK(with("index_head_dim", 32) == "c: index_head_dim: found 32; accepted: qk_rope_head_dim (64) or more");
  CHECK(with("rms_norm_eps", -1) == "c: rms_norm_eps: found -1; accepted: 0 to 1");
}

TEST_CASE("settings that change the function and are not implemented are refused by name") {
  CHECK(with("hidden_act", "gelu") == "c: hidden_act: found \"gelu\"; accepted: \"silu\"");
  CHECK(with("attention_bias", true) == "c: attention_bias: found true; accepted: false");
  CHECK(with("num_key_value_heads", 8) == "c: num_key_value_heads: found 8; accepted: 128");
  CHECK(with("scoring_func", "softmax") == "c: scoring_func: found \"softmax\"; accepted: \"sigmoid\"");
  CHECK(with("topk_method", "greedy") == "c: topk_method: found \"greedy\"; accepted: \"noaux_tc\"");
  CHECK(with("moe_layer_freq", 2) == "c: moe_layer_freq: found 2; accepted: 1");
  CHECK(with("rope_interleave", false) == "c: rope_interleave: found false; accepted: true");
  CHECK(with("indexer_rope_interleave", true) == "c: indexer_rope_interleave: found true; accepted: false");
  CHECK(with_part("rope_scaling", "type", "linear") == "c: rope_scaling: found the type \"linear\"; accepted: default, yarn");
  CHECK(with_part("rope_scaling", "mscale", nullptr) == "c: rope_scaling: found yarn without mscale and mscale_all_dim; both are needed");
  CHECK(with_part("rope_scaling", "attention_factor", 1.5) == "c: rope_scaling: attention_factor: found 1.5; accepted: none");
  CHECK(with_part("rope_scaling", "truncate", false) == "c: rope_scaling: truncate: found false; accepted: true");
  CHECK(with_part("rope_scaling", "factor", 0.5) == "c: rope_scaling: factor: found 0.5; accepted: 1 to 1000000");
  CHECK(with_part("rope_scaling", "original_max_position_embeddings", 0) == "c: rope_scaling: original_max_position_embeddings: found 0; accepted: 1 to 1073741824");
  CHECK(with("rope_theta", 1.0) == "c: rope_theta: found 1; accepted: 2 to 1000000000000");
  CHECK(with("rope_scaling", "yarn").find("rope_scaling") != std::string::npos);
}

TEST_CASE("expert groups that cannot be are refused") {
  CHECK(with("num_experts_per_tok", 257) == "c: num_experts_per_tok: found 257; accepted: 1 to 256");
  CHECK(with("n_group", 7) == "c: n_group: found 7; accepted: a divisor of n_routed_experts (256)");
  CHECK(with("n_group", 256) == "c: n_group: groups of 1 expert(s) have no two best to add up");
  CHECK(with("topk_group", 9) == "c: topk_group: found 9; accepted: 1 to 8");
  CHECK(with("num_experts_per_tok", 200) == "c: num_experts_per_tok: found 200; the 4 kept groups hold 128 experts");
}

TEST_CASE("token ids must lie in the vocabulary") {
  CHECK(with("eos_token_id", 129280) == "c: eos_token_id: found 129280; accepted: ids from 0 to 129279");
  CHECK(with("eos_token_id", Json::array({1, -1})) == "c: eos_token_id: found -1; accepted: ids from 0 to 129279");
  CHECK(with("bos_token_id", "0") == "c: bos_token_id: found \"0\"; accepted: ids from 0 to 129279");
  CHECK(with("bos_token_id", UINT64_MAX) == "c: bos_token_id: found 18446744073709551615; accepted: ids from 0 to 129279");
}

TEST_CASE("weights are quantised to e4m3 in blocks of 128 x 128, or the config is refused") {
  CHECK(with_part("quantization_config", "scale_fmt", nullptr) == "");
  CHECK(with_part("quantization_config", "fmt", nullptr) == "");
  CHECK(with_part("quantization_config", "modules_to_not_convert", Json::array({"lm_head"})) == "");
  Json json = v32();
  json["quantization_config"].erase("scale_fmt");
  CHECK(parse_model_config(json, "c").fp8_weights);
  CHECK_FALSE(parse_model_config(json, "c").power_of_two_scales);
  json.erase("quantization_config");
  CHECK_FALSE(parse_model_config(json, "c").fp8_weights);
  CHECK(with_part("quantization_config", "quant_method", "awq") == "c: quantization_config: quant_method: found \"awq\"; accepted: fp8");
  CHECK(with_part("quantization_config", "quant_method", nullptr).find("quant_method") != std::string::npos);
  CHECK(with_part("quantization_config", "fmt", "e5m2") == "c: quantization_config: fmt: found \"e5m2\"; accepted: \"e4m3\"");
  CHECK(with_part("quantization_config", "activation_scheme", "static") == "c: quantization_config: activation_scheme: found \"static\"; accepted: \"dynamic\"");
  CHECK(with_part("quantization_config", "weight_block_size", nullptr) == "c: quantization_config: weight_block_size: found none; accepted: [128,128]");
  CHECK(with_part("quantization_config", "weight_block_size", Json::array({1, 128})) == "c: quantization_config: weight_block_size: found [1,128]; accepted: [128,128]");
  CHECK(with_part("quantization_config", "scale_fmt", "float") == "c: quantization_config: scale_fmt: found \"float\"; accepted: \"ue8m0\"");
  CHECK(with_part("quantization_config", "bits", 4).find("c: quantization_config/bits: unknown member") == 0);
  CHECK(with("quantization_config", "fp8").find("quantization_config") != std::string::npos);
}

TEST_CASE("config.json itself may be missing, too large, a pipe or no JSON") {
  const sample::ScratchFolder folder;
  const auto load = [&] { return sample::error_of([&] { load_model_config(folder.path()); }, folder.path()); };
  CHECK(load() == "could not open DIR/config.json: No such file or directory");
  folder.write("config.json", std::string(kV32));
  CHECK(load() == "");
  folder.write("config.json", "{");
  CHECK(load().find("could not read DIR/config.json as JSON: byte ") == 0);
  folder.write("config.json", "");
  CHECK(load().find("could not read DIR/config.json as JSON: byte ") == 0);
  folder.write("config.json", std::string(2 << 20, ' '));
  CHECK(load() == "DIR/config.json: found 2097152 bytes; accepted: at most 1048576");
  std::filesystem::remove(folder.file("config.json"));
  REQUIRE(::mkfifo(folder.file("config.json").c_str(), 0600) == 0);
  CHECK(load() == "could not read DIR/config.json: found no regular file");
}

}  // namespace
}  // namespace gauntlet
