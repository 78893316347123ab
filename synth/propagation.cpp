#include "synth/propagation.h"

#include <algorithm>
#include <array>

namespace gauntlet {

SlotValue* DomainArena::take(std::size_t count) {
  const auto block = [](std::size_t size) { return Block{.data = std::make_unique_for_overwrite<SlotValue[]>(size), .size = size}; };
  if (blocks_.empty()) blocks_.push_back(block(std::max(kBlock, count)));
  if (used_ + count > blocks_[block_].size) {
    ++block_;
    used_ = 0;
    if (block_ == blocks_.size()) {
      blocks_.push_back(block(std::max(kBlock, count)));
    } else if (blocks_[block_].size < count) {
      blocks_[block_] = block(count);  // Nothing of it is in use: blocks are released in the order taken.
    }
  }
  SlotValue* data = blocks_[block_].data.get() + used_;
  used_ += count;
  return data;
}

DomainTrail::Mark DomainTrail::save() {
  const Mark mark{.at = saved_.size(), .arena = arena_->mark()};
  for (std::size_t i = 0; i < evaluator_->slot_count(); ++i) saved_.push_back(evaluator_->domain(static_cast<int>(i)));
  return mark;
}

void DomainTrail::restore(const Mark& mark) {
  for (std::size_t i = 0; i < evaluator_->slot_count(); ++i) {
    evaluator_->restore_domain(static_cast<int>(i), saved_[mark.at + i]);
  }
  saved_.resize(mark.at);
  arena_->release(mark.arena);
}

/// Adds what is still undecided of `constraint`; false if it cannot hold.
bool Propagator::simplify(int constraint) {
  const CompiledNode& node = evaluator_->problem().node(constraint);
  if (node.kind == NodeKind::AllOf) {
    for (const int child : node.children) {
      if (!simplify(child)) return false;
    }
    return true;
  }
  if (node.kind == NodeKind::IfThenElse) {
    const Truth condition = evaluator_->truth(node.children[0]);
    if (condition == Truth::True) return simplify(node.children[1]);
    if (condition == Truth::False) return node.children.size() < 3 || simplify(node.children[2]);
  }
  const Truth truth = evaluator_->truth(constraint);
  if (truth == Truth::Unknown) undecided_.push_back({.constraint = constraint, .as_before = false});
  return truth != Truth::False;
}

/// Keeps the candidates of `slot` whose attribute may compare as `node` asks; false if `node` is no comparison of one with something else.
/// The other side's value is the same for all of them.
bool Propagator::narrow_by_attribute(const CompiledNode& node, int slot, Kept& kept) const {
  if (node.kind != NodeKind::Compare) return false;
  const CompiledProblem& problem = evaluator_->problem();
  for (const std::size_t side : {0U, 1U}) {
    const CompiledNode& own = problem.node(node.children[side]);
    const int other = node.children[1 - side];
    if (own.kind != NodeKind::Attribute || own.slot != slot || problem.node(other).slots[static_cast<std::size_t>(slot)]) continue;
    const Range wanted = evaluator_->value(other);
    const auto& cells = problem.world().tables[static_cast<std::size_t>(own.table)].columns[static_cast<std::size_t>(own.column)].cells;
    const Domain& domain = evaluator_->domain(slot);
    for (std::int32_t i = 0; i < domain.count; ++i) {
      const Range found = evaluator_->cell_range(cells[static_cast<std::size_t>(domain.data[i])]);
      kept.add(domain.data[i], side == 0 ? compare_values(node.op, found, wanted) : compare_values(node.op, wanted, found));
    }
    return true;
  }
  return false;
}

/// The same for two rows of one table that have to differ, one of them decided.
bool Propagator::narrow_by_difference(const CompiledNode& node, int slot, Kept& kept) const {
  if (node.kind != NodeKind::AllDifferent || node.children.size() != 2) return false;
  const CompiledProblem& problem = evaluator_->problem();
  const CompiledNode& a = problem.node(node.children[0]);
  const CompiledNode& b = problem.node(node.children[1]);
  if (a.kind != NodeKind::SlotValue || b.kind != NodeKind::SlotValue || a.slot == b.slot) return false;
  const auto table_of = [&](const CompiledNode& side) { return problem.slots()[static_cast<std::size_t>(side.slot)].table; };
  const int other = a.slot == slot ? b.slot : a.slot;
  if (table_of(a) < 0 || table_of(a) != table_of(b) || !evaluator_->assigned(other)) return false;
  const SlotValue taken = evaluator_->domain(other).data[0];
  const Domain& domain = evaluator_->domain(slot);
  for (std::int32_t i = 0; i < domain.count; ++i) kept.add(domain.data[i], domain.data[i] == taken ? Truth::False : Truth::True);
  return true;
}

Propagator::Narrowed Propagator::narrow(int constraint, int slot, bool& decided) {
  const Domain before = evaluator_->domain(slot);
  Kept kept{.values = arena_.take(static_cast<std::size_t>(before.count))};
  const CompiledNode& node = evaluator_->problem().node(constraint);
  // The two commonest forms by far need no evaluation of the whole node for each candidate.
  if (!narrow_by_attribute(node, slot, kept) && !narrow_by_difference(node, slot, kept)) {
    for (std::int32_t i = 0; i < before.count; ++i) {
      evaluator_->assign(slot, before.data[i]);
      kept.add(before.data[i], evaluator_->truth(constraint));
    }
  }
  decided = kept.decided;
  return use(slot, before, kept);
}

Propagator::Narrowed Propagator::use(int slot, const Domain& before, const Kept& kept) {
  if (kept.count == before.count) {
    evaluator_->restore_domain(slot, before);
    return Narrowed::Unchanged;
  }
  if (kept.count > 0) evaluator_->set_domain(slot, {kept.values, static_cast<std::size_t>(kept.count)});
  return kept.count == 0 ? Narrowed::Empty : Narrowed::Changed;
}

/// Where `node` asks that the attribute of one open slot's row is the row of another: the rows of the first that lie within none of the
/// candidates of the other go. `slot`: the one narrowed.
Propagator::Narrowed Propagator::narrow_contained(const CompiledNode& node, int& slot) {
  if (node.kind != NodeKind::Compare || node.op != CompareOp::Equal) return Narrowed::Unchanged;
  const CompiledProblem& problem = evaluator_->problem();
  const bool swapped = problem.node(node.children[0]).kind == NodeKind::SlotValue;
  const CompiledNode& inner = problem.node(node.children[swapped ? 1 : 0]);
  const CompiledNode& outer = problem.node(node.children[swapped ? 0 : 1]);
  if (inner.kind != NodeKind::Attribute || outer.kind != NodeKind::SlotValue || inner.slot == outer.slot) return Narrowed::Unchanged;
  const Domain& around = evaluator_->domain(outer.slot);
  if (around.count == problem.slots()[static_cast<std::size_t>(outer.slot)].size) return Narrowed::Unchanged;
  outer_.clear();
  for (std::int32_t i = 0; i < around.count; ++i) outer_.push_back(problem.slot_cell(outer.slot, around.data[i]));
  std::sort(outer_.begin(), outer_.end());
  const auto& cells = problem.world().tables[static_cast<std::size_t>(inner.table)].columns[static_cast<std::size_t>(inner.column)].cells;
  slot = inner.slot;
  const Domain before = evaluator_->domain(slot);
  Kept kept{.values = arena_.take(static_cast<std::size_t>(before.count))};
  for (std::int32_t i = 0; i < before.count; ++i) {
    const Cell cell = cells[static_cast<std::size_t>(before.data[i])];
    // What is not known may lie anywhere.
    const bool possible = cell == kUnknownCell || std::binary_search(outer_.begin(), outer_.end(), cell);
    kept.add(before.data[i], possible ? Truth::Unknown : Truth::False);
  }
  return use(slot, before, kept);
}

bool Propagator::propagate(std::vector<int>& constraints, const SlotMask* changed) {
  bool all = changed == nullptr;
  SlotMask touched = all ? SlotMask() : *changed;
  while (true) {
    undecided_.clear();
    for (const int constraint : constraints) {
      if (!all && (evaluator_->problem().node(constraint).slots & touched).none()) {
        undecided_.push_back({.constraint = constraint, .as_before = true});
      } else if (!simplify(constraint)) {
        return false;
      }
    }
    constraints.clear();
    all = false;
    touched.reset();
    for (const auto& [constraint, as_before] : undecided_) {
      const SlotMask open = open_slots(evaluator_->problem().node(constraint));
      const std::size_t first = open._Find_first();
      const bool one_open = first < open.size() && open._Find_next(first) == open.size();
      if (as_before || !one_open) {
        constraints.push_back(constraint);
        int inner = -1;
        const Narrowed result = as_before || !within_ || open.none() ? Narrowed::Unchanged : narrow_contained(evaluator_->problem().node(constraint), inner);
        if (result == Narrowed::Empty) return false;
        if (result == Narrowed::Changed) touched.set(static_cast<std::size_t>(inner));
        continue;
      }
      bool decided = false;
      const Narrowed result = narrow(constraint, static_cast<int>(first), decided);
      if (result == Narrowed::Empty) return false;
      if (result == Narrowed::Changed) touched.set(first);
      if (!decided) constraints.push_back(constraint);
    }
    if (touched.none()) return true;
  }
}

std::vector<SlotMask> components(const SlotMask& open, const std::vector<SlotMask>& joins) {
  std::vector<SlotMask> groups;
  SlotMask covered;
  for (const auto& join : joins) {
    SlotMask group = join & open;
    if (group.none()) continue;
    covered |= group;
    for (std::size_t i = groups.size(); i-- > 0;) {
      if ((groups[i] & group).none()) continue;
      group |= groups[i];
      groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(i));
    }
    groups.push_back(group);
  }
  const SlotMask alone = open & ~covered;
  for (std::size_t i = alone._Find_first(); i < alone.size(); i = alone._Find_next(i)) {
    groups.emplace_back();
    groups.back().set(i);
  }
  return groups;
}

int choose_slot(const Evaluator& evaluator, const SlotMask& open, const std::vector<int>& constraints) {
  std::array<int, kMaxSlots> weight{};
  for (const int constraint : constraints) {
    const CompiledNode& node = evaluator.problem().node(constraint);
    const SlotMask touched = node.slots & open;
    for (std::size_t i = touched._Find_first(); i < touched.size(); i = touched._Find_next(i)) ++weight[i];
    if (node.kind == NodeKind::Compare && node.op == CompareOp::Equal) {
      // "This row lies in that one": deciding the outer slot first lets the inner ones fall apart.
      for (const int side : {0, 1}) {
        const CompiledNode& outer = evaluator.problem().node(node.children[static_cast<std::size_t>(side)]);
        const CompiledNode& inner = evaluator.problem().node(node.children[static_cast<std::size_t>(1 - side)]);
        if (outer.kind == NodeKind::SlotValue && inner.kind == NodeKind::Attribute && outer.slot != inner.slot) weight[static_cast<std::size_t>(outer.slot)] += 8;
      }
    }
    if (node.kind != NodeKind::IfThenElse) continue;
    const SlotMask condition = evaluator.problem().node(node.children[0]).slots & open;
    for (std::size_t i = condition._Find_first(); i < condition.size(); i = condition._Find_next(i)) weight[i] += 8;
  }
  int best = -1;
  for (std::size_t i = open._Find_first(); i < open.size(); i = open._Find_next(i)) {
    const int slot = static_cast<int>(i);
    // Fewest values for each constraint touched: a slot that many constraints mention is no gain if it has many values.
    const auto cost = [&](int candidate, int other) {
      return static_cast<std::int64_t>(evaluator.domain(candidate).count) * (weight[static_cast<std::size_t>(other)] + 1);
    };
    if (best < 0 || cost(slot, best) < cost(best, slot)) best = slot;
  }
  return best;
}

std::vector<int> slots_of(const SlotMask& mask) {
  std::vector<int> slots;
  for (std::size_t i = mask._Find_first(); i < mask.size(); i = mask._Find_next(i)) slots.push_back(static_cast<int>(i));
  return slots;
}

}  // namespace gauntlet
