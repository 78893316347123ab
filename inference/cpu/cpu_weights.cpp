#include "inference/cpu/cpu_weights.h"

#include <algorithm>
#include <exception>

namespace gauntlet {
namespace {

class Packer {
 public:
  Packer(const ModelConfig& config, WeightFormat format) : config_(config), format_(format) {}

  std::size_t bytes() const { return bytes_; }
  std::size_t expert_bytes() const { return expert_bytes_; }

  /// Precision matters more than size for what decides: router, indexer, latent projections and norms stay exact.
  PackedMatrix exact(const std::vector<const Matrix*>& parts) { return counted(PackedMatrix(parts, WeightFormat::Exact)); }
  PackedMatrix pack(const std::vector<const Matrix*>& parts) { return counted(PackedMatrix(parts, format_)); }

  CpuMlp mlp(const MlpWeights& w) { return {.gate_up = pack({&w.gate, &w.up}), .down = pack({&w.down}), .width = w.gate.rows}; }

  CpuMoe moe(const MoeWeights& w) {
    CpuMoe out{.gate = exact({&w.gate}), .correction = w.correction, .experts = {}, .shared = {}};
    for (const auto& expert : w.experts) out.experts.push_back(mlp(expert));
    expert_bytes_ = out.experts.front().gate_up.bytes() + out.experts.front().down.bytes();
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
    bytes_ += matrix.bytes();
    return matrix;
  }

  const ModelConfig& config_;
  WeightFormat format_;
  std::size_t bytes_ = 0, expert_bytes_ = 0;
};

}  // namespace

CpuWeights pack_weights(const ModelWeights& weights, WeightFormat format, ThreadPool& pool) {
  CpuWeights out;
  out.embedding = weights.embedding;
  out.final_norm = weights.final_norm;
  // The layers, and the head as one more.
  const std::size_t layers = weights.layers.size();
  out.layers.resize(layers);
  std::vector<Packer> packers(layers + 1, Packer(weights.config, format));
  std::vector<std::exception_ptr> failures(layers + 1);
  pool.run(layers + 1, [&](std::size_t i, int) {
    try {
      if (i < layers) {
        out.layers[i] = packers[i].layer(weights.layers[i]);
      } else {
        out.head = packers[i].pack({&weights.head});
      }
    } catch (...) {
      failures[i] = std::current_exception();
    }
  });
  for (const auto& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  for (const auto& packer : packers) {
    out.bytes += packer.bytes();
    out.expert_bytes = std::max(out.expert_bytes, packer.expert_bytes());
  }
  return out;
}

}  // namespace gauntlet
