#include "synth/histogram.h"

#include <algorithm>

namespace gauntlet {

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) { return std::min(kCountCap, a + b); }

std::uint64_t saturating_multiply(std::uint64_t a, std::uint64_t b) {
  if (a == 0 || b == 0) return 0;
  return a > kCountCap / b ? kCountCap : std::min(kCountCap, a * b);
}

void Ranking::add(Tally& into, const Tally& from) const {
  if (by_objective && from.best != into.best) {
    if (worse(into.best, from.best)) into = from;
    return;
  }
  into.count = saturating_add(into.count, from.count);
  into.approximate += from.approximate;
}

void Ranking::gather(Histogram& entries) const {
  if (entries.size() < 2) return;
  const auto by_key = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (!std::is_sorted(entries.begin(), entries.end(), by_key)) std::stable_sort(entries.begin(), entries.end(), by_key);
  std::size_t last = 0;
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].first == entries[last].first) {
      add(entries[last].second, entries[i].second);
    } else {
      entries[++last] = entries[i];
    }
  }
  entries.resize(last + 1);
}

}  // namespace gauntlet
