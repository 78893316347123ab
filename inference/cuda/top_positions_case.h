#pragma once

// Rows of scores of every awkward kind, for the tests of selections.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "inference/cuda/top_positions.h"

namespace gauntlet::kernels {

enum class ScoreKind {
  Random, Equal, TwoValues, FewValues, Close, Denormal, SignedZeros, MinusInfinity, Infinities, NaNs, AllNaN, Ascending, Descending, CutTies, IndexerLike, Normal
};

inline constexpr std::pair<ScoreKind, const char*> kScoreKinds[] = {
    {ScoreKind::Random, "random"},           {ScoreKind::Equal, "all equal"},          {ScoreKind::TwoValues, "two values"},  {ScoreKind::FewValues, "few values"},
    {ScoreKind::Close, "equal in their upper bits"}, {ScoreKind::Denormal, "denormals"}, {ScoreKind::SignedZeros, "signed zeros"}, {ScoreKind::MinusInfinity, "-inf"},
    {ScoreKind::Infinities, "infinities"},   {ScoreKind::NaNs, "some NaN"},            {ScoreKind::AllNaN, "all NaN"},        {ScoreKind::Ascending, "ascending"},
    {ScoreKind::Descending, "descending"},   {ScoreKind::CutTies, "ties at the cut"},  {ScoreKind::IndexerLike, "zeros and a tail"}, {ScoreKind::Normal, "normal"},
};

inline float make_score(Rng& rng, ScoreKind kind, int position, int count, int k) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto uniform = [&] { return static_cast<float>(rng.next() >> 40) * 0x1p-23f - 1.0f; };
  const float random = uniform();
  switch (kind) {
    case ScoreKind::Random: return random * 100.0f;
    case ScoreKind::Equal: return 1.25f;
    case ScoreKind::TwoValues: return random < 0 ? -3.0f : 2.0f;
    case ScoreKind::FewValues: return std::floor(random * 4.0f);
    case ScoreKind::Close: return 1.0f + std::fabs(random) * 0x1p-14f;
    case ScoreKind::Denormal: return random * 0x1p-130f;
    case ScoreKind::SignedZeros: return random < -0.5f ? -0.0f : random < 0.5f ? 0.0f : random < 0.75f ? -0x1p-149f : 0x1p-149f;
    case ScoreKind::MinusInfinity: return -kInfinity;
    case ScoreKind::Infinities: return random < -0.3f ? -kInfinity : random > 0.3f ? kInfinity : random;
    case ScoreKind::NaNs: return random < 0 ? std::copysign(NAN, random + 0.5f) : random;
    case ScoreKind::AllNaN: return NAN;
    case ScoreKind::Ascending: return static_cast<float>(position);
    case ScoreKind::Descending: return static_cast<float>(count - position);
    // Fewer than k are better, the rest equals or is worse.
    case ScoreKind::CutTies: return rng.below(static_cast<std::uint64_t>(count)) < static_cast<std::uint64_t>(k) / 2 ? 2.0f + random : random < 0.6f ? 0.5f : -1.0f;
    case ScoreKind::IndexerLike: return random < 0.2f ? 0.0f : random * random * random * random * 1000.0f;
    case ScoreKind::Normal: {
      float sum = random;
      for (int i = 0; i < 5; ++i) sum += uniform();
      return sum;
    }
  }
  return 0;
}

/// Rows of scores; what lies beyond a row's last candidate is +inf, which would win if it were looked at.
struct ScoreRows {
  int k = 0;
  std::vector<std::int32_t> last;
  std::vector<float> scores;
  std::int64_t stride = 0;

  int rows() const { return static_cast<int>(last.size()); }
  TopPositionsArgs args() const { return {.rows = rows(), .k = k, .last = last.data(), .scores = scores.data(), .score_stride = stride}; }
};

/// A row for each count of candidates.
inline ScoreRows make_score_rows(Rng& rng, ScoreKind kind, int k, const std::vector<int>& counts) {
  ScoreRows out;
  out.k = k;
  out.stride = (std::ranges::max(counts) + 3) / 4 * 4 + 8;
  out.scores.assign(counts.size() * static_cast<std::size_t>(out.stride), std::numeric_limits<float>::infinity());
  for (std::size_t r = 0; r < counts.size(); ++r) {
    out.last.push_back(counts[r] - 1);
    for (int p = 0; p < counts[r]; ++p) out.scores[r * static_cast<std::size_t>(out.stride) + static_cast<std::size_t>(p)] = make_score(rng, kind, p, counts[r], k);
  }
  return out;
}

inline std::vector<std::int32_t> chosen_reference(const ScoreRows& rows) {
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(rows.rows()) * static_cast<std::size_t>(rows.k));
  auto args = rows.args();
  args.chosen = chosen.data();
  top_positions_ref(args);
  return chosen;
}

}  // namespace gauntlet::kernels
