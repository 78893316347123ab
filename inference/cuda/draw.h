#pragma once

// Sampling on the device: one token for each row of logits, as inference/sampling.h's Sampler does without penalties and masks: temperature,
// top-k, top-p, min-p, draw in the order of ids. Probabilities are fixed-point numbers of 40 bits below the best one's, so that sums are exact and
// the result does not depend on the order of threads.

#include "inference/cuda/types.h"
#include "inference/sampling.h"
#include "inference/token_mass.h"

namespace gauntlet::kernels {

/// What the kernel needs of SamplingParameters.
struct DrawRow {
  float temperature = 1.0f;     ///< 0: the best token, lowest id among equals
  float top_p = 1.0f;
  float min_p = 0.0f;
  std::int32_t top_k = 0;       ///< 0: all
  double uniform = 0.0;         ///< in [0, 1): the draw (uniform_draw of sampling.h)
};

/// What was drawn, and what its log-probability needs (mass_logprob of token_mass.h).
struct DrawnRow {
  std::int32_t id = -1;         ///< -1 where no logit is finite
  float value = 0.0f;           ///< its logit
  float best = 0.0f;            ///< the largest logit
  std::int32_t none = 0;        ///< no hole in the struct: tests compare bytes
  std::uint64_t total = 0;      ///< of all masses at temperature 1

  SampledToken token() const { return id < 0 ? SampledToken{} : SampledToken{.id = id, .logprob = mass_logprob(value, best, total)}; }
};

/// Sums of masses stay below 2^63.
inline constexpr int kMostDrawVocab = 1 << 23;

struct DrawArgs {
  int rows = 0;
  int vocab = 0;
  const DrawRow* parameters = nullptr;    ///< [rows]
  const float* logits = nullptr;          ///< [rows, vocab]
  DrawnRow* out = nullptr;                ///< [rows]
};

void draw(const DrawArgs& args, CudaStream stream);
void draw_ref(const DrawArgs& args);

}  // namespace gauntlet::kernels
