#pragma once

// Sampling on the device: one token for each row of logits, as inference/sampling.h's Sampler does without penalties and masks: temperature,
// top-k, top-p, min-p, draw in the order of ids. Probabilities are fixed-point numbers of 40 bits below the best one's, so that sums are exact and
// the result does not depend on the order of threads.

#include "inference/cuda/types.h"
#include "inference/sampling.h"

namespace gauntlet::kernels {

/// What the kernel needs of SamplingParameters.
struct DrawRow {
  float temperature = 1.0f;     ///< 0: the best token, lowest id among equals
  float top_p = 1.0f;
  float min_p = 0.0f;
  std::int32_t top_k = 0;       ///< 0: all
  double uniform = 0.0;         ///< in [0, 1): the draw (uniform_draw of sampling.h)
};

struct DrawArgs {
  int rows = 0;
  int vocab = 0;
  const DrawRow* parameters = nullptr;    ///< [rows]
  const float* logits = nullptr;          ///< [rows, vocab]
  SampledToken* out = nullptr;            ///< [rows]; id -1 where no logit is finite
};

void draw(const DrawArgs& args, CudaStream stream);
void draw_ref(const DrawArgs& args);

}  // namespace gauntlet::kernels
