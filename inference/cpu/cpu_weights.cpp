#include "inference/cpu/cpu_weights.h"

namespace gauntlet {
namespace {

class Packer {
 public:
  Packer(const ModelConfig& config, WeightFormat format, CpuWeights& out) : config_(config), format_(format), out_(out) {}

  /// Precision matters more than size for what decides: router, indexer, latent projections and norms stay exact.
  PackedMatrix exact(const std::vector<const Matrix*>& parts) { return counted(PackedMatrix(parts, WeightFormat::Exact)); }
  PackedMatrix pack(const std::vector<const Matrix*>& parts) { return counted(PackedMatrix(parts, format_)); }

  CpuMlp mlp(const MlpWeights& w) { return {.gate_up = pack({&w.gate, &w.up}), .down = pack({&w.down}), .width = w.gate.rows}; }

  CpuMoe moe(const MoeWeights& w) {
    CpuMoe out{.gate = exact({&w.gate}), .correction = w.correction, .experts = {}, .shared = {}};
    for (const auto& expert : w.experts) out.experts.push_back(mlp(expert));
    out_.expert_bytes = out.experts.front().gate_up.bytes() + out.experts.front().down.bytes();
    if (w.shared) out.shared = mlp(*w.shared);
    return out;
  }

  void split_kv_b(const Matrix& kv_b, CpuLayer& out) {
    const auto nope = static_cast<std::size_t>(config_.nope_dim), v_dim = static_cast<std::size_t>(config_.v_dim), rank = static_cast<std::size_t>(config_.kv_rank);
    const auto values = to_floats(kv_b);
    for (std::size_t h = 0; h < static_cast<std::size_t>(config_.heads); ++h) {
      const float* head = values.data() + h * (nope + v_dim) * rank;
      std::vector<float> keys(rank * nope);
      for (std::size_t d = 0; d < nope; ++d) {
        for (std::size_t r = 0; r < rank; ++r) keys[r * nope + d] = head[d * rank + r];
      }
      out.key_up.push_back(counted(PackedMatrix(keys, config_.kv_rank, config_.nope_dim, WeightFormat::Exact)));
      out.value_up.push_back(counted(PackedMatrix(std::vector<float>(head + nope * rank, head + (nope + v_dim) * rank), config_.v_dim, config_.kv_rank, WeightFormat::Exact)));
    }
  }

  CpuLayer layer(const LayerWeights& w) {
    const AttentionWeights& a = w.attention;
    CpuLayer out{.attention_norm = w.attention_norm, .mlp_norm = w.mlp_norm, .q_norm = a.q_norm, .kv_norm = a.kv_norm};
    std::vector<const Matrix*> input = {config_.q_rank > 0 ? &a.q_a : &a.q_proj, &a.kv_a}, query = {&a.q_b};
    if (a.indexer) {
      out.index_k_norm = a.indexer->k_norm;
      out.index_k_norm_bias = a.indexer->k_norm_bias;
      input.push_back(&a.indexer->wk);
      input.push_back(&a.indexer->weights_proj);
      query.push_back(&a.indexer->wq_b);
    }
    out.input = exact(input);
    if (config_.q_rank > 0) out.query = exact(query);
    split_kv_b(a.kv_b, out);
    out.output = pack({&a.o});
    if (w.dense) out.dense = mlp(*w.dense);
    if (w.moe) out.moe = moe(*w.moe);
    return out;
  }

 private:
  PackedMatrix counted(PackedMatrix matrix) {
    out_.bytes += matrix.bytes();
    return matrix;
  }

  const ModelConfig& config_;
  WeightFormat format_;
  CpuWeights& out_;
};

}  // namespace

CpuWeights pack_weights(const ModelWeights& weights, WeightFormat format) {
  CpuWeights out;
  Packer packer(weights.config, format, out);
  out.embedding = weights.embedding;
  for (const auto& layer : weights.layers) out.layers.push_back(packer.layer(layer));
  out.final_norm = weights.final_norm;
  out.head = packer.pack({&weights.head});
  return out;
}

}  // namespace gauntlet
