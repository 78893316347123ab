#include "verifiers/evidence.h"

#include <algorithm>

namespace gauntlet {
namespace {

/// The `needed` children that hold with the fewest facts.
void collect_cheapest(const Evaluator& evaluator, const std::vector<int>& children, std::size_t needed, std::vector<Fact>& facts) {
  std::vector<std::vector<Fact>> options;
  for (const int child : children) {
    if (evaluator.truth(child) != Truth::True) continue;
    options.emplace_back();
    collect_facts(evaluator, child, options.back());
  }
  std::stable_sort(options.begin(), options.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  for (std::size_t i = 0; i < std::min(needed, options.size()); ++i) facts.insert(facts.end(), options[i].begin(), options[i].end());
}

}  // namespace

void collect_facts(const Evaluator& evaluator, int index, std::vector<Fact>& facts) {
  const CompiledNode& node = evaluator.problem().node(index);
  const auto collect_children = [&] {
    for (const int child : node.children) collect_facts(evaluator, child, facts);
  };
  switch (node.kind) {
    case NodeKind::Const:
    case NodeKind::SlotValue: return;
    case NodeKind::Attribute:
      facts.push_back({.table = node.table, .row = evaluator.domain(node.slot).data[0], .column = node.column, .index = -1, .cells = {}});
      return;
    case NodeKind::Link:
    case NodeKind::Linked: {
      collect_children();
      Fact fact{.table = node.table, .row = -1, .column = node.column, .index = node.index, .cells = {}};
      for (const int child : node.children) fact.cells.push_back(evaluator.value(child).low);
      facts.push_back(std::move(fact));
      return;
    }
    case NodeKind::AnyOf:
    case NodeKind::AtLeast:
      if (evaluator.truth(index) == Truth::True) {
        collect_cheapest(evaluator, node.children, node.kind == NodeKind::AnyOf ? 1 : static_cast<std::size_t>(node.at_least), facts);
      } else {
        collect_children();
      }
      return;
    case NodeKind::IfThenElse: {
      const Truth condition = evaluator.truth(node.children[0]);
      collect_facts(evaluator, node.children[0], facts);
      if (condition != Truth::False) collect_facts(evaluator, node.children[1], facts);
      if (condition != Truth::True && node.children.size() > 2) collect_facts(evaluator, node.children[2], facts);
      return;
    }
    default: collect_children();
  }
}

std::vector<Fact> facts_of_answer(const Evaluator& evaluator) {
  std::vector<Fact> facts;
  for (const int root : evaluator.problem().roots()) collect_facts(evaluator, root, facts);
  if (evaluator.problem().objective() >= 0) collect_facts(evaluator, evaluator.problem().objective(), facts);
  std::sort(facts.begin(), facts.end());
  facts.erase(std::unique(facts.begin(), facts.end()), facts.end());
  return facts;
}

}  // namespace gauntlet
