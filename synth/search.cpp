// find_answer of solver.h: one answer by depth-first search with propagation, each independent part on its own.

#include <algorithm>

#include "synth/propagation.h"
#include "synth/solver.h"

namespace gauntlet {
namespace {

class Finder {
 public:
  Finder(const CompiledProblem& problem, Rng& rng, const SearchOptions& options)
      : problem_(problem), evaluator_(problem), propagator_(evaluator_), trail_(evaluator_, propagator_.arena()), rng_(rng), options_(options) {}

  SearchResult run();

 private:
  bool search(std::vector<int> constraints, const SlotMask* changed, const SlotMask& open);
  bool objective_possible() const;

  const CompiledProblem& problem_;
  Evaluator evaluator_;
  Propagator propagator_;
  DomainTrail trail_;
  Rng& rng_;
  const SearchOptions& options_;
  std::int64_t nodes_ = 0;
  bool aborted_ = false;
};

bool Finder::objective_possible() const {
  if (!options_.optimum || problem_.objective() < 0) return true;
  const Range range = evaluator_.value(problem_.objective());
  return range.defined > 0 && range.low <= *options_.optimum && *options_.optimum <= range.high;
}

/// Leaves the domains assigned on success, restored on failure.
bool Finder::search(std::vector<int> constraints, const SlotMask* changed, const SlotMask& open) {
  if (++nodes_ > options_.max_nodes || (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed))) {
    aborted_ = true;
    return false;
  }
  const DomainTrail::Mark mark = trail_.save();
  bool good = propagator_.propagate(constraints, changed) && objective_possible();
  const SlotMask left = open & propagator_.open_mask();
  std::vector<SlotMask> joins;
  for (const int constraint : constraints) joins.push_back(problem_.node(constraint).slots);
  if (options_.optimum && problem_.objective() >= 0) joins.push_back(problem_.node(problem_.objective()).slots);
  for (const auto& group : good ? components(left, joins) : std::vector<SlotMask>{}) {
    std::vector<int> inside;
    for (const int constraint : constraints) {
      if ((problem_.node(constraint).slots & group).any()) inside.push_back(constraint);
    }
    const int slot = choose_slot(evaluator_, group, inside);
    const Domain domain = evaluator_.domain(slot);
    std::vector<SlotValue> order(domain.data, domain.data + domain.count);
    rng_.shuffle(order);
    if (options_.preference) {
      std::vector<std::pair<int, SlotValue>> ranked;
      for (const SlotValue value : order) ranked.emplace_back(options_.preference(slot, value), value);
      std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = ranked[i].second;
    }
    SlotMask chosen;
    chosen.set(static_cast<std::size_t>(slot));
    bool found = false;
    for (const SlotValue value : order) {
      evaluator_.assign(slot, value);
      found = search(inside, &chosen, group);
      if (found || aborted_) break;
    }
    if (!found) {
      good = false;
      break;
    }
  }
  good ? trail_.keep(mark) : trail_.restore(mark);
  return good;
}

SearchResult Finder::run() {
  SearchResult result;
  std::vector<int> constraints = problem_.atoms();
  if (!options_.atom_positions.empty()) {
    constraints.clear();
    for (const int position : options_.atom_positions) constraints.push_back(problem_.atoms()[static_cast<std::size_t>(position)]);
  }
  for (std::size_t i = 0; i < evaluator_.slot_count(); ++i) {
    if (evaluator_.domain(static_cast<int>(i)).count == 0) return result;
  }
  if (search(constraints, nullptr, propagator_.open_mask())) {
    result.answer.emplace();
    for (std::size_t i = 0; i < evaluator_.slot_count(); ++i) {
      result.answer->push_back(evaluator_.domain(static_cast<int>(i)).data[0]);
    }
  }
  result.complete = !aborted_;
  result.nodes = nodes_;
  return result;
}

}  // namespace

SearchResult find_answer(const CompiledProblem& problem, Rng& rng, const SearchOptions& options) {
  return Finder(problem, rng, options).run();
}

}  // namespace gauntlet
