#pragma once

// Exact solving of a compiled problem: enumeration with propagation, and factorisation into parts that no undecided constraint joins.
// Sums, counts and at-least-n that only join otherwise independent parts are carried as histograms of partial sums, so they need no
// enumeration across parts. Counts are exact up to kCountCap; past it, or past the node limit, they are lower bounds and say so.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/chat_model.h"
#include "core/rng.h"
#include "verifiers/compiled.h"

namespace gauntlet {

inline constexpr std::uint64_t kCountCap = 1'000'000'000'000'000'000ULL;

struct SolveOptions {
  std::int64_t max_nodes = 3'000'000;  ///< search nodes and histogram entries made
  /// Only these of CompiledProblem::atoms() (by position); empty: all. Used to measure how much the clauses cut away.
  std::vector<int> atom_positions;
  bool ignore_objective = false;
  const CancelFlag* cancel = nullptr;  ///< once set, the search ends as at its node limit
};

struct SolveResult {
  std::uint64_t count = 0;          ///< correct answers; with an objective, optimal ones
  bool exact = true;                ///< false: `count` is a lower bound
  double log10_count = 0.0;         ///< estimate that does not saturate; -inf-like -1 when count is 0
  bool complete = true;             ///< the search was exhausted (with count 0: proof that there is no solution)
  std::optional<Cell> optimum;      ///< best objective value in thousandths; only when complete
  std::int64_t nodes = 0;
};

/// Over a partly observed world, what is not observed counts as holding (values that sums need must be known).
SolveResult solve(const CompiledProblem& problem, const SolveOptions& options = {});

struct SearchOptions {
  std::int64_t max_nodes = 200'000;
  std::optional<Cell> optimum;      ///< accept only answers whose objective reaches it
  std::vector<int> atom_positions;  ///< as in SolveOptions
  /// Lower is tried first; ties in random order. Empty: all ties.
  std::function<int(int slot, SlotValue value)> preference;
  const CancelFlag* cancel = nullptr;  ///< as in SolveOptions
};

struct SearchResult {
  std::optional<std::vector<SlotValue>> answer;  ///< [slots]
  bool complete = true;             ///< without an answer: true is proof that there is none, false that the limit was reached
  std::int64_t nodes = 0;
};

/// One answer, in an order drawn from `rng`. Over a partly observed world the answer may still rest on facts that are not observed: it
/// is one that nothing observed so far contradicts.
SearchResult find_answer(const CompiledProblem& problem, Rng& rng, const SearchOptions& options = {});

}  // namespace gauntlet
