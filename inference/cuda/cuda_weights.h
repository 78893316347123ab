#pragma once

// A checkpoint's weights in device memory: bf16 (FP8 blocks are widened, exactly where their scales are powers of two), stacked where products
// share their input, kv_b split by head into the halves of absorbed attention. What decides (norms, router, weights of the indexer's heads)
// stays float32.

#include <vector>

#include "inference/cuda/cuda.h"
#include "inference/float_types.h"
#include "inference/weights.h"

namespace gauntlet {

struct CudaMlp {
  DeviceBuffer<Bf16> gate_up;          ///< [2 × width, dim]: gate, then up
  DeviceBuffer<Bf16> down;             ///< [dim, width]
  int width = 0;                       ///< 0: there is none
};

struct CudaLayer {
  DeviceBuffer<float> attention_norm, mlp_norm, q_norm, kv_norm, index_k_norm, index_k_norm_bias;
  DeviceBuffer<Bf16> input;            ///< [q_rank | kv_rank + rope_dim | index_dim, dim]; without q_rank the whole query is first
  DeviceBuffer<Bf16> query;            ///< [heads × qk_dim | index_heads × index_dim, q_rank]; empty without q_rank
  DeviceBuffer<float> index_weights;   ///< [index_heads, dim]
  DeviceBuffer<Bf16> key_up;           ///< [heads, kv_rank, nope_dim]
  DeviceBuffer<Bf16> value_up;         ///< [heads, v_dim, kv_rank]
  DeviceBuffer<Bf16> output;           ///< [dim, heads × v_dim]
  CudaMlp mlp;                         ///< dense, or the shared expert
  DeviceBuffer<float> router;          ///< [experts, dim]; empty in dense layers
  DeviceBuffer<float> correction;      ///< [experts]
  DeviceBuffer<Bf16> experts_gate_up;  ///< [experts, 2 × expert_width, dim]
  DeviceBuffer<Bf16> experts_down;     ///< [experts, dim, expert_width]
};

struct CudaWeights {
  DeviceBuffer<Bf16> embedding;        ///< [vocab, dim]
  std::vector<CudaLayer> layers;
  DeviceBuffer<float> final_norm;
  DeviceBuffer<Bf16> head;             ///< [vocab, dim]; empty when tied
  std::size_t bytes = 0;
};

CudaWeights upload_weights(const ModelWeights& weights);

}  // namespace gauntlet
