#pragma once

// For tests of the CUDA backend against the reference: what it computed together with what it decided on the way.

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "inference/backend_case.h"
#include "inference/cuda/cuda_backend.h"
#include "inference/reference_model.h"

namespace gauntlet {

/// ‖found - expected‖ / ‖expected‖; infinite where something is not finite.
inline double relative_difference(std::span<const float> found, std::span<const float> expected) {
  REQUIRE(found.size() == expected.size());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) return INFINITY;
    error += (static_cast<double>(found[i]) - expected[i]) * (static_cast<double>(found[i]) - expected[i]);
    norm += static_cast<double>(expected[i]) * expected[i];
  }
  return std::sqrt(error / norm);
}

/// Logits of a backend with what it decided on the way.
struct Decided {
  std::vector<float> logits;
  Selections decisions;
};

inline Decided decide(CudaBackend& backend, std::span<const std::int32_t> ids) {
  Decided out;
  backend.record_selections(&out.decisions);
  out.logits = SequenceRun{backend, pages_from(0, 16)}.forward(ids);
  backend.record_selections(nullptr);
  return out;
}

/// The reference that follows those decisions. Which positions and which experts are chosen are steps of the function: where two
/// scores are as near as rounding, either choice is right and the outputs differ by far more than rounding. So choices and values are compared
/// apart from each other.
inline ForwardTrace following(const Selections& decisions) {
  ForwardTrace trace;
  const auto row = [](const std::vector<std::int32_t>& all, std::int64_t position, int width) {
    const auto values = std::span(all).subspan(static_cast<std::size_t>(position) * static_cast<std::size_t>(width), static_cast<std::size_t>(width));
    return Ids(values.begin(), std::find(values.begin(), values.end(), -1));
  };
  trace.forced_positions = [&decisions, row](int layer, std::int64_t position) { return row(decisions.layers[static_cast<std::size_t>(layer)], position, decisions.k); };
  trace.forced_experts = [&decisions, row](int layer, std::int64_t position) { return row(decisions.experts[static_cast<std::size_t>(layer)], position, decisions.experts_per_token); };
  return trace;
}

}  // namespace gauntlet
