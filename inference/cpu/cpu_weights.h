#pragma once

// A checkpoint's weights packed for the CPU. Products that share their input are stacked into one matrix, and kv_b is split by head into the
// two halves that the absorbed form of attention needs.

#include <optional>
#include <vector>

#include "inference/cpu/packed_matrix.h"
#include "inference/cpu/thread_pool.h"

namespace gauntlet {

struct CpuMlp {
  PackedMatrix gate_up;   ///< [2 × width, dim]: gate, then up
  PackedMatrix down;      ///< [dim, width]
  int width = 0;
};

struct CpuMoe {
  PackedMatrix gate;      ///< [experts, dim]
  std::vector<float> correction;
  std::vector<CpuMlp> experts;
  std::optional<CpuMlp> shared;
};

struct CpuLayer {
  std::vector<float> attention_norm, mlp_norm, q_norm, kv_norm, index_k_norm, index_k_norm_bias;
  /// From the normed residual stream: [q_rank | kv_rank + rope_dim | index_dim | index_heads, dim]; without q_rank the whole query is first.
  PackedMatrix input;
  /// From the query latent: [heads × qk_dim | index_heads × index_dim, q_rank]; empty without q_rank.
  PackedMatrix query;
  std::vector<PackedMatrix> key_up;    ///< [heads] of [kv_rank, nope_dim]: query part into the latent space
  std::vector<PackedMatrix> value_up;  ///< [heads] of [v_dim, kv_rank]
  PackedMatrix output;                 ///< [dim, heads × v_dim]
  std::optional<CpuMlp> dense;
  std::optional<CpuMoe> moe;
};

struct CpuWeights {
  Matrix embedding;                    ///< a view: rows are read as they are needed
  std::vector<CpuLayer> layers;
  std::vector<float> final_norm;
  PackedMatrix head;
  std::size_t bytes = 0;               ///< packed
  std::size_t expert_bytes = 0;        ///< packed, of one routed expert of one layer
};

/// The layers are shared out over the threads. Throws std::bad_alloc.
CpuWeights pack_weights(const ModelWeights& weights, WeightFormat format, ThreadPool& pool);

}  // namespace gauntlet
