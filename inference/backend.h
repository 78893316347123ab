#pragma once

// What a device does for the engine: it holds the weights and the paged cache, and advances many sequences by some tokens at once.
// Two implementations: CpuBackend (inference/cpu) and CudaBackend (inference/cuda).

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "inference/model_config.h"
#include "inference/sampling.h"
#include "inference/selections.h"

namespace gauntlet {

inline constexpr int kPageTokens = 64;

/// Pages that so many tokens of one sequence take.
template <std::integral T>
constexpr T pages_for(T tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

enum class LogitsOf { None, Last, All };

/// One sequence's share of a forward pass. The cache already holds positions [0, start).
struct SequenceStep {
  std::span<const std::int32_t> ids;    ///< [tokens], at positions start, start + 1, …
  std::int64_t start = 0;
  std::span<const std::int32_t> pages;  ///< physical pages in the order of positions; they cover start + tokens
  LogitsOf logits = LogitsOf::Last;
};

/// What the cache was made with.
struct CacheSize {
  int pages = 0;
  std::size_t page_bytes = 0;           ///< all layers together
};

/// What becomes of one row of logits: a token is drawn where they are, or they are handed out.
struct RowWish {
  const SamplingParameters* draw = nullptr;  ///< temperature, top_k, top_p, min_p and seed count; penalties must be off. Null: the logits are wanted
  std::uint64_t step = 0;                    ///< how many tokens the request has sampled before
};

/// Valid until the backend's next forward.
struct DrawnRows {
  std::span<const SampledToken> tokens;      ///< [rows]; id -1 where no logit is finite, and where logits were wanted
  std::span<const float> logits;             ///< [rows with wanted logits, vocab]
};

/// Called from one thread at a time.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const ModelConfig& config() const = 0;
  virtual CacheSize cache() const = 0;
  /// The most tokens that one forward() takes, over all steps.
  virtual int max_tokens() const = 0;

  /// Writes the new tokens into the cache and returns the logits that were asked for, [rows, vocab], in the order of the steps and of their
  /// tokens; valid until the next forward. A row depends on its sequence alone: it is the same to the bit whatever else is in the batch and
  /// however its prompt was cut into chunks (CudaBackendOptions::batch_invariant tells the exception). Ids must lie in the vocabulary (Error(Internal)
  /// otherwise: callers check at their edge).
  virtual std::span<const float> forward(std::span<const SequenceStep> steps) = 0;

  /// True where forward_and_draw works: drawing beside the logits saves bringing them to the host.
  virtual bool can_draw() const { return false; }
  /// As forward(), then what each row's wish says; draws as Sampler::sample does without penalties and mask.
  virtual DrawnRows forward_and_draw(std::span<const SequenceStep> steps, std::span<const RowWish> wishes);

  /// Copies a page's contents, for a fork that goes on writing in a page that two sequences share.
  virtual void copy_page(std::int32_t from, std::int32_t to) = 0;

  /// From the next forward() on, appends what is decided for every new token to `into` (not owned); null: keeps none.
  virtual void record_selections(Selections* into) = 0;

  /// For run records: what results depend on (device, instruction set, number formats), and nothing else.
  virtual std::string describe() const = 0;
};

}  // namespace gauntlet
