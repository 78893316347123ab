#include "inference/cuda/cuda_weights.h"

#include <cstring>

namespace gauntlet {
namespace {

class Uploader {
 public:
  explicit Uploader(CudaWeights& out) : out_(out) {}

  /// The matrices one under the other.
  DeviceBuffer<Bf16> rows(const std::vector<const Matrix*>& parts) {
    staging_.clear();
    for (const Matrix* part : parts) append(*part);
    return upload(staging_);
  }
  DeviceBuffer<float> floats(const std::vector<float>& values) { return upload(values); }
  DeviceBuffer<float> floats(const Matrix& matrix) { return upload(to_floats(matrix)); }

  CudaMlp mlp(const MlpWeights& w) { return {.gate_up = rows({&w.gate, &w.up}), .down = rows({&w.down}), .width = w.gate.rows}; }

  void kv_b(const ModelConfig& config, const Matrix& matrix, CudaLayer& layer) {
    const auto heads = static_cast<std::size_t>(config.heads), nope = static_cast<std::size_t>(config.nope_dim), v_dim = static_cast<std::size_t>(config.v_dim), rank = static_cast<std::size_t>(config.kv_rank);
    const std::vector<float> values = to_floats(matrix);
    std::vector<Bf16> keys(heads * rank * nope), content(heads * v_dim * rank);
    for (std::size_t h = 0; h < heads; ++h) {
      const float* head = values.data() + h * (nope + v_dim) * rank;
      for (std::size_t d = 0; d < nope; ++d) {
        for (std::size_t r = 0; r < rank; ++r) keys[(h * rank + r) * nope + d] = to_bf16(head[d * rank + r]);
      }
      for (std::size_t i = 0; i < v_dim * rank; ++i) content[h * v_dim * rank + i] = to_bf16(head[nope * rank + i]);
    }
    layer.key_up = upload(keys);
    layer.value_up = upload(content);
  }

 private:
  void append(const Matrix& matrix) {
    const auto count = static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.cols);
    const std::size_t at = staging_.size();
    staging_.resize(at + count);
    if (matrix.dtype == DType::BF16) {
      std::memcpy(staging_.data() + at, matrix.data.data(), count * sizeof(Bf16));
      return;
    }
    std::vector<float> row(static_cast<std::size_t>(matrix.cols));
    for (int r = 0; r < matrix.rows; ++r) {
      matrix.read_row(r, row.data());
      for (std::size_t c = 0; c < row.size(); ++c) staging_[at + static_cast<std::size_t>(r) * row.size() + c] = to_bf16(row[c]);
    }
  }

  template <class T>
  DeviceBuffer<T> upload(const std::vector<T>& values) {
    DeviceBuffer<T> buffer(values.size());
    if (!values.empty()) buffer.upload_blocking(values);
    out_.bytes += buffer.size_bytes();
    return buffer;
  }

  CudaWeights& out_;
  std::vector<Bf16> staging_;
};

CudaLayer upload_layer(const ModelConfig& config, const LayerWeights& w, Uploader& up) {
  const AttentionWeights& a = w.attention;
  CudaLayer out;
  out.attention_norm = up.floats(w.attention_norm);
  out.mlp_norm = up.floats(w.mlp_norm);
  out.q_norm = up.floats(a.q_norm);
  out.kv_norm = up.floats(a.kv_norm);
  std::vector<const Matrix*> input = {config.q_rank > 0 ? &a.q_a : &a.q_proj, &a.kv_a}, query = {&a.q_b};
  if (a.indexer) {
    out.index_k_norm = up.floats(a.indexer->k_norm);
    out.index_k_norm_bias = up.floats(a.indexer->k_norm_bias);
    out.index_weights = up.floats(a.indexer->weights_proj);
    input.push_back(&a.indexer->wk);
    query.push_back(&a.indexer->wq_b);
  }
  out.input = up.rows(input);
  if (config.q_rank > 0) out.query = up.rows(query);
  up.kv_b(config, a.kv_b, out);
  out.output = up.rows({&a.o});
  if (w.dense) {
    out.mlp = up.mlp(*w.dense);
    return out;
  }
  if (w.moe->shared) out.mlp = up.mlp(*w.moe->shared);
  out.router = up.floats(w.moe->gate);
  out.correction = up.floats(w.moe->correction);
  std::vector<const Matrix*> gate_up, down;
  for (const auto& expert : w.moe->experts) {
    gate_up.push_back(&expert.gate);
    gate_up.push_back(&expert.up);
    down.push_back(&expert.down);
  }
  out.experts_gate_up = up.rows(gate_up);
  out.experts_down = up.rows(down);
  return out;
}

}  // namespace

CudaWeights upload_weights(const ModelWeights& weights) {
  CudaWeights out;
  Uploader up(out);
  out.embedding = up.rows({&weights.embedding});
  for (const auto& layer : weights.layers) out.layers.push_back(upload_layer(weights.config, layer, up));
  out.final_norm = up.floats(weights.final_norm);
  if (weights.head.data.data() != weights.embedding.data.data()) out.head = up.rows({&weights.head});
  return out;
}

}  // namespace gauntlet
