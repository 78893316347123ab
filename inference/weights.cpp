#include "inference/weights.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <set>

#include "core/error.h"
#include "inference/float_types.h"

namespace gauntlet {
namespace {

/// Rows and columns are ints, products of them 64-bit; configs multiply sizes that are each in range.
constexpr std::int64_t kMaxRows = 1 << 28;

template <class T>
T load(std::span<const std::byte> data, std::size_t index) {
  T value;
  std::memcpy(&value, data.data() + index * sizeof(T), sizeof(T));
  return value;
}

float element(DType dtype, std::span<const std::byte> data, std::size_t index) {
  switch (dtype) {
    case DType::F32: return load<float>(data, index);
    case DType::BF16: return to_float(load<Bf16>(data, index));
    case DType::F16: return to_float(load<F16>(data, index));
    default: return to_float(load<Fp8>(data, index));
  }
}

int blocks(int size) { return (size + kFp8Block - 1) / kFp8Block; }

/// 61 of "model.layers.61.enorm.weight"; -1 if the name is no layer's.
int layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return -1;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + kPrefix.size(), end, index);
  return error == std::errc() && rest != end && *rest == '.' ? index : -1;
}

class Binder {
 public:
  Binder(const ModelConfig& config, const Checkpoint& checkpoint, ModelWeights& out) : config_(config), checkpoint_(checkpoint), out_(out) {}

  Matrix matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
    require(rows <= kMaxRows && cols <= kMaxRows, ErrorKind::Input, fmt::format("tensor {}: the config asks for {} x {}; accepted: sides up to {}", name, rows, cols, kMaxRows));
    const Tensor& tensor = take(name, {rows, cols});
    Matrix out{.dtype = tensor.dtype, .rows = static_cast<int>(rows), .cols = static_cast<int>(cols), .data = tensor.data, .scale_inv = {}};
    if (tensor.dtype == DType::Fp8E4M3) {
      const std::string scale_name = name + "_scale_inv";
      const Tensor& scale = get(scale_name, {blocks(out.rows), blocks(out.cols)});
      require(scale.dtype == DType::F32, ErrorKind::Input, fmt::format("tensor {}: found {}; accepted: F32", scale_name, describe(scale)));
      out.scale_inv = scale.data;
      out_.fp8 = true;
    }
    return out;
  }

  std::vector<float> vector(const std::string& name, std::int64_t size) {
    const Tensor& tensor = take(name, {size});
    require(tensor.dtype != DType::Fp8E4M3, ErrorKind::Input, fmt::format("tensor {}: found {}; accepted: F32, F16, BF16", name, describe(tensor)));
    std::vector<float> out(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = element(tensor.dtype, tensor.data, i);
    return out;
  }

  MlpWeights mlp(const std::string& prefix, std::int64_t width) {
    return {.gate = matrix(prefix + "gate_proj.weight", width, config_.dim), .up = matrix(prefix + "up_proj.weight", width, config_.dim), .down = matrix(prefix + "down_proj.weight", config_.dim, width)};
  }

  AttentionWeights attention(const std::string& prefix) {
    const ModelConfig& c = config_;
    AttentionWeights out;
    const std::int64_t q_rows = std::int64_t{c.heads} * c.qk_dim();
    if (c.q_rank == 0) {
      out.q_proj = matrix(prefix + "q_proj.weight", q_rows, c.dim);
    } else {
      out.q_a = matrix(prefix + "q_a_proj.weight", c.q_rank, c.dim);
      out.q_norm = vector(prefix + "q_a_layernorm.weight", c.q_rank);
      out.q_b = matrix(prefix + "q_b_proj.weight", q_rows, c.q_rank);
    }
    out.kv_a = matrix(prefix + "kv_a_proj_with_mqa.weight", c.cache_dim(), c.dim);
    out.kv_norm = vector(prefix + "kv_a_layernorm.weight", c.kv_rank);
    out.kv_b = matrix(prefix + "kv_b_proj.weight", std::int64_t{c.heads} * (c.nope_dim + c.v_dim), c.kv_rank);
    out.o = matrix(prefix + "o_proj.weight", c.dim, std::int64_t{c.heads} * c.v_dim);
    if (!c.has_indexer()) return out;
    const std::string indexer = prefix + "indexer.";
    out.indexer = IndexerWeights{.wq_b = matrix(indexer + "wq_b.weight", std::int64_t{c.index_heads} * c.index_dim, c.q_rank),
                                 .wk = matrix(indexer + "wk.weight", c.index_dim, c.dim),
                                 .k_norm = vector(indexer + "k_norm.weight", c.index_dim),
                                 .k_norm_bias = vector(indexer + "k_norm.bias", c.index_dim),
                                 .weights_proj = matrix(indexer + "weights_proj.weight", c.index_heads, c.dim)};
    return out;
  }

  MoeWeights moe(const std::string& prefix) {
    MoeWeights out;
    out.gate = matrix(prefix + "gate.weight", config_.experts, config_.dim);
    out.correction = vector(prefix + "gate.e_score_correction_bias", config_.experts);
    out.experts.reserve(static_cast<std::size_t>(config_.experts));
    for (int i = 0; i < config_.experts; ++i) out.experts.push_back(mlp(fmt::format("{}experts.{}.", prefix, i), config_.expert_width));
    if (config_.shared_experts > 0) out.shared = mlp(prefix + "shared_experts.", std::int64_t{config_.expert_width} * config_.shared_experts);
    return out;
  }

  LayerWeights layer(int index) {
    const std::string prefix = fmt::format("model.layers.{}.", index);
    LayerWeights out;
    out.attention_norm = vector(prefix + "input_layernorm.weight", config_.dim);
    out.attention = attention(prefix + "self_attn.");
    out.mlp_norm = vector(prefix + "post_attention_layernorm.weight", config_.dim);
    if (index < config_.dense_layers) {
      out.dense = mlp(prefix + "mlp.", config_.dense_width);
    } else {
      out.moe = moe(prefix + "mlp.");
    }
    return out;
  }

  /// What stands beside the main model: layers past the last are for multi-token prediction.
  void account() {
    std::set<int> mtp;
    for (const auto& [name, tensor] : checkpoint_.tensors()) {
      if (used_.contains(name)) continue;
      const int index = layer_of(name);
      if (index >= config_.layers && index < config_.layers + config_.mtp_layers) {
        mtp.insert(index);
        if (!name.ends_with("_scale_inv")) out_.mtp_parameters += static_cast<std::size_t>(tensor.elements());
      } else {
        out_.unused.push_back(name);
      }
    }
    out_.mtp_layers = static_cast<int>(mtp.size());
  }

 private:
  const Tensor& get(const std::string& name, const std::vector<std::int64_t>& shape) {
    const Tensor* tensor = checkpoint_.find(name);
    const Tensor expected{.dtype = DType::F32, .shape = shape, .data = {}};
    require(tensor != nullptr, ErrorKind::Input, fmt::format("the checkpoint lacks the tensor {} (expected shape{})", name, describe(expected).substr(3)));
    require(tensor->shape == shape, ErrorKind::Input, fmt::format("tensor {}: found {}; accepted by this config: shape{}", name, describe(*tensor), describe(expected).substr(3)));
    used_.insert(name);
    return *tensor;
  }

  const Tensor& take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const Tensor& tensor = get(name, shape);
    const bool known = tensor.dtype == DType::F32 || tensor.dtype == DType::F16 || tensor.dtype == DType::BF16 || tensor.dtype == DType::Fp8E4M3;
    require(known, ErrorKind::Input, fmt::format("tensor {}: found {}; accepted: F32, F16, BF16, F8_E4M3", name, describe(tensor)));
    out_.parameters += static_cast<std::size_t>(tensor.elements());
    return tensor;
  }

  const ModelConfig& config_;
  const Checkpoint& checkpoint_;
  ModelWeights& out_;
  std::set<std::string> used_;
};

}  // namespace

float Matrix::scale(int row, int col) const {
  if (scale_inv.empty()) return 1.0f;
  return load<float>(scale_inv, static_cast<std::size_t>(row / kFp8Block) * static_cast<std::size_t>(blocks(cols)) + static_cast<std::size_t>(col / kFp8Block));
}

void Matrix::read_row(int row, float* out) const {
  const std::size_t start = static_cast<std::size_t>(row) * static_cast<std::size_t>(cols);
  for (int c = 0; c < cols; ++c) out[c] = element(dtype, data, start + static_cast<std::size_t>(c));
  if (scale_inv.empty()) return;
  for (int c = 0; c < cols; ++c) out[c] *= scale(row, c);
}

std::vector<float> to_floats(const Matrix& matrix) {
  std::vector<float> out(static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.cols));
  for (int r = 0; r < matrix.rows; ++r) matrix.read_row(r, out.data() + static_cast<std::size_t>(r) * static_cast<std::size_t>(matrix.cols));
  return out;
}

ModelWeights bind_weights(const ModelConfig& config, const Checkpoint& checkpoint) {
  ModelWeights out;
  out.config = config;
  Binder binder(config, checkpoint, out);
  out.embedding = binder.matrix("model.embed_tokens.weight", config.vocab, config.dim);
  // A missing layer is found before anything is reserved for many.
  for (int i = 0; i < config.layers; ++i) out.layers.push_back(binder.layer(i));
  out.final_norm = binder.vector("model.norm.weight", config.dim);
  out.head = config.tied_embeddings ? out.embedding : binder.matrix("lm_head.weight", config.vocab, config.dim);
  binder.account();
  return out;
}

}  // namespace gauntlet
