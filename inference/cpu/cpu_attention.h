#pragma once

// The attention half of a layer on the CPU.

#include <memory>
#include <vector>

#include "inference/cpu/cpu_weights.h"
#include "inference/cpu/lazy_floats.h"
#include "inference/cpu/products.h"
#include "inference/rope.h"
#include "inference/selections.h"

namespace gauntlet {

/// One new token of a batch.
struct CpuToken {
  std::int32_t id = 0;
  std::int64_t position = 0;
  std::int32_t row = 0;                       ///< where its cache entry goes: page × 64 + offset
  const std::int32_t* pages = nullptr;        ///< of its sequence
};

/// One layer's cache. Rows are physical: page × 64 + offset.
struct CpuLayerCache {
  LazyFloats latents;                         ///< [rows, cache_dim]: latent, then rotated key
  LazyFloats index_keys;                      ///< [rows, index_dim]
};

class CpuAttention {
 public:
  /// All must outlive it.
  CpuAttention(const ModelConfig& config, Products& products, const RopeTable& rope, bool dense);

  /// y [tokens, dim] = attention of the layer over x [tokens, dim] (normed). Writes the tokens' cache entries first, so tokens of one
  /// sequence see each other. `chosen`, if not null, receives [tokens × index_topk] positions, `recall` [tokens] shares.
  void run(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x, CpuLayerCache& cache, float* y, std::vector<std::int32_t>* chosen, std::vector<QueryRecall>* recall = nullptr);

 private:
  /// What one token attends to.
  struct Choice {
    std::vector<float> scores, index_query, head_weights;
    std::vector<std::uint64_t> keys;
    std::vector<std::int32_t> positions, rows;
  };
  bool chooses(const CpuToken& token) const { return !dense_ && token.position + 1 > config_.index_topk; }
  void project(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x);
  void write_cache(const CpuLayer& layer, const std::vector<CpuToken>& tokens, CpuLayerCache& cache);
  void prepare_scores(const CpuToken& token, std::size_t index, Choice& choice) const;
  void score(const CpuToken& token, std::int64_t first, std::int64_t last, const CpuLayerCache& cache, Choice& choice) const;
  void choose(const CpuToken& token, Choice& choice) const;
  /// For tokens [first, first + count): a head's query into the latent space, and its result out of it.
  void key_up(const CpuLayer& layer, std::size_t head, std::size_t first, int count);
  void value_up(const CpuLayer& layer, std::size_t head, std::size_t first, int count);
  void attend(const CpuToken& token, std::size_t index, std::size_t first_head, std::size_t last_head, const CpuLayerCache& cache, const Choice& choice, std::vector<float>& weights);
  void run_tokens(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, std::int32_t* chosen);
  void run_heads(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, std::int32_t* chosen);
  void measure_recall(const std::vector<CpuToken>& tokens, const CpuLayerCache& cache, const std::int32_t* chosen, QueryRecall* shares);
  void report(const Choice& choice, std::size_t index, std::int32_t* chosen) const;

  const ModelConfig& config_;
  Products& products_;
  const CpuKernels& kernels_;
  ThreadPool& pool_;
  const RopeTable& rope_;
  bool dense_;
  std::size_t query_width_, index_query_width_, input_width_, query_columns_;
  std::vector<float> input_, latent_, query_, absorbed_, attended_, mixed_;
  std::vector<Choice> choices_;                 ///< [threads]; of a thread's token, or of token t where tokens are few
  std::vector<std::vector<float>> weights_;     ///< [threads]
};

}  // namespace gauntlet
