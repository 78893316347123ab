#include "synth/solver.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <unordered_map>

#include "synth/additive.h"
#include "synth/clique.h"
#include "synth/histogram.h"
#include "synth/propagation.h"

namespace gauntlet {
namespace {

constexpr int kObjective = kMaxFunctionals;
constexpr std::size_t kSortedPairs = 1024;  ///< up to so many sums are sorted rather than hashed

bool is_set(const CancelFlag* cancel) { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }

struct Combined {
  SharedHistogram a, b, result;  ///< the operands are kept alive, so that their addresses stay theirs
};

class Counter {
 public:
  Counter(const CompiledProblem& problem, const SolveOptions& options)
      : problem_(problem), evaluator_(problem), propagator_(evaluator_), trail_(evaluator_, propagator_.arena()), options_(options) {}

  SolveResult run();

 private:
  struct Part {
    std::vector<int> constraints;
    std::vector<AdditiveTerm> terms;
    SlotMask open;
    Key offset{};          ///< sums of the terms settled so far
    Cell objective = 0;
  };

  void pick_functionals(std::vector<int>& constraints);
  Histogram solve(Part part, const SlotMask* changed, bool memoised);
  Histogram split(const Part& part, const Key& offset, Cell objective, bool memoised);
  Histogram merge_parts(const std::vector<Part>& joined, const Histogram& base, bool memoised);
  Histogram branch(const Part& part, bool memoised);
  SharedHistogram remembered(const Part& part);
  bool settle_terms(Part& part, Key& offset, Cell& objective);
  std::string memo_key(const Part& part) const;
  SharedHistogram combine(const SharedHistogram& a, const SharedHistogram& b);
  std::optional<Tally> accept(const Histogram& a, const Histogram& b);
  bool accepted(const Key& key) const;
  bool can_improve() const;
  SolveResult finish(const Histogram& histogram) const;

  const CompiledProblem& problem_;
  Evaluator evaluator_;
  Propagator propagator_;
  DomainTrail trail_;
  const SolveOptions& options_;
  Ranking ranking_;
  std::vector<AdditiveConstraint> functionals_;
  std::unordered_map<std::string, SharedHistogram> memo_;
  std::map<std::pair<const Histogram*, const Histogram*>, Combined> combined_;
  std::optional<Cell> incumbent_;  ///< best objective reached at the top so far
  std::int64_t nodes_ = 0;
  bool aborted_ = false;
};

/// False when no assignment of the current domains can reach the best objective found so far.
bool Counter::can_improve() const {
  if (!ranking_.by_objective || !incumbent_) return true;
  const Range range = evaluator_.value(problem_.objective());
  return range.defined > 0 && (ranking_.minimise ? range.low <= *incumbent_ : range.high >= *incumbent_);
}

/// Takes out of `constraints` up to kMaxFunctionals additive ones that would otherwise join many slots.
void Counter::pick_functionals(std::vector<int>& constraints) {
  std::vector<std::pair<std::size_t, std::size_t>> wide;  // slots touched, position
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    const AdditiveConstraint split = split_additive(problem_, constraints[i]);
    const std::size_t touched = problem_.node(constraints[i]).slots.count();
    if (split.terms.size() >= 3 && touched >= 3) wide.emplace_back(touched, i);
  }
  std::sort(wide.rbegin(), wide.rend());
  if (wide.size() > kMaxFunctionals) wide.resize(kMaxFunctionals);
  std::sort(wide.begin(), wide.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [touched, position] : wide) {
    AdditiveConstraint split = split_additive(problem_, constraints[position]);
    for (auto& term : split.terms) term.functional = static_cast<int>(functionals_.size());
    functionals_.push_back(std::move(split));
    constraints.erase(constraints.begin() + static_cast<std::ptrdiff_t>(position));
  }
}

SolveResult Counter::run() {
  Part part;
  if (options_.atom_positions.empty()) {
    part.constraints = problem_.atoms();
  } else {
    for (const int position : options_.atom_positions) {
      part.constraints.push_back(problem_.atoms()[static_cast<std::size_t>(position)]);
    }
  }
  ranking_.by_objective = problem_.objective() >= 0 && !options_.ignore_objective;
  ranking_.minimise = problem_.problem().sense != ObjectiveSense::Maximise;
  if (ranking_.by_objective) part.terms = split_value(problem_, problem_.objective(), 1, kObjective);
  pick_functionals(part.constraints);
  for (const auto& functional : functionals_) {
    part.terms.insert(part.terms.end(), functional.terms.begin(), functional.terms.end());
  }
  for (std::size_t i = 0; i < evaluator_.slot_count(); ++i) {
    if (evaluator_.domain(static_cast<int>(i)).count == 0) return finish({});
  }
  part.open = propagator_.open_mask();
  // Sums that join the parts prune better while they are one piece.
  propagator_.narrow_within(functionals_.empty() && !ranking_.by_objective);
  return finish(solve(std::move(part), nullptr, false));
}

/// Adds the terms whose slots are all decided to the offset and drops them. False where a term is undefined: then neither the
/// comparison nor the objective holds.
bool Counter::settle_terms(Part& part, Key& offset, Cell& objective) {
  std::size_t left = 0;
  for (const auto term : part.terms) {
    if (propagator_.open_slots(problem_.node(term.node)).any()) {
      part.terms[left++] = term;
      continue;
    }
    Cell amount = 0;
    if (term.indicator) {
      amount = evaluator_.truth(term.node) == Truth::True ? kCellScale : 0;
    } else {
      const Range range = evaluator_.value(term.node);
      if (!range.fixed()) return false;
      amount = range.low;
    }
    (term.functional == kObjective ? objective : offset[static_cast<std::size_t>(term.functional)]) += term.sign * amount;
  }
  part.terms.resize(left);
  return true;
}

/// `changed` as in Propagator::propagate().
Histogram Counter::solve(Part part, const SlotMask* changed, bool memoised) {
  if (++nodes_ > options_.max_nodes || is_set(options_.cancel)) {
    aborted_ = true;
    return {};
  }
  const DomainTrail::Mark mark = trail_.save();

  Histogram result;
  Key offset = part.offset;
  Cell objective = part.objective;
  bool possible = propagator_.propagate(part.constraints, changed) && settle_terms(part, offset, objective);
  // The running bound of an additive constraint may only prune where the result is not shared with other surroundings.
  for (std::size_t i = 0; possible && !memoised && i < functionals_.size(); ++i) {
    possible = evaluator_.truth(functionals_[i].node) != Truth::False;
  }
  possible = possible && (memoised || can_improve());
  if (possible) {
    part.open &= propagator_.open_mask();
    result = split(part, offset, objective, memoised);
  }
  trail_.restore(mark);
  return result;
}

/// Solves the independent groups of what is left. Inside a remembered component the partial sums are returned; at the top, where
/// nothing else is undecided, only the tally of what the additive constraints accept.
Histogram Counter::split(const Part& part, const Key& offset, Cell objective, bool memoised) {
  std::vector<SlotMask> joins;
  for (const int constraint : part.constraints) joins.push_back(problem_.node(constraint).slots);
  for (const auto& term : part.terms) joins.push_back(problem_.node(term.node).slots);
  auto groups = components(part.open, joins);
  std::sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a._Find_first() < b._Find_first(); });
  std::vector<Part> joined;  // groups that some constraint or term touches; the others only multiply
  bool one_piece = true;
  Tally scale{1, 1.0, 0};
  for (const auto& group : groups) {
    Part sub{.constraints = {}, .terms = {}, .open = group, .offset = {}, .objective = 0};
    for (const int constraint : part.constraints) {
      if ((problem_.node(constraint).slots & group).any()) sub.constraints.push_back(constraint);
    }
    for (const auto& term : part.terms) {
      if ((problem_.node(term.node).slots & group).any()) sub.terms.push_back(term);
    }
    const auto clique = sub.terms.empty() ? candidates_of_clique(evaluator_, group, sub.constraints) : std::nullopt;
    if (!clique && (!sub.constraints.empty() || !sub.terms.empty())) {
      joined.push_back(std::move(sub));
      continue;
    }
    one_piece = one_piece && !clique;
    // A single slot is free, or each slot of a clique has one candidate fewer than the one before.
    const std::int32_t candidates = clique ? *clique : evaluator_.domain(static_cast<int>(group._Find_first())).count;
    for (std::int32_t taken = 0; taken < static_cast<std::int32_t>(group.count()); ++taken) {
      const auto size = static_cast<std::uint64_t>(std::max(0, candidates - taken));
      scale.count = saturating_multiply(scale.count, size);
      scale.approximate *= static_cast<double>(size);
    }
  }
  if (scale.count == 0) return {};

  Histogram result;
  if (!memoised && one_piece && joined.size() == 1) {
    joined[0].offset = offset;
    joined[0].objective = objective;
    result = branch(joined[0], false);  // Still one piece: the top stays the top.
  } else {
    result = merge_parts(joined, {{offset, Tally{1, 1.0, objective}}}, memoised);
  }
  for (auto& [key, tally] : result) {
    tally.count = saturating_multiply(tally.count, scale.count);
    tally.approximate *= scale.approximate;
  }
  return result;
}

/// Solves each part on its own and joins the results with `base`, the one entry of what is settled.
Histogram Counter::merge_parts(const std::vector<Part>& joined, const Histogram& base, bool memoised) {
  std::vector<SharedHistogram> parts;
  for (const auto& sub : joined) {
    parts.push_back(remembered(sub));
    if (parts.back()->empty()) return {};
  }
  const bool neutral = base[0].first == Key{} && base[0].second.best == 0;
  SharedHistogram folded = std::make_shared<const Histogram>(base);
  const std::size_t fold = memoised || parts.empty() ? parts.size() : parts.size() - 1;
  for (std::size_t i = 0; i < fold; ++i) folded = i == 0 && neutral ? parts[0] : combine(folded, parts[i]);
  if (memoised) return *folded;
  const Histogram unit = {{Key{}, Tally{1, 1.0, 0}}};
  const auto tally = accept(*folded, parts.empty() ? unit : *parts.back());
  if (tally && ranking_.by_objective && (!incumbent_ || ranking_.worse(*incumbent_, tally->best))) incumbent_ = tally->best;
  return tally ? Histogram{{Key{}, *tally}} : Histogram{};
}

Histogram Counter::branch(const Part& part, bool memoised) {
  const int slot = choose_slot(evaluator_, part.open, part.constraints);
  const Domain domain = evaluator_.domain(slot);
  SlotMask changed;
  changed.set(static_cast<std::size_t>(slot));
  Histogram result;
  for (std::int32_t i = 0; i < domain.count && !aborted_; ++i) {
    evaluator_.assign(slot, domain.data[i]);
    const Histogram found = solve(part, &changed, memoised);
    result.insert(result.end(), found.begin(), found.end());
  }
  evaluator_.restore_domain(slot, domain);
  ranking_.gather(result);
  return result;
}

/// A component's result depends on its domains, its constraints and terms, and the decided slots that those mention.
std::string Counter::memo_key(const Part& part) const {
  std::string key;
  const auto add = [&key](const void* data, std::size_t size) { key.append(static_cast<const char*>(data), size); };
  SlotMask mentioned;
  for (const int constraint : part.constraints) {
    add(&constraint, sizeof constraint);
    mentioned |= problem_.node(constraint).slots;
  }
  for (const auto& term : part.terms) {
    const std::array<int, 3> id = {term.functional, term.node, term.sign};
    add(id.data(), sizeof id);
    mentioned |= problem_.node(term.node).slots;
  }
  for (const int slot : slots_of(mentioned | part.open)) {
    const Domain& domain = evaluator_.domain(slot);
    const std::array<std::int32_t, 2> head = {slot, domain.count};
    add(head.data(), sizeof head);
    add(domain.data, static_cast<std::size_t>(domain.count) * sizeof(SlotValue));
  }
  return key;
}

SharedHistogram Counter::remembered(const Part& part) {
  std::string key = memo_key(part);
  const auto known = memo_.find(key);
  if (known != memo_.end()) return known->second;
  auto result = std::make_shared<const Histogram>(branch(part, true));
  if (!aborted_) memo_.emplace(std::move(key), result);
  return result;
}

bool Counter::accepted(const Key& key) const {
  for (std::size_t i = 0; i < functionals_.size(); ++i) {
    if (!compare_cells(functionals_[i].op, key[i], functionals_[i].bound)) return false;
  }
  return true;
}

/// All sums of one key from each side. Prefixes of the groups come back again and again while later slots vary, hence the cache.
SharedHistogram Counter::combine(const SharedHistogram& a, const SharedHistogram& b) {
  const auto known = combined_.find({a.get(), b.get()});
  if (known != combined_.end()) return known->second.result;
  nodes_ += static_cast<std::int64_t>(a->size() * b->size()) / 64;
  const bool few = a->size() * b->size() <= kSortedPairs;
  Histogram result;
  std::unordered_map<Key, Tally, KeyHash> merged;  // Of many pairs most have equal keys, and a list of all would be long.
  for (const auto& [x_key, x] : *a) {
    if (nodes_ > options_.max_nodes || is_set(options_.cancel)) {
      aborted_ = true;
      break;
    }
    for (const auto& [y_key, y] : *b) {
      const Tally tally{.count = saturating_multiply(x.count, y.count), .approximate = x.approximate * y.approximate, .best = x.best + y.best};
      const Key key = {x_key[0] + y_key[0], x_key[1] + y_key[1]};
      if (few) {
        result.emplace_back(key, tally);
        continue;
      }
      const auto [it, fresh] = merged.try_emplace(key, tally);
      if (!fresh) ranking_.add(it->second, tally);
    }
  }
  result.insert(result.end(), merged.begin(), merged.end());
  ranking_.gather(result);
  auto shared = std::make_shared<const Histogram>(std::move(result));
  if (a->size() > 1 && b->size() > 1 && !aborted_) combined_.emplace(std::pair{a.get(), b.get()}, Combined{a, b, shared});
  return shared;
}

/// The tally of all pairs whose summed keys the additive constraints accept.
std::optional<Tally> Counter::accept(const Histogram& a, const Histogram& b) {
  std::optional<Tally> total;
  nodes_ += static_cast<std::int64_t>(a.size() * b.size()) / 256;
  for (const auto& [x_key, x] : a) {
    for (const auto& [y_key, y] : b) {
      if (!functionals_.empty() && !accepted({x_key[0] + y_key[0], x_key[1] + y_key[1]})) continue;
      const Tally tally{.count = saturating_multiply(x.count, y.count), .approximate = x.approximate * y.approximate, .best = x.best + y.best};
      if (total) {
        ranking_.add(*total, tally);
      } else {
        total = tally;
      }
    }
  }
  return total;
}

SolveResult Counter::finish(const Histogram& histogram) const {
  SolveResult result;
  double approximate = 0.0;
  if (!histogram.empty()) {
    const Tally& tally = histogram.front().second;
    result.count = tally.count;
    approximate = tally.approximate;
    if (ranking_.by_objective && !aborted_) result.optimum = tally.best;
  }
  result.complete = !aborted_;
  result.exact = result.complete && result.count < kCountCap;
  result.log10_count = approximate > 0.0 ? std::log10(approximate) : -1.0;
  result.nodes = nodes_;
  return result;
}

}  // namespace

SolveResult solve(const CompiledProblem& problem, const SolveOptions& options) {
  return Counter(problem, options).run();
}

}  // namespace gauntlet
