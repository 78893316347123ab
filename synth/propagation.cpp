#include "synth/propagation.h"

#include <algorithm>
#include <array>

namespace gauntlet {

SlotValue* DomainArena::take(std::size_t count) {
  if (blocks_.empty()) blocks_.emplace_back(std::max(kBlock, count));
  if (used_ + count > blocks_[block_].size()) {
    ++block_;
    used_ = 0;
    if (block_ == blocks_.size()) {
      blocks_.emplace_back(std::max(kBlock, count));
    } else if (blocks_[block_].size() < count) {
      blocks_[block_].resize(count);
    }
  }
  SlotValue* data = blocks_[block_].data() + used_;
  used_ += count;
  return data;
}

SlotMask Propagator::open_mask() const {
  SlotMask open;
  for (std::size_t i = 0; i < evaluator_->slot_count(); ++i) open[i] = !evaluator_->assigned(static_cast<int>(i));
  return open;
}

SlotMask Propagator::open_slots(const CompiledNode& node) const {
  SlotMask open;
  for (std::size_t i = node.slots._Find_first(); i < node.slots.size(); i = node.slots._Find_next(i)) {
    open[i] = !evaluator_->assigned(static_cast<int>(i));
  }
  return open;
}

/// Appends what is still undecided of `constraint`; false if it cannot hold.
bool Propagator::simplify(int constraint, std::vector<int>& out) {
  const CompiledNode& node = evaluator_->problem().node(constraint);
  if (node.kind == NodeKind::AllOf) {
    for (const int child : node.children) {
      if (!simplify(child, out)) return false;
    }
    return true;
  }
  if (node.kind == NodeKind::IfThenElse) {
    const Truth condition = evaluator_->truth(node.children[0]);
    if (condition == Truth::True) return simplify(node.children[1], out);
    if (condition == Truth::False) return node.children.size() < 3 || simplify(node.children[2], out);
  }
  const Truth truth = evaluator_->truth(constraint);
  if (truth == Truth::Unknown) out.push_back(constraint);
  return truth != Truth::False;
}

Propagator::Narrowed Propagator::narrow(int constraint, int slot, bool& decided) {
  const Domain before = evaluator_->domain(slot);
  SlotValue* kept = arena_.take(static_cast<std::size_t>(before.count));
  std::int32_t count = 0;
  decided = true;
  const CompiledNode& node = evaluator_->problem().node(constraint);
  const bool plain_equality = node.kind == NodeKind::Compare && node.op == CompareOp::Equal;
  const CompiledNode* attribute = nullptr;
  Range wanted;
  if (plain_equality) {
    for (int side = 0; side < 2 && attribute == nullptr; ++side) {
      const CompiledNode& candidate = evaluator_->problem().node(node.children[static_cast<std::size_t>(side)]);
      if (candidate.kind != NodeKind::Attribute || candidate.slot != slot) continue;
      wanted = evaluator_->value(node.children[static_cast<std::size_t>(1 - side)]);
      if (wanted.fixed()) attribute = &candidate;
    }
  }
  if (attribute != nullptr && evaluator_->problem().completeness() == nullptr) {
    // The commonest case by far (a row must lie in an already chosen parent): one pass over the column.
    const auto& cells = evaluator_->problem()
                            .world()
                            .tables[static_cast<std::size_t>(attribute->table)]
                            .columns[static_cast<std::size_t>(attribute->column)]
                            .cells;
    for (std::int32_t i = 0; i < before.count; ++i) {
      if (cells[static_cast<std::size_t>(before.data[i])] == wanted.low) kept[count++] = before.data[i];
    }
  } else {
    for (std::int32_t i = 0; i < before.count; ++i) {
      evaluator_->assign(slot, before.data[i]);
      const Truth truth = evaluator_->truth(constraint);
      if (truth == Truth::False) continue;
      if (truth == Truth::Unknown) decided = false;
      kept[count++] = before.data[i];
    }
  }
  if (count == before.count) {
    evaluator_->restore_domain(slot, before);
    return Narrowed::Unchanged;
  }
  if (count > 0) evaluator_->set_domain(slot, {kept, static_cast<std::size_t>(count)});
  return count == 0 ? Narrowed::Empty : Narrowed::Changed;
}

bool Propagator::propagate(std::vector<int>& constraints) {
  std::vector<int> next;
  bool changed = true;
  while (changed) {
    changed = false;
    next.clear();
    for (const int constraint : constraints) {
      if (!simplify(constraint, next)) return false;
    }
    constraints.clear();
    for (const int constraint : next) {
      const SlotMask open = open_slots(evaluator_->problem().node(constraint));
      if (open.count() != 1) {
        constraints.push_back(constraint);
        continue;
      }
      bool decided = false;
      const Narrowed result = narrow(constraint, static_cast<int>(open._Find_first()), decided);
      if (result == Narrowed::Empty) return false;
      changed = changed || result == Narrowed::Changed;
      if (!decided) constraints.push_back(constraint);
    }
  }
  return true;
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
