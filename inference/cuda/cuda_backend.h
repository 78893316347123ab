#pragma once

// The CUDA backend: bf16 products with float32 sums and a float32 residual stream, paged cache in bf16 or FP8, attention in the absorbed
// form over selected positions. Decoding steps are replayed as CUDA graphs.

#include <memory>
#include <optional>

#include "inference/backend.h"
#include "inference/cuda/types.h"
#include "inference/step_footprint.h"
#include "inference/weights.h"

namespace gauntlet {

struct CudaBackendOptions {
  int pages = 64;                         ///< of the cache, 64 tokens each
  int max_tokens = 512;                   ///< of one forward()
  CacheFormat cache = CacheFormat::Bf16;
  bool graphs = true;                     ///< off: every kernel is launched by itself. Same bits, but where batch_invariant (below) makes a difference
  bool dense_attention = false;           ///< attend to every position, for comparison
  /// Two: activations go into the layers' dense products and attention as two bf16 terms. What is still rounded to bf16: weights, cache, attention's
  /// probabilities, the indexer's queries, the routed experts' inputs and the head's. One: plain bf16.
  /// None: One for DeepSeek-V3.2's latents (512 + 64), which everybody runs so and which Hopper's kernels take; Two for all others.
  std::optional<kernels::ActivationTerms> terms;
  /// Attention cuts lists into parts of one length whatever else is in the pass, so that a row's bits depend on nothing but its own sequence. Off: into
  /// parts as long as is fastest for the number of tokens, where Hopper's kernels run; the portable kernels are invariant anyway.
  bool batch_invariant = false;
  /// Passes of at least so many tokens that hold whole sequences, none longer than the list of chosen positions, attend with keys and values of every
  /// head instead of latents, where there is a kernel for it (DeepSeek-V3.2's heads on Hopper, not batch_invariant). 0: never. Measured it is no slower
  /// from two tokens on (docs/performance.md); a few tokens gain nothing to speak of.
  int masked_from = 16;
  /// Passes of 64 tokens or more attend with queries in e4m3, one power of two for each head, over an FP8 cache (hopper/quantize_queries.h):
  /// Error(Usage) where there is no kernel for it (it takes DeepSeek-V3.2's latents, heads by 64, Hopper), and with batch_invariant, which it would break.
  bool fp8_queries = false;
};

class CudaBackend : public Backend {
 public:
  /// On the current device. Copies the weights: `weights` need not outlive this. Throws Error(Usage) for options or sizes that cannot be,
  /// Error(Infrastructure) without a device or memory.
  CudaBackend(const ModelWeights& weights, const CudaBackendOptions& options);
  ~CudaBackend() override;

  const ModelConfig& config() const override;
  CacheSize cache() const override;
  int max_tokens() const override;
  std::span<const float> forward(std::span<const SequenceStep> steps) override;
  bool can_draw() const override { return true; }
  DrawnRows forward_and_draw(std::span<const SequenceStep> steps, std::span<const RowWish> wishes) override;
  void copy_page(std::int32_t from, std::int32_t to) override;
  void record_selections(Selections* into) override;
  std::string describe() const override;

  StepFootprint footprint() const;
  /// Milliseconds that the device spent on replayed decoding steps since the start.
  double busy_ms() const;
  /// For tests: fills pages that nobody uses with NaN.
  void poison_page(std::int32_t page);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
