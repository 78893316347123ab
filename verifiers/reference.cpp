#include "verifiers/reference.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <unordered_map>
#include <variant>

namespace gauntlet {
namespace {

using Value = std::variant<Cell, std::string>;
using Maybe = std::optional<Value>;

/// Rows by name, for judging many answers in one world.
class RowNames {
 public:
  RowNames(const Problem& problem, const World& world) {
    for (const auto& slot : problem.slots) {
      if (slot.domain != SlotDomain::Entity || rows_.contains(slot.entity)) continue;
      auto& rows = rows_[slot.entity];
      for (const auto& table : world.tables) {
        if (table.name != slot.entity || table.key_column < 0) continue;
        const auto& cells = table.columns[static_cast<std::size_t>(table.key_column)].cells;
        for (std::size_t row = 0; row < table.rows; ++row) rows.emplace(world.symbols.text(static_cast<std::int32_t>(cells[row])), static_cast<int>(row));
      }
    }
  }
  int find(const std::string& entity, const std::string& key) const {
    const auto& rows = rows_.at(entity);
    const auto it = rows.find(key);
    return it == rows.end() ? -1 : it->second;
  }

 private:
  std::map<std::string, std::unordered_map<std::string, int>> rows_;
};

class Walker {
 public:
  /// What a slot holds, and the row of that name if it ranges over an entity.
  struct Held {
    const SlotSpec* slot = nullptr;
    Value value;
    int row = -1;
  };

  Walker(const Problem& problem, const World& world, const Json& answer, const RowNames* names = nullptr) : problem_(problem), world_(world), answer_(answer), names_(names) {}

  /// Every slot is present and names something; fills the look-up table of values.
  bool read() {
    for (const auto& slot : problem_.slots) {
      const Json* place = at(slot.path);
      if (place == nullptr || !read_slot(slot, *place)) return false;
    }
    return true;
  }

  /// Takes `given` for the slot's value; false if it is none.
  bool read_slot(const SlotSpec& slot, const Json& given) {
    Held held;
    held.slot = &slot;
    if (slot.domain == SlotDomain::Integers) {
      if (!given.is_number()) return false;
      const double number = given.get<double>();
      if (std::floor(number) != number || number < static_cast<double>(slot.from) || number > static_cast<double>(slot.to)) return false;
      held.value = static_cast<Cell>(number) * kCellScale;
    } else {
      if (!given.is_string()) return false;
      const auto text = given.get<std::string>();
      if (slot.domain == SlotDomain::Dates) {
        const auto days = parse_date(text);
        if (!days || *days < slot.from || *days > slot.to) return false;
        held.value = *days * kCellScale;
      } else if (slot.domain == SlotDomain::Texts) {
        if (std::find(slot.texts.begin(), slot.texts.end(), text) == slot.texts.end()) return false;
        held.value = text;
      } else {
        held.row = row_named(slot.entity, text);
        if (held.row < 0) return false;
        held.value = text;
      }
    }
    held_[slot.id] = std::move(held);
    return true;
  }

  const Held& held(const std::string& id) const { return held_.at(id); }
  void put_back(const std::string& id, Held held) { held_[id] = std::move(held); }

  /// Each slot's row lies where its `within` rules say.
  bool rows_lie_within() const {
    return std::all_of(held_.begin(), held_.end(), [&](const auto& entry) {
      const Held& held = entry.second;
      return std::all_of(held.slot->within.begin(), held.slot->within.end(), [&](const auto& rule) {
        return compare(CompareOp::Equal, cell(*table(held.slot->entity), rule.first, static_cast<std::size_t>(held.row)), held_.at(rule.second).value);
      });
    });
  }

  bool holds(const Node& node) const {
    const auto& children = node.children;
    switch (node.kind) {
      case NodeKind::Compare: return compare(node.op, value(children[0]), value(children[1]));
      case NodeKind::Member: {
        const Maybe found = value(children[0]);
        if (!found) return false;
        return std::any_of(node.members.begin(), node.members.end(), [&](const Constant& member) { return *found == constant(member); });
      }
      case NodeKind::AllDifferent: {
        std::vector<Value> seen;
        for (const auto& child : children) {
          const Maybe found = value(child);
          if (!found || std::find(seen.begin(), seen.end(), *found) != seen.end()) return false;
          seen.push_back(*found);
        }
        return true;
      }
      case NodeKind::Linked: return !rows(node).empty();
      case NodeKind::IfThenElse:
        if (holds(children[0])) return holds(children[1]);
        return children.size() < 3 || holds(children[2]);
      case NodeKind::AllOf: return count(children) == static_cast<int>(children.size());
      case NodeKind::AnyOf: return count(children) >= 1;
      case NodeKind::AtLeast: return count(children) >= node.at_least;
      case NodeKind::Not: return !holds(children[0]);
      default: return false;
    }
  }

  Maybe value(const Node& node) const {
    switch (node.kind) {
      case NodeKind::Const: return constant(node.constant);
      case NodeKind::SlotValue: return held_.at(node.slot).value;
      case NodeKind::Attribute: {
        const Held& held = held_.at(node.slot);
        return cell(*table(held.slot->entity), node.column, static_cast<std::size_t>(held.row));
      }
      case NodeKind::Count: return Value(count(node.children) * kCellScale);
      case NodeKind::Difference: {
        const Maybe a = value(node.children[0]);
        const Maybe b = value(node.children[1]);
        if (!a || !b) return std::nullopt;
        return Value(std::get<Cell>(*a) - std::get<Cell>(*b));
      }
      case NodeKind::Sum:
      case NodeKind::Min:
      case NodeKind::Max: {
        std::vector<Cell> found;
        for (const auto& child : node.children) {
          const Maybe one = value(child);
          if (!one) return std::nullopt;
          found.push_back(std::get<Cell>(*one));
        }
        return Value(fold(node.kind == NodeKind::Sum ? Aggregate::Sum : node.kind == NodeKind::Min ? Aggregate::Min : Aggregate::Max, found));
      }
      case NodeKind::Link: {
        std::vector<Cell> numbers;
        Maybe text;
        for (const std::size_t row : rows(node)) {
          const Maybe one = cell(*table(node.table), node.column, row);
          if (!one) return std::nullopt;
          if (std::holds_alternative<std::string>(*one)) {
            text = one;
          } else {
            numbers.push_back(std::get<Cell>(*one));
          }
        }
        if (text) return text;
        if (numbers.empty()) return std::nullopt;
        return Value(fold(node.aggregate, numbers));
      }
      default: return std::nullopt;
    }
  }

 private:
  /// The answer's value at a slot's path, a JSON pointer without escapes; null if it has none.
  const Json* at(std::string_view pointer) const {
    const Json* found = &answer_;
    while (found != nullptr && !pointer.empty()) {
      pointer.remove_prefix(1);
      const std::string_view token = pointer.substr(0, pointer.find('/'));
      pointer.remove_prefix(token.size());
      found = found->is_array() ? element(*found, token) : member(*found, token);
    }
    return found;
  }

  static const Json* element(const Json& array, std::string_view token) {
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), index);
    return error == std::errc() && end == token.data() + token.size() && index < array.size() ? &array[index] : nullptr;
  }

  static const Json* member(const Json& object, std::string_view token) {
    const auto it = object.find(std::string(token));
    return it == object.end() ? nullptr : &*it;
  }

  static Cell fold(Aggregate aggregate, const std::vector<Cell>& values) {
    Cell total = values.front();
    for (std::size_t i = 1; i < values.size(); ++i) {
      total = aggregate == Aggregate::Sum ? total + values[i] : aggregate == Aggregate::Min ? std::min(total, values[i]) : std::max(total, values[i]);
    }
    return total;
  }

  static Value constant(const Constant& c) { return c.type == ConstType::Text ? Value(c.text) : Value(c.number); }

  static bool compare(CompareOp op, const Maybe& a, const Maybe& b) {
    if (!a || !b || a->index() != b->index()) return false;
    switch (op) {
      case CompareOp::Equal: return *a == *b;
      case CompareOp::NotEqual: return *a != *b;
      case CompareOp::Less: return *a < *b;
      case CompareOp::LessEqual: return *a <= *b;
      case CompareOp::Greater: return *a > *b;
      case CompareOp::GreaterEqual: return *a >= *b;
    }
    return false;
  }

  int count(const std::vector<Node>& children) const {
    int holding = 0;
    for (const auto& child : children) holding += holds(child) ? 1 : 0;
    return holding;
  }

  const WorldTable* table(const std::string& name) const {
    for (const auto& candidate : world_.tables) {
      if (candidate.name == name) return &candidate;
    }
    return nullptr;
  }

  Maybe cell(const WorldTable& data, const std::string& name, std::size_t row) const {
    for (const auto& column : data.columns) {
      if (column.name != name) continue;
      const Cell found = column.cells[row];
      if (found == kUnknownCell) return std::nullopt;
      if (is_symbolic(column.type)) return Value(world_.symbols.text(static_cast<std::int32_t>(found)));
      return Value(found);
    }
    return std::nullopt;
  }

  int row_named(const std::string& entity, const std::string& key) const {
    if (names_ != nullptr) return names_->find(entity, key);
    const WorldTable* data = table(entity);
    if (data == nullptr || data->key_column < 0) return -1;
    const auto& column = data->columns[static_cast<std::size_t>(data->key_column)];
    for (std::size_t row = 0; row < data->rows; ++row) {
      if (world_.symbols.text(static_cast<std::int32_t>(column.cells[row])) == key) return static_cast<int>(row);
    }
    return -1;
  }

  std::vector<std::size_t> rows(const Node& node) const {
    std::vector<std::size_t> found;
    const WorldTable* data = table(node.table);
    std::vector<Maybe> wanted;
    for (const auto& child : node.children) wanted.push_back(value(child));
    for (std::size_t row = 0; data != nullptr && row < data->rows; ++row) {
      bool all = true;
      for (std::size_t i = 0; all && i < node.children.size(); ++i) {
        const Maybe have = cell(*data, node.match_columns[i], row);
        all = wanted[i] && have && *wanted[i] == *have;
      }
      if (all) found.push_back(row);
    }
    return found;
  }

  const Problem& problem_;
  const World& world_;
  const Json& answer_;
  const RowNames* names_;
  std::map<std::string_view, Held> held_;  ///< [slot id]
};

bool mentions(const Node& node, const std::string& slot) {
  if ((node.kind == NodeKind::SlotValue || node.kind == NodeKind::Attribute) && node.slot == slot) return true;
  return std::any_of(node.children.begin(), node.children.end(), [&](const Node& child) { return mentions(child, slot); });
}

}  // namespace

bool reference_holds(const Problem& problem, const World& world, const Json& answer) {
  Walker walker(problem, world, answer);
  if (!walker.read() || !walker.rows_lie_within()) return false;
  return std::all_of(problem.constraints.begin(), problem.constraints.end(), [&](const Node& node) { return walker.holds(node); });
}

std::optional<Cell> reference_objective(const Problem& problem, const World& world, const Json& answer) {
  return reference_value(problem, world, answer, problem.objective);
}

bool reference_predicate(const Problem& problem, const World& world, const Json& answer, const Node& node) {
  Walker walker(problem, world, answer);
  return walker.read() && walker.holds(node);
}

std::optional<Cell> reference_value(const Problem& problem, const World& world, const Json& answer, const Node& node) {
  Walker walker(problem, world, answer);
  if (!walker.read()) return std::nullopt;
  const Maybe found = walker.value(node);
  if (!found || !std::holds_alternative<Cell>(*found)) return std::nullopt;
  return std::get<Cell>(*found);
}

struct ReferenceMutants::Impl {
  const Problem& problem;
  RowNames names;
  Walker walker;
  std::vector<Node> rules;                        ///< the `within` rules
  std::vector<std::vector<const Node*>> touched;  ///< [slots] rules and constraints that mention it

  Impl(const Problem& given, const World& world, const Json& answer) : problem(given), names(given, world), walker(given, world, answer, &names), rules(within_constraints(given)) {}
};

ReferenceMutants::ReferenceMutants(const Problem& problem, const World& world, const Json& answer)
    : impl_(std::make_unique<Impl>(problem, world, answer)) {
  impl_->walker.read();
  for (const auto& slot : problem.slots) {
    auto& touched = impl_->touched.emplace_back();
    const std::vector<Node>* const lists[] = {&impl_->rules, &problem.constraints};
    for (const auto* list : lists) {
      for (const auto& node : *list) {
        if (mentions(node, slot.id)) touched.push_back(&node);
      }
    }
  }
}

ReferenceMutants::~ReferenceMutants() = default;

ReferenceMutants::Verdict ReferenceMutants::judge(std::size_t slot, const Json& value) {
  Walker& walker = impl_->walker;
  const SlotSpec& changed = impl_->problem.slots[slot];
  auto before = walker.held(changed.id);
  Verdict verdict;
  verdict.holds = walker.read_slot(changed, value) &&
                  std::all_of(impl_->touched[slot].begin(), impl_->touched[slot].end(), [&](const Node* node) { return walker.holds(*node); });
  if (verdict.holds && impl_->problem.sense != ObjectiveSense::None) {
    const Maybe found = walker.value(impl_->problem.objective);
    if (found && std::holds_alternative<Cell>(*found)) verdict.objective = std::get<Cell>(*found);
  }
  walker.put_back(changed.id, std::move(before));
  return verdict;
}

}  // namespace gauntlet
