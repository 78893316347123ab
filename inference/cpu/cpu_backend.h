#pragma once

// The CPU backend: float32 activations and cache, packed weights, attention in the absorbed form over selected positions.

#include <memory>
#include <optional>

#include "inference/backend.h"
#include "inference/cpu/packed_matrix.h"
#include "inference/step_footprint.h"

namespace gauntlet {

struct CpuBackendOptions {
  int threads = 0;                     ///< 0: one for each usable core
  std::optional<Isa> isa;              ///< none: the best that the processor has
  WeightFormat format = WeightFormat::Exact;
  int pages = 64;                      ///< of the cache, 64 tokens each
  int max_tokens = 512;                ///< of one forward()
  bool dense_attention = false;        ///< attend to every position, for comparison
};

class CpuBackend : public Backend {
 public:
  /// Packs the weights; `weights` (and the mapped files under it) must outlive this, for the embedding. Throws Error(Usage) for options that
  /// make no sense, Error(Infrastructure) when the memory cannot be had.
  CpuBackend(const ModelWeights& weights, const CpuBackendOptions& options);
  ~CpuBackend() override;

  const ModelConfig& config() const override;
  CacheSize cache() const override;
  int max_tokens() const override;
  std::span<const float> forward(std::span<const SequenceStep> steps) override;
  void copy_page(std::int32_t from, std::int32_t to) override;
  void record_selections(Selections* into) override;
  std::string describe() const override;

  /// As record_selections(). It takes dense attention's time beside the sparse one's.
  void record_recall(AttentionRecall* into);

  /// What a step reads, and how many pairs of layer and routed expert the last forward() read.
  StepFootprint footprint() const;
  std::int64_t experts_touched() const;
  int threads() const;

  /// The cache of one layer, for tests: latent and rotary key [pages × 64, cache_dim]; index keys [pages × 64, index_dim].
  std::span<float> latents(int layer);
  std::span<float> index_keys(int layer);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
