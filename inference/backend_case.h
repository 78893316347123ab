#pragma once

// For tests: sequences on any backend, and how far apart its numbers are.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "inference/backend.h"
#include "inference/cpu/kernels.h"

namespace gauntlet {

using Ids = std::vector<std::int32_t>;

/// One sequence on pages of its own, in any physical order.
struct SequenceRun {
  Backend& backend;
  Ids pages;
  std::int64_t length = 0;

  SequenceStep step(std::span<const std::int32_t> ids, LogitsOf logits) {
    const SequenceStep out{.ids = ids, .start = length, .pages = pages, .logits = logits};
    length += static_cast<std::int64_t>(ids.size());
    return out;
  }
  std::vector<float> forward(std::span<const std::int32_t> ids, LogitsOf logits = LogitsOf::All) {
    const SequenceStep one = step(ids, logits);
    const auto rows = backend.forward({&one, 1});
    return {rows.begin(), rows.end()};
  }
};

inline Ids pages_from(int first, int count) {
  Ids out(static_cast<std::size_t>(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}

/// Infinite where something is not finite.
inline float largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::isfinite(a[i]) ? std::max(most, std::fabs(a[i] - b[i])) : INFINITY;
  return most;
}

/// Instruction sets of this processor that have kernels.
inline std::vector<Isa> available_isas() {
  std::vector<Isa> out = {Isa::Baseline};
  for (const Isa isa : {Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni}) {
    if (detect_isa() >= isa) out.push_back(isa);
  }
  return out;
}

}  // namespace gauntlet
