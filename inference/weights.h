#pragma once

// A checkpoint's tensors under the names that the model uses them by, with shapes checked. Nothing is copied: matrices are views into the
// mapped files.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/model_config.h"
#include "inference/safetensors.h"

namespace gauntlet {

/// Side of the square blocks that share one scale in FP8 weights.
inline constexpr int kFp8Block = 128;

/// [rows, cols], row-major; a linear layer computes y[rows] = W x[cols]. With FP8, element (r, c) is the stored value times
/// scale_inv[r / 128, c / 128] (despite its name the scale is a multiplier).
struct Matrix {
  DType dtype = DType::F32;           ///< F32, F16, BF16 or Fp8E4M3
  int rows = 0;
  int cols = 0;
  std::span<const std::byte> data;
  std::span<const std::byte> scale_inv;  ///< float32 [ceil(rows / 128), ceil(cols / 128)]; empty unless FP8

  /// Row r as floats; `out` has room for cols.
  void read_row(int row, float* out) const;
  float scale(int row, int col) const;
};

std::vector<float> to_floats(const Matrix& matrix);

struct MlpWeights {
  Matrix gate, up, down;              ///< [width, dim], [width, dim], [dim, width]
};

struct IndexerWeights {
  Matrix wq_b;                        ///< [index_heads × index_dim, q_rank]; within a head rotary dims first
  Matrix wk;                          ///< [index_dim, dim]
  std::vector<float> k_norm, k_norm_bias;  ///< [index_dim], LayerNorm
  Matrix weights_proj;                ///< [index_heads, dim]
};

struct AttentionWeights {
  Matrix q_proj;                      ///< [heads × qk_dim, dim]; only when q_rank is 0
  Matrix q_a, q_b;                    ///< [q_rank, dim], [heads × qk_dim, q_rank]; head: nope, then rope
  std::vector<float> q_norm;          ///< [q_rank]
  Matrix kv_a;                        ///< [kv_rank + rope_dim, dim]: latent, then the rotary key that all heads share
  std::vector<float> kv_norm;         ///< [kv_rank]
  Matrix kv_b;                        ///< [heads × (nope_dim + v_dim), kv_rank]; head: keys, then values
  Matrix o;                           ///< [dim, heads × v_dim]
  std::optional<IndexerWeights> indexer;
};

struct MoeWeights {
  Matrix gate;                        ///< [experts, dim]
  std::vector<float> correction;      ///< [experts], added to the scores for choosing only
  std::vector<MlpWeights> experts;
  std::optional<MlpWeights> shared;   ///< width expert_width × shared_experts
};

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;  ///< [dim]
  AttentionWeights attention;
  std::optional<MlpWeights> dense;    ///< exactly one of dense and moe
  std::optional<MoeWeights> moe;
};

struct ModelWeights {
  ModelConfig config;
  Matrix embedding;                   ///< [vocab, dim]
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;      ///< [dim]
  Matrix head;                        ///< [vocab, dim]; the embedding itself when tied
  bool fp8 = false;                   ///< some matrices are FP8 with block scales
  int mtp_layers = 0;                 ///< multi-token-prediction layers that the checkpoint has
  std::size_t mtp_parameters = 0;     ///< elements of those layers' tensors, without FP8 scales
  std::size_t parameters = 0;         ///< elements of the main model's tensors, each once
  std::vector<std::string> unused;    ///< tensors that nothing reads
};

/// Throws Error(Input) naming the tensor that is missing, or its shape or type and what is accepted. `checkpoint` must outlive the result.
ModelWeights bind_weights(const ModelConfig& config, const Checkpoint& checkpoint);

}  // namespace gauntlet
