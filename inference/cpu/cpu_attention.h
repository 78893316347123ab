#pragma once

// The attention half of a layer on the CPU.

#include <memory>
#include <vector>

#include "inference/cpu/cpu_weights.h"
#include "inference/cpu/lazy_floats.h"
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
  CpuAttention(const ModelConfig& config, const CpuKernels& kernels, ThreadPool& pool, const RopeTable& rope, bool dense);

  /// y [tokens, dim] = attention of the layer over x [tokens, dim] (normed). Writes the tokens' cache entries first, so tokens of one
  /// sequence see each other. `chosen`, if not null, receives [tokens × index_topk] positions.
  void run(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x, CpuLayerCache& cache, float* y, std::vector<std::int32_t>* chosen);

 private:
  /// One thread's memory.
  struct Scratch {
    std::vector<float> scores, weights, index_query, head_weights;
    std::vector<std::uint64_t> keys;
    std::vector<std::int32_t> positions, rows;
  };
  void project(const CpuLayer& layer, const std::vector<CpuToken>& tokens, const float* x);
  void write_cache(const CpuLayer& layer, const std::vector<CpuToken>& tokens, CpuLayerCache& cache);
  void choose(const CpuToken& token, std::size_t index, const CpuLayerCache& cache, Scratch& scratch) const;

  const ModelConfig& config_;
  const CpuKernels& kernels_;
  ThreadPool& pool_;
  const RopeTable& rope_;
  bool dense_;
  std::size_t query_width_, index_query_width_, input_width_, query_columns_;
  std::vector<float> input_, latent_, query_, absorbed_, attended_, mixed_;
  std::vector<Scratch> scratch_;
};

}  // namespace gauntlet
