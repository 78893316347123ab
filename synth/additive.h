#pragma once

// Sums as what the counting solver can split: a constraint or objective written as signed terms, each of which touches few slots.

#include <array>
#include <vector>

#include "verifiers/compiled.h"

namespace gauntlet {

/// One addend of functional `functional`: a value node, or a predicate that counts `kCellScale` where it holds.
struct AdditiveTerm {
  int functional = 0;
  int node = -1;
  int sign = 1;
  bool indicator = false;
};

/// Σ terms (+ offset) compared with `bound`.
struct AdditiveConstraint {
  int node = -1;             ///< the constraint it stands for
  CompareOp op = CompareOp::LessEqual;
  Cell bound = 0;
  std::vector<AdditiveTerm> terms;
};

/// Splits a Compare over sums, differences and counts, or an AtLeast, into terms; empty terms if `node` is of another shape.
AdditiveConstraint split_additive(const CompiledProblem& problem, int node);

/// The terms of a value (an objective).
std::vector<AdditiveTerm> split_value(const CompiledProblem& problem, int node, int sign, int functional);

bool compare_cells(CompareOp op, Cell a, Cell b);

}  // namespace gauntlet
