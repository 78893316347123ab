#include "inference/selection.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace gauntlet {
namespace {

/// A key that grows as (score, position) is chosen later: the score's order-reversing integer above, the position below.
std::uint64_t key_of(float score, std::uint32_t position) {
  std::uint32_t order = UINT32_MAX;  // NaN
  if (score == score) {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0f);  // -0 becomes +0
    const std::uint32_t ascending = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
    order = ~ascending;
  }
  return (static_cast<std::uint64_t>(order) << 32) | position;
}

}  // namespace

std::vector<std::int32_t> select_top_reference(std::span<const float> scores, int k) {
  std::vector<std::int32_t> positions(scores.size());
  std::iota(positions.begin(), positions.end(), 0);
  std::sort(positions.begin(), positions.end(), [&](std::int32_t a, std::int32_t b) { return chosen_before(scores[static_cast<std::size_t>(a)], a, scores[static_cast<std::size_t>(b)], b); });
  positions.resize(std::min(positions.size(), static_cast<std::size_t>(std::max(k, 0))));
  std::sort(positions.begin(), positions.end());
  return positions;
}

void select_top(std::span<const float> scores, int k, std::vector<std::uint64_t>& scratch, std::vector<std::int32_t>& out) {
  const std::size_t chosen = std::min(scores.size(), static_cast<std::size_t>(std::max(k, 0)));
  out.resize(chosen);
  if (chosen == scores.size()) {
    std::iota(out.begin(), out.end(), 0);
    return;
  }
  scratch.resize(scores.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scratch[i] = key_of(scores[i], static_cast<std::uint32_t>(i));
  std::nth_element(scratch.begin(), scratch.begin() + static_cast<std::ptrdiff_t>(chosen), scratch.end());
  for (std::size_t i = 0; i < chosen; ++i) out[i] = static_cast<std::int32_t>(scratch[i] & UINT32_MAX);
  std::sort(out.begin(), out.end());
}

}  // namespace gauntlet
