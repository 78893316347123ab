#include "inference/weights.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "inference/float_types.h"
#include "inference/golden_case.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::ScratchFolder;
using sample::TensorBox;

/// One dense and one expert layer; sizes all differ, so that a swapped shape shows.
ModelConfig small() {
  ModelConfig c;
  c.vocab = 11;
  c.dim = 10;
  c.layers = 2;
  c.dense_layers = 1;
  c.mtp_layers = 1;
  c.heads = 2;
  c.q_rank = 9;
  c.kv_rank = 7;
  c.nope_dim = 5;
  c.rope_dim = 4;
  c.v_dim = 3;
  c.dense_width = 13;
  c.expert_width = 6;
  c.experts = 4;
  c.shared_experts = 2;
  c.experts_per_token = 2;
  c.index_heads = 3;
  c.index_dim = 8;
  c.index_topk = 2;
  return c;
}

void put_mlp(TensorBox& box, const std::string& prefix, std::int64_t width) {
  box.put_floats(prefix + "gate_proj.weight", {width, 10});
  box.put_floats(prefix + "up_proj.weight", {width, 10});
  box.put_floats(prefix + "down_proj.weight", {10, width});
}

void put_attention(TensorBox& box, const std::string& layer) {
  box.put_floats(layer + "input_layernorm.weight", {10});
  box.put_floats(layer + "post_attention_layernorm.weight", {10});
  const std::string prefix = layer + "self_attn.";
  box.put_floats(prefix + "q_a_proj.weight", {9, 10});
  box.put_floats(prefix + "q_a_layernorm.weight", {9});
  box.put_floats(prefix + "q_b_proj.weight", {18, 9});
  box.put_floats(prefix + "kv_a_proj_with_mqa.weight", {11, 10});
  box.put_floats(prefix + "kv_a_layernorm.weight", {7});
  box.put_floats(prefix + "kv_b_proj.weight", {16, 7});
  box.put_floats(prefix + "o_proj.weight", {10, 6});
  box.put_floats(prefix + "indexer.wq_b.weight", {24, 9});
  box.put_floats(prefix + "indexer.wk.weight", {8, 10});
  box.put_floats(prefix + "indexer.k_norm.weight", {8});
  box.put_floats(prefix + "indexer.k_norm.bias", {8});
  box.put_floats(prefix + "indexer.weights_proj.weight", {3, 10});
}

TensorBox small_tensors() {
  TensorBox box;
  box.put_floats("model.embed_tokens.weight", {11, 10});
  box.put_floats("model.norm.weight", {10});
  box.put_floats("lm_head.weight", {11, 10});
  put_attention(box, "model.layers.0.");
  put_mlp(box, "model.layers.0.mlp.", 13);
  put_attention(box, "model.layers.1.");
  box.put_floats("model.layers.1.mlp.gate.weight", {4, 10});
  box.put_floats("model.layers.1.mlp.gate.e_score_correction_bias", {4});
  for (int e = 0; e < 4; ++e) put_mlp(box, "model.layers.1.mlp.experts." + std::to_string(e) + ".", 6);
  put_mlp(box, "model.layers.1.mlp.shared_experts.", 12);
  return box;
}

/// Binds what the box holds, through a file.
struct Bound {
  ScratchFolder folder;
  std::unique_ptr<Checkpoint> checkpoint;
  ModelWeights weights;
  Bound(const ModelConfig& config, const TensorBox& box) {
    write_safetensors(folder.file("model.safetensors"), box.tensors());
    checkpoint = std::make_unique<Checkpoint>(folder.path());
    weights = bind_weights(config, *checkpoint);
  }
};

std::string verdict(const ModelConfig& config, const TensorBox& box) {
  return error_of([&] { Bound{config, box}; });
}

std::vector<float> floats(const Tensor& tensor) {
  std::vector<float> out(static_cast<std::size_t>(tensor.elements()));
  std::memcpy(out.data(), tensor.data.data(), tensor.data.size());
  return out;
}

TEST_CASE("every tensor of the model finds its place, and nothing is left over") {
  const TensorBox box = small_tensors();
  const Bound bound(small(), box);
  const ModelWeights& w = bound.weights;
  std::size_t elements = 0;
  for (const auto& [name, tensor] : box.tensors()) elements += static_cast<std::size_t>(tensor.elements());
  CHECK(w.parameters == elements);
  CHECK(w.unused.empty());
  CHECK(w.mtp_layers == 0);
  CHECK_FALSE(w.fp8);
  REQUIRE(w.layers.size() == 2);
  CHECK(w.layers[0].dense.has_value());
  CHECK_FALSE(w.layers[0].moe.has_value());
  REQUIRE(w.layers[1].moe.has_value());
  CHECK(w.layers[1].moe->experts.size() == 4);
  CHECK(w.layers[1].moe->shared->down.cols == 12);
  const auto same = [&](const Matrix& matrix, const std::string& name) { return to_floats(matrix) == floats(box.tensors().at(name)); };
  CHECK(same(w.embedding, "model.embed_tokens.weight"));
  CHECK(same(w.head, "lm_head.weight"));
  CHECK(same(w.layers[1].attention.q_b, "model.layers.1.self_attn.q_b_proj.weight"));
  CHECK(same(w.layers[1].moe->experts[3].up, "model.layers.1.mlp.experts.3.up_proj.weight"));
  CHECK(same(w.layers[0].attention.indexer->wk, "model.layers.0.self_attn.indexer.wk.weight"));
  CHECK(w.layers[0].attention.indexer->k_norm_bias == floats(box.tensors().at("model.layers.0.self_attn.indexer.k_norm.bias")));
}

TEST_CASE("each missing tensor is named") {
  const TensorBox whole = small_tensors();
  for (const auto& [name, tensor] : whole.tensors()) {
    CAPTURE(name);
    TensorBox box = small_tensors();
    box.erase(name);
    CHECK(verdict(small(), box) == "the checkpoint lacks the tensor " + name + " (expected shape" + describe(tensor).substr(3) + ")");
  }
}

TEST_CASE("each tensor of a wrong shape or type is named with what is accepted") {
  const TensorBox whole = small_tensors();
  for (const auto& [name, tensor] : whole.tensors()) {
    CAPTURE(name);
    TensorBox box = small_tensors();
    auto shape = tensor.shape;
    ++shape.back();
    box.put_floats(name, shape);
    CHECK(verdict(small(), box) == "tensor " + name + ": found " + describe(box.tensors().at(name)) + "; accepted by this config: shape" + describe(tensor).substr(3));
    box.put(name, DType::I32, tensor.shape, std::vector<std::int32_t>(static_cast<std::size_t>(tensor.elements())));
    CHECK(verdict(small(), box) == "tensor " + name + ": found I32" + describe(tensor).substr(3) + "; accepted: F32, F16, BF16, F8_E4M3");
  }
  TensorBox transposed = small_tensors();
  transposed.put_floats("model.layers.0.mlp.down_proj.weight", {13, 10});
  CHECK(verdict(small(), transposed) == "tensor model.layers.0.mlp.down_proj.weight: found F32 [13, 10]; accepted by this config: shape [10, 13]");
}

TEST_CASE("norms and biases cannot be FP8") {
  TensorBox box = small_tensors();
  box.put("model.norm.weight", DType::Fp8E4M3, {10}, std::vector<std::uint8_t>(10, 0x38));
  CHECK(verdict(small(), box) == "tensor model.norm.weight: found F8_E4M3 [10]; accepted: F32, F16, BF16");
}

TEST_CASE("tied embeddings serve as the head, and count once") {
  ModelConfig config = small();
  config.tied_embeddings = true;
  TensorBox box = small_tensors();
  box.erase("lm_head.weight");
  const Bound bound(config, box);
  CHECK(bound.weights.head.data.data() == bound.weights.embedding.data.data());
  CHECK(bound.weights.parameters + 110 == Bound(small(), small_tensors()).weights.parameters);
  CHECK(Bound(config, small_tensors()).weights.unused == std::vector<std::string>{"lm_head.weight"});
}

TEST_CASE("the layer for multi-token prediction is recognised, other extra tensors are reported") {
  TensorBox box = small_tensors();
  box.put_floats("model.layers.2.enorm.weight", {10});
  box.put_floats("model.layers.2.eh_proj.weight", {10, 20});
  box.put_floats("model.layers.2.eh_proj.weight_scale_inv", {1, 1});
  box.put_floats("model.layers.3.enorm.weight", {10});
  box.put_floats("model.layers.99999999999999999999.x", {1});
  box.put_floats("model.layers.2x.y", {1});
  box.put_floats("model.layers.1.self_attn.rotary_emb.inv_freq", {2});
  box.put_floats("visual.weight", {1});
  const Bound bound(small(), box);
  CHECK(bound.weights.mtp_layers == 1);
  CHECK(bound.weights.mtp_parameters == 10 + 200);
  CHECK(bound.weights.unused == std::vector<std::string>{"model.layers.1.self_attn.rotary_emb.inv_freq", "model.layers.2x.y", "model.layers.3.enorm.weight",
                                                          "model.layers.99999999999999999999.x", "visual.weight"});
  CHECK(bound.weights.parameters == Bound(small(), small_tensors()).weights.parameters);
}

TEST_CASE("without a query latent the queries come from one matrix") {
  ModelConfig config = small();
  config.architecture = Architecture::DeepseekV3;
  config.q_rank = config.index_heads = config.index_dim = config.index_topk = config.mtp_layers = 0;
  TensorBox box = small_tensors();
  for (const std::string layer : {"model.layers.0.self_attn.", "model.layers.1.self_attn."}) box.put_floats(layer + "q_proj.weight", {18, 10});
  const Bound bound(config, box);
  CHECK(bound.weights.layers[0].attention.q_proj.rows == 18);
  CHECK_FALSE(bound.weights.layers[0].attention.indexer.has_value());
  CHECK(bound.weights.unused.size() == 2 * 8);  // q_a, its norm, q_b, and five of the indexer
}

TEST_CASE("half-precision matrices read as their values") {
  TensorBox box = small_tensors();
  std::vector<std::uint16_t> bf16(110), f16(110);
  for (std::size_t i = 0; i < 110; ++i) {
    bf16[i] = to_bf16(static_cast<float>(i) / 8).bits;
    f16[i] = static_cast<std::uint16_t>(0x3c00 + i);
  }
  box.put("model.embed_tokens.weight", DType::BF16, {11, 10}, bf16);
  box.put("lm_head.weight", DType::F16, {11, 10}, f16);
  const Bound bound(small(), box);
  const auto embedding = to_floats(bound.weights.embedding), head = to_floats(bound.weights.head);
  for (std::size_t i = 0; i < 110; ++i) {
    CHECK(embedding[i] == static_cast<float>(i) / 8);
    CHECK(head[i] == 1.0f + static_cast<float>(i) / 1024);
  }
}

/// A config whose dense layer is wider than a block, with ragged last blocks on both sides.
ModelConfig wide() {
  ModelConfig c = small();
  c.dim = 200;
  c.layers = 1;
  c.dense_width = 300;
  c.mtp_layers = 0;
  return c;
}

TensorBox wide_tensors(Rng& rng) {
  TensorBox box = small_tensors();
  TensorBox out;
  for (const auto& [name, tensor] : box.tensors()) {
    if (name.starts_with("model.layers.1.")) continue;
    auto shape = tensor.shape;
    for (auto& size : shape) size = size == 10 ? 200 : size == 13 ? 300 : size;
    out.put_floats(name, shape);
  }
  for (const auto& [name, rows, cols] : {std::tuple("gate_proj", 300, 200), {"up_proj", 300, 200}, {"down_proj", 200, 300}}) {
    std::vector<std::uint8_t> values(static_cast<std::size_t>(rows * cols));
    for (auto& v : values) v = static_cast<std::uint8_t>(rng.below(127) | (rng.below(2) << 7));
    const int row_blocks = (rows + 127) / 128, col_blocks = (cols + 127) / 128;
    std::vector<float> scales(static_cast<std::size_t>(row_blocks * col_blocks));
    for (auto& s : scales) s = static_cast<float>(rng.range(1, 1000)) / 512.0f;
    const std::string full = std::string("model.layers.0.mlp.") + name + ".weight";
    out.put(full, DType::Fp8E4M3, {rows, cols}, values);
    out.put(full + "_scale_inv", DType::F32, {row_blocks, col_blocks}, scales);
  }
  return out;
}

TEST_CASE("FP8 matrices read as value times their block's scale, ragged last blocks included") {
  Rng rng(6);
  const TensorBox box = wide_tensors(rng);
  const Bound bound(wide(), box);
  CHECK(bound.weights.fp8);
  CHECK(bound.weights.unused.empty());
  for (const auto& [matrix, name] : {std::pair(&bound.weights.layers[0].dense->gate, "gate_proj"), {&bound.weights.layers[0].dense->down, "down_proj"}}) {
    const std::string full = std::string("model.layers.0.mlp.") + name + ".weight";
    const auto scales = floats(box.tensors().at(full + "_scale_inv"));
    const auto& stored = box.tensors().at(full);
    const auto found = to_floats(*matrix);
    const auto rows = stored.shape[0], cols = stored.shape[1], col_blocks = (cols + 127) / 128;
    int wrong = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        const auto at = static_cast<std::size_t>(r * cols + c);
        const float value = to_float(Fp8{static_cast<std::uint8_t>(stored.data[at])});
        wrong += found[at] != value * scales[static_cast<std::size_t>(r / 128 * col_blocks + c / 128)];
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("FP8 matrices need their scales, in shape and type") {
  Rng rng(7);
  const std::string name = "model.layers.0.mlp.up_proj.weight_scale_inv";
  TensorBox box = wide_tensors(rng);
  box.erase(name);
  CHECK(verdict(wide(), box) == "the checkpoint lacks the tensor " + name + " (expected shape [3, 2])");
  box.put_floats(name, {2, 2});
  CHECK(verdict(wide(), box) == "tensor " + name + ": found F32 [2, 2]; accepted by this config: shape [3, 2]");
  box.put(name, DType::BF16, {3, 2}, std::vector<std::uint16_t>(6));
  CHECK(verdict(wide(), box) == "tensor " + name + ": found BF16 [3, 2]; accepted: F32");
}

TEST_CASE("sizes whose product leaves the range of a matrix are refused before they are narrowed") {
  ModelConfig config = small();
  config.heads = 65536;
  config.nope_dim = 65536;
  CHECK(verdict(config, small_tensors()).find("the config asks for 4295229440 x 9; accepted: sides up to 268435456") != std::string::npos);
}

TEST_CASE("the golden checkpoints bind completely") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    CHECK(golden.weights.unused.empty());
    CHECK(golden.weights.parameters > 100'000);
  }
}

}  // namespace
}  // namespace gauntlet
