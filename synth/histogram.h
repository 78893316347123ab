#pragma once

// What the counting solver knows of a part of a problem: for each sum that its assignments reach, how many reach it, and the best objective
// among them.

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "synth/solver.h"

namespace gauntlet {

inline constexpr int kMaxFunctionals = 2;  ///< additive constraints carried as histogram keys

using Key = std::array<Cell, kMaxFunctionals>;

struct KeyHash {
  std::size_t operator()(const Key& key) const { return mix_seed(static_cast<std::uint64_t>(key[0]), static_cast<std::uint64_t>(key[1])); }
};

/// How many assignments share one key, and the best objective among them (only those that reach it are counted).
struct Tally {
  std::uint64_t count = 0;  ///< saturates at kCountCap
  double approximate = 0.0;
  Cell best = 0;
};

using Histogram = std::vector<std::pair<Key, Tally>>;  ///< sorted by key; empty: no assignment
using SharedHistogram = std::shared_ptr<const Histogram>;

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b);
std::uint64_t saturating_multiply(std::uint64_t a, std::uint64_t b);

/// Which of two tallies of one key counts.
struct Ranking {
  bool by_objective = false;  ///< only those with the best objective; else all
  bool minimise = true;

  bool worse(Cell a, Cell b) const { return minimise ? a > b : a < b; }
  void add(Tally& into, const Tally& from) const;
  /// Sorts by key and adds up the tallies of equal keys, in the order in which they were found.
  void gather(Histogram& entries) const;
};

}  // namespace gauntlet
