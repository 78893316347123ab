#include "synth/additive.h"

namespace gauntlet {

std::vector<AdditiveTerm> split_value(const CompiledProblem& problem, int index, int sign, int functional) {
  const CompiledNode& node = problem.node(index);
  std::vector<AdditiveTerm> terms;
  const auto append = [&](int child, int child_sign) {
    for (auto& term : split_value(problem, child, child_sign, functional)) terms.push_back(term);
  };
  if (node.kind == NodeKind::Sum) {
    for (const int child : node.children) append(child, sign);
  } else if (node.kind == NodeKind::Difference) {
    append(node.children[0], sign);
    append(node.children[1], -sign);
  } else if (node.kind == NodeKind::Count) {
    for (const int child : node.children) terms.push_back({functional, child, sign, true});
  } else {
    terms.push_back({functional, index, sign, false});
  }
  return terms;
}

AdditiveConstraint split_additive(const CompiledProblem& problem, int index) {
  const CompiledNode& node = problem.node(index);
  AdditiveConstraint result{.node = index, .op = node.op, .bound = 0, .terms = {}};
  if (node.kind == NodeKind::AtLeast) {
    result.op = CompareOp::GreaterEqual;
    result.bound = node.at_least * kCellScale;
    for (const int child : node.children) result.terms.push_back({0, child, 1, true});
  } else if (node.kind == NodeKind::Compare) {
    result.terms = split_value(problem, node.children[0], 1, 0);
    for (auto& term : split_value(problem, node.children[1], -1, 0)) result.terms.push_back(term);
  }
  return result;
}

bool compare_cells(CompareOp op, Cell a, Cell b) {
  switch (op) {
    case CompareOp::Equal: return a == b;
    case CompareOp::NotEqual: return a != b;
    case CompareOp::Less: return a < b;
    case CompareOp::LessEqual: return a <= b;
    case CompareOp::Greater: return a > b;
    case CompareOp::GreaterEqual: return a >= b;
  }
  return false;
}

}  // namespace gauntlet
