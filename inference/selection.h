#pragma once

// The exact choice of the positions that attention may read. Total order: higher score first, then lower position; -0 equals +0; NaN comes
// after everything. So the same scores give the same set whatever computes them.

#include <cstdint>
#include <span>
#include <vector>

namespace gauntlet {

/// True if position a (with its score) is chosen before position b.
inline bool chosen_before(float score_a, std::int32_t a, float score_b, std::int32_t b) {
  const bool nan_a = score_a != score_a, nan_b = score_b != score_b;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && score_a != score_b) return score_a > score_b;
  return a < b;
}

/// The min(k, n) first positions of [0, n) in the total order, returned in ascending order. By sorting: the oracle of faster ones.
std::vector<std::int32_t> select_top_reference(std::span<const float> scores, int k);

/// The same set in expected linear time, into `out` (ascending). `scratch` is reused between calls.
void select_top(std::span<const float> scores, int k, std::vector<std::uint64_t>& scratch, std::vector<std::int32_t>& out);

}  // namespace gauntlet
