#include "synth/clique.h"

#include <algorithm>

namespace gauntlet {

std::optional<std::int32_t> candidates_of_clique(const Evaluator& evaluator, const SlotMask& group, const std::vector<int>& constraints) {
  const std::size_t size = group.count();
  if (size < 2 || constraints.size() != size * (size - 1) / 2) return std::nullopt;
  const CompiledProblem& problem = evaluator.problem();
  const std::size_t first = group._Find_first();
  const int table = problem.slots()[first].table;
  const Domain& candidates = evaluator.domain(static_cast<int>(first));
  if (table < 0) return std::nullopt;
  for (std::size_t slot = first; slot < group.size(); slot = group._Find_next(slot)) {
    const Domain& other = evaluator.domain(static_cast<int>(slot));
    const bool equal = problem.slots()[slot].table == table && other.count == candidates.count && std::equal(other.data, other.data + other.count, candidates.data);
    if (!equal) return std::nullopt;
  }
  // As many pairs as the group has, all of them of its slots and none twice: that is every pair.
  std::vector<std::pair<int, int>> pairs;
  for (const int constraint : constraints) {
    const CompiledNode& node = problem.node(constraint);
    if (node.kind != NodeKind::AllDifferent || node.children.size() != 2) return std::nullopt;
    const CompiledNode& a = problem.node(node.children[0]);
    const CompiledNode& b = problem.node(node.children[1]);
    if (a.kind != NodeKind::SlotValue || b.kind != NodeKind::SlotValue || a.slot == b.slot) return std::nullopt;
    if (!group[static_cast<std::size_t>(a.slot)] || !group[static_cast<std::size_t>(b.slot)]) return std::nullopt;
    pairs.emplace_back(std::minmax(a.slot, b.slot));
  }
  std::sort(pairs.begin(), pairs.end());
  if (std::adjacent_find(pairs.begin(), pairs.end()) != pairs.end()) return std::nullopt;
  return candidates.count;
}

}  // namespace gauntlet
