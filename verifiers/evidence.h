#pragma once

// Which facts of the world a verdict rests on: what an agent must have seen to know that its answer is right.

#include <vector>

#include "verifiers/compiled.h"

namespace gauntlet {

/// A cell of a slot's row (`row` >= 0), or a look-up in a relation (`row` == -1, `index` and `cells` set).
struct Fact {
  int table = -1;
  int row = -1;
  int column = -1;
  int index = -1;
  std::vector<Cell> cells;

  auto operator<=>(const Fact&) const = default;
};

/// Adds the facts that settle `node` under a full assignment: of alternatives (any, at-least-n) only as many as are needed, the
/// cheapest ones; of a conditional the condition and the branch that applies. Where the truth is still unknown, everything that it
/// may depend on.
void collect_facts(const Evaluator& evaluator, int node, std::vector<Fact>& facts);

/// collect_facts over all constraints (and the objective), sorted, each fact once.
std::vector<Fact> facts_of_answer(const Evaluator& evaluator);

}  // namespace gauntlet
