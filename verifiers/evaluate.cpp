// Evaluation of compiled nodes over domains (the Evaluator of compiled.h).

#include <algorithm>
#include <array>
#include <numeric>

#include "verifiers/compiled.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxMatchColumns = 8;

Truth negate(Truth truth) {
  return truth == Truth::Unknown ? truth : truth == Truth::True ? Truth::False : Truth::True;
}

Truth from_bool(bool value) { return value ? Truth::True : Truth::False; }

Truth compare_ranges(CompareOp op, const Range& a, const Range& b) {
  switch (op) {
    case CompareOp::Less:
      return a.high < b.low ? Truth::True : a.low >= b.high ? Truth::False : Truth::Unknown;
    case CompareOp::LessEqual:
      return a.high <= b.low ? Truth::True : a.low > b.high ? Truth::False : Truth::Unknown;
    case CompareOp::Greater: return compare_ranges(CompareOp::Less, b, a);
    case CompareOp::GreaterEqual: return compare_ranges(CompareOp::LessEqual, b, a);
    case CompareOp::Equal:
      if (a.low == a.high && b.low == b.high) return from_bool(a.low == b.low);
      return a.high < b.low || b.high < a.low ? Truth::False : Truth::Unknown;
    case CompareOp::NotEqual: return negate(compare_ranges(CompareOp::Equal, a, b));
  }
  return Truth::Unknown;
}

/// A predicate that needs its operands defined: false where they never are, not certain where they only may be.
Truth where_defined(Truth truth, std::uint8_t defined) {
  if (defined == 0) return Truth::False;
  return defined == 1 && truth == Truth::True ? Truth::Unknown : truth;
}

Cell clamp_sum(Cell a, Cell b) { return std::clamp(a + b, kLowest, kHighest); }

}  // namespace

Truth compare_values(CompareOp op, const Range& a, const Range& b) {
  return where_defined(compare_ranges(op, a, b), std::min(a.defined, b.defined));
}

Evaluator::Evaluator(const CompiledProblem& problem) : problem_(&problem) {
  const std::size_t count = problem.slots().size();
  domains_.resize(count);
  single_.resize(count);
  full_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    full_[i].resize(static_cast<std::size_t>(problem.slots()[i].size));
    std::iota(full_[i].begin(), full_[i].end(), 0);
  }
  cache_.resize(problem.nodes().size());
  reset();
}

void Evaluator::reset() {
  for (std::size_t i = 0; i < domains_.size(); ++i) set_domain(static_cast<int>(i), full_[i]);
}

void Evaluator::set_domain(int slot, std::span<const SlotValue> values) {
  domains_[static_cast<std::size_t>(slot)] = {
      .data = values.data(), .count = static_cast<std::int32_t>(values.size()), .version = next_version_++};
  open_[static_cast<std::size_t>(slot)] = values.size() != 1;
}

void Evaluator::assign(int slot, SlotValue value) {
  auto& storage = single_[static_cast<std::size_t>(slot)];
  storage = value;
  set_domain(slot, {&storage, 1});
}

void Evaluator::assign_all(std::span<const SlotValue> values) {
  for (std::size_t i = 0; i < values.size(); ++i) assign(static_cast<int>(i), values[i]);
}

Range Evaluator::attribute(const CompiledNode& node, int index) const {
  const Domain& candidates = domain(node.slot);
  const auto& cells = problem_->world().tables[static_cast<std::size_t>(node.table)].columns[static_cast<std::size_t>(node.column)].cells;
  const bool partial = problem_->completeness() != nullptr;
  if (candidates.count == 1) {
    return cell_range(cells[static_cast<std::size_t>(candidates.data[0])]);
  }
  Cached& cached = cache_[static_cast<std::size_t>(index)];
  if (cached.version == candidates.version) return cached.range;
  Range range{kHighest, kLowest, 2};
  bool some_undefined = false;
  for (std::int32_t i = 0; i < candidates.count; ++i) {
    const Cell cell = cells[static_cast<std::size_t>(candidates.data[i])];
    if (cell == kUnknownCell) {
      some_undefined = true;
    } else {
      range.low = std::min(range.low, cell);
      range.high = std::max(range.high, cell);
    }
  }
  if (some_undefined) {
    if (partial || range.low > range.high) range = {kLowest, kHighest, 1};
    range.defined = 1;
  }
  cached = {.version = candidates.version, .range = range};
  return range;
}

std::span<const std::int32_t> Evaluator::matching(const CompiledNode& node, bool& settled, bool& never) const {
  std::array<Cell, kMaxMatchColumns> cells{};
  settled = true;
  never = false;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const Range range = value(node.children[i]);
    if (range.defined == 0) never = true;
    if (!range.fixed()) settled = false;
    cells[i] = range.low;
  }
  if (never || !settled) return {};
  const std::span<const Cell> key(cells.data(), node.children.size());
  if (problem_->completeness() != nullptr) {
    const LookupIndex& index = problem_->indexes()[static_cast<std::size_t>(node.index)];
    settled = problem_->completeness()->rows_known(index.table, index.columns, key);
  }
  return problem_->lookup(node.index, key);
}

Range Evaluator::value(int index) const {
  const CompiledNode& node = problem_->node(index);
  switch (node.kind) {
    case NodeKind::Const: return {node.constant, node.constant, 2};
    case NodeKind::Attribute: return attribute(node, index);
    case NodeKind::SlotValue: {
      const Domain& candidates = domain(node.slot);
      if (candidates.count == 1) {
        const Cell cell = problem_->slot_cell(node.slot, candidates.data[0]);
        return {cell, cell, 2};
      }
      Cached& cached = cache_[static_cast<std::size_t>(index)];
      if (cached.version == candidates.version) return cached.range;
      Range range{kHighest, kLowest, 2};
      for (std::int32_t i = 0; i < candidates.count; ++i) {
        const Cell cell = problem_->slot_cell(node.slot, candidates.data[i]);
        range.low = std::min(range.low, cell);
        range.high = std::max(range.high, cell);
      }
      cached = {.version = candidates.version, .range = range};
      return range;
    }
    case NodeKind::Link: {
      bool settled = false;
      bool never = false;
      const auto rows = matching(node, settled, never);
      if (never) return {0, 0, 0};
      if (!settled) return {kLowest, kHighest, 1};
      if (rows.empty()) return {0, 0, 0};
      const auto& cells = problem_->world().tables[static_cast<std::size_t>(node.table)].columns[static_cast<std::size_t>(node.column)].cells;
      Cell result = node.aggregate == Aggregate::Min ? kHighest : node.aggregate == Aggregate::Max ? kLowest : 0;
      for (const auto row : rows) {
        const Cell cell = cells[static_cast<std::size_t>(row)];
        if (cell == kUnknownCell) return {kLowest, kHighest, static_cast<std::uint8_t>(problem_->completeness() != nullptr ? 1 : 0)};
        result = node.aggregate == Aggregate::Min   ? std::min(result, cell)
                 : node.aggregate == Aggregate::Max ? std::max(result, cell)
                                                    : clamp_sum(result, cell);
      }
      return {result, result, 2};
    }
    case NodeKind::Count: {
      Range range{0, 0, 2};
      for (const int child : node.children) {
        const Truth holds = truth(child);
        if (holds == Truth::True) range.low += kCellScale;
        if (holds != Truth::False) range.high += kCellScale;
      }
      return range;
    }
    case NodeKind::Sum:
    case NodeKind::Min:
    case NodeKind::Max: {
      Range range = value(node.children[0]);
      for (std::size_t i = 1; i < node.children.size(); ++i) {
        const Range next = value(node.children[i]);
        range.defined = std::min(range.defined, next.defined);
        if (node.kind == NodeKind::Sum) {
          range.low = clamp_sum(range.low, next.low);
          range.high = clamp_sum(range.high, next.high);
        } else if (node.kind == NodeKind::Min) {
          range.low = std::min(range.low, next.low);
          range.high = std::min(range.high, next.high);
        } else {
          range.low = std::max(range.low, next.low);
          range.high = std::max(range.high, next.high);
        }
      }
      return range;
    }
    case NodeKind::Difference: {
      const Range a = value(node.children[0]);
      const Range b = value(node.children[1]);
      return {clamp_sum(a.low, -b.high), clamp_sum(a.high, -b.low), std::min(a.defined, b.defined)};
    }
    default: return {0, 0, 0};
  }
}

Truth Evaluator::compare(const CompiledNode& node) const {
  return compare_values(node.op, value(node.children[0]), value(node.children[1]));
}

/// Sound test that two slots of one table have no candidate in common.
bool Evaluator::disjoint(int a, int b) const {
  const Domain& x = domain(a);
  const Domain& y = domain(b);
  if (x.count == 0 || y.count == 0) return true;
  if (x.data[x.count - 1] < y.data[0] || y.data[y.count - 1] < x.data[0]) return true;
  std::int32_t i = 0;
  std::int32_t j = 0;
  while (i < x.count && j < y.count) {
    if (x.data[i] == y.data[j]) return false;
    x.data[i] < y.data[j] ? ++i : ++j;
  }
  return true;
}

/// Whether two operands of all-different are equal, told from the slots' candidates where both are rows of one table.
Truth Evaluator::differ(int left, int right) const {
  const CompiledNode& a = problem_->node(left);
  const CompiledNode& b = problem_->node(right);
  if (a.kind == NodeKind::SlotValue && b.kind == NodeKind::SlotValue && a.slot != b.slot) {
    const int table = problem_->slots()[static_cast<std::size_t>(a.slot)].table;
    if (table >= 0 && table == problem_->slots()[static_cast<std::size_t>(b.slot)].table) {
      if (assigned(a.slot) && assigned(b.slot)) return from_bool(domain(a.slot).data[0] != domain(b.slot).data[0]);
      return disjoint(a.slot, b.slot) ? Truth::True : Truth::Unknown;
    }
  }
  const Range x = value(left);
  const Range y = value(right);
  return where_defined(compare_ranges(CompareOp::NotEqual, x, y), std::min(x.defined, y.defined));
}

Truth Evaluator::all_different(const CompiledNode& node) const {
  bool certain = true;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    for (std::size_t j = i + 1; j < node.children.size(); ++j) {
      const Truth different = differ(node.children[i], node.children[j]);
      if (different == Truth::False) return different;
      certain = certain && different == Truth::True;
    }
  }
  return certain ? Truth::True : Truth::Unknown;
}

Truth Evaluator::truth(int index) const {
  const CompiledNode& node = problem_->node(index);
  switch (node.kind) {
    case NodeKind::Compare: return compare(node);
    case NodeKind::AllDifferent: return all_different(node);
    case NodeKind::Member: {
      const Range a = value(node.children[0]);
      bool possible = false;
      for (const Cell member : node.members) {
        if (a.low == a.high && a.low == member) return where_defined(Truth::True, a.defined);
        possible = possible || (a.low <= member && member <= a.high);
      }
      return possible && a.defined > 0 ? Truth::Unknown : Truth::False;
    }
    case NodeKind::Linked: {
      bool settled = false;
      bool never = false;
      const auto rows = matching(node, settled, never);
      if (never) return Truth::False;
      if (!rows.empty()) return Truth::True;
      return settled ? Truth::False : Truth::Unknown;
    }
    case NodeKind::Not: return negate(truth(node.children[0]));
    case NodeKind::IfThenElse: {
      const Truth condition = truth(node.children[0]);
      const Truth otherwise = condition == Truth::True ? Truth::True : node.children.size() > 2 ? truth(node.children[2]) : Truth::True;
      if (condition == Truth::False) return otherwise;
      const Truth then = truth(node.children[1]);
      if (condition == Truth::True) return then;
      return then == otherwise ? then : Truth::Unknown;
    }
    case NodeKind::AllOf:
    case NodeKind::AnyOf:
    case NodeKind::AtLeast: {
      int certain = 0;
      int possible = 0;
      for (const int child : node.children) {
        const Truth holds = truth(child);
        if (node.kind == NodeKind::AllOf && holds == Truth::False) return Truth::False;
        if (node.kind == NodeKind::AnyOf && holds == Truth::True) return Truth::True;
        certain += holds == Truth::True ? 1 : 0;
        possible += holds != Truth::False ? 1 : 0;
      }
      const int needed = node.kind == NodeKind::AllOf   ? static_cast<int>(node.children.size())
                         : node.kind == NodeKind::AnyOf ? 1
                                                        : node.at_least;
      return certain >= needed ? Truth::True : possible < needed ? Truth::False : Truth::Unknown;
    }
    default: return Truth::Unknown;
  }
}

}  // namespace gauntlet
