#include "verifiers/type_check.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

enum class Type { Number, Date, Boolean, Text };

constexpr std::array<std::string_view, 4> kTypeTexts = {"a number", "a date", "true or false", "a name or text"};
constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};

std::string_view text_of(Type type) { return kTypeTexts[static_cast<std::size_t>(type)]; }
bool has_order(Type type) { return type == Type::Number || type == Type::Date; }

std::string operand_path(const Node& node, std::size_t i, const std::string& path) {
  switch (node.kind) {
    case NodeKind::Sum: return fmt::format("{}/sum/{}", path, i);
    case NodeKind::Min: return fmt::format("{}/min/{}", path, i);
    case NodeKind::Max: return fmt::format("{}/max/{}", path, i);
    case NodeKind::Count: return fmt::format("{}/count/{}", path, i);
    case NodeKind::Difference: return fmt::format("{}/difference/{}", path, i);
    case NodeKind::Compare: return fmt::format("{}/{}/{}", path, kOperators[static_cast<std::size_t>(node.op)], i);
    case NodeKind::Member: return path + "/in/0";
    case NodeKind::AllDifferent: return fmt::format("{}/all_different/{}", path, i);
    case NodeKind::Link:
    case NodeKind::Linked: return fmt::format("{}/match/{}", path, node.match_columns[i]);
    case NodeKind::IfThenElse: return path + (i == 0 ? "/if" : i == 1 ? "/then" : "/else");
    case NodeKind::AllOf: return fmt::format("{}/all/{}", path, i);
    case NodeKind::AnyOf: return fmt::format("{}/any/{}", path, i);
    case NodeKind::AtLeast: return fmt::format("{}/of/{}", path, i);
    case NodeKind::Not: return path + "/not";
    default: return path;
  }
}

/// Where a node stands, put into words only for an error: every problem is checked, and few are refused.
struct Path {
  std::string root;
  const Path* parent = nullptr;  ///< null: it stands at `root`
  const Node* node = nullptr;    ///< what stands at the parent
  std::size_t operand = 0;       ///< which of its operands this is

  std::string text() const { return parent == nullptr ? root : operand_path(*node, operand, parent->text()); }
};

class Checker {
 public:
  Checker(const Problem& problem, const World& world) : problem_(problem), world_(world) {}

  void predicate(const Node& node, const Path& path) const {
    switch (node.kind) {
      case NodeKind::Compare: {
        const Type left = value(node, 0, path);
        expect(node, 1, path, left);
        if (node.op != CompareOp::Equal && node.op != CompareOp::NotEqual && !has_order(left)) {
          refuse(path, fmt::format("{} has no order; accepted: == and !=", text_of(left)));
        }
        return;
      }
      case NodeKind::Member: {
        const Type type = value(node, 0, path);
        for (std::size_t i = 0; i < node.members.size(); ++i) {
          const Type found = constant_type(node.members[i]);
          if (found != type) refuse(fmt::format("{}/in/1/{}", path.text(), i), fmt::format("expected {}, found {}", text_of(type), text_of(found)));
        }
        return;
      }
      case NodeKind::AllDifferent: {
        const Type type = value(node, 0, path);
        for (std::size_t i = 1; i < node.children.size(); ++i) expect(node, i, path, type);
        return;
      }
      case NodeKind::Linked: return match(node, path);
      default:
        for (std::size_t i = 0; i < node.children.size(); ++i) predicate(node.children[i], below(node, i, path));
    }
  }

  /// What can be minimised or maximised.
  void ordered(const Node& node, const Path& path) const {
    const Type type = value_at(node, path);
    if (!has_order(type)) refuse(path, fmt::format("{} has no order; accepted: a number or a date", text_of(type)));
  }

  void slot_rule(const SlotSpec& slot, const std::string& column, const std::string& target, std::size_t number) const {
    const Type left = column_type(slot.entity, column);
    const Type right = slot_type(*find(target));
    if (left != right) refuse(fmt::format("/slots/{}/within/{}", number, column), fmt::format("the column holds {}, the slot \"{}\" {}", text_of(left), target, text_of(right)));
  }

 private:
  [[noreturn]] static void refuse(const std::string& path, std::string_view what) {
    fail(ErrorKind::Input, fmt::format("{}: {}", path, what));
  }
  [[noreturn]] static void refuse(const Path& path, std::string_view what) { refuse(path.text(), what); }

  static Path below(const Node& node, std::size_t operand, const Path& path) { return {.root = {}, .parent = &path, .node = &node, .operand = operand}; }

  Type value(const Node& parent, std::size_t i, const Path& path) const {
    return value_at(parent.children[i], below(parent, i, path));
  }

  void expect(const Node& parent, std::size_t i, const Path& path, Type type) const {
    const Type found = value(parent, i, path);
    if (found != type) refuse(below(parent, i, path), fmt::format("expected {}, found {}", text_of(type), text_of(found)));
  }

  Type value_at(const Node& node, const Path& path) const {
    switch (node.kind) {
      case NodeKind::Const: return constant_type(node.constant);
      case NodeKind::SlotValue: return slot_type(*find(node.slot));
      case NodeKind::Attribute: return column_type(find(node.slot)->entity, node.column);
      case NodeKind::Link: {
        match(node, path);
        const Type type = column_type(node.table, node.column);
        if (node.aggregate == Aggregate::Sum && type != Type::Number) {
          refuse(path.text() + "/agg", fmt::format("{} has no sum; accepted: min or max", text_of(type)));
        }
        return type;
      }
      case NodeKind::Count:
        for (std::size_t i = 0; i < node.children.size(); ++i) predicate(node.children[i], below(node, i, path));
        return Type::Number;
      case NodeKind::Sum:
        for (std::size_t i = 0; i < node.children.size(); ++i) expect(node, i, path, Type::Number);
        return Type::Number;
      case NodeKind::Min:
      case NodeKind::Max:
      case NodeKind::Difference: {
        const Type type = value(node, 0, path);
        if (!has_order(type)) refuse(below(node, 0, path), fmt::format("expected a number or a date, found {}", text_of(type)));
        for (std::size_t i = 1; i < node.children.size(); ++i) expect(node, i, path, type);
        return node.kind == NodeKind::Difference ? Type::Number : type;
      }
      default: refuse(path, "expected a value, found a predicate");
    }
  }

  void match(const Node& node, const Path& path) const {
    for (std::size_t i = 0; i < node.children.size(); ++i) expect(node, i, path, column_type(node.table, node.match_columns[i]));
  }

  const SlotSpec* find(const std::string& id) const { return &problem_.slots[static_cast<std::size_t>(problem_.find_slot(id))]; }

  static Type constant_type(const Constant& constant) {
    constexpr std::array<Type, 4> kTypes = {Type::Number, Type::Date, Type::Boolean, Type::Text};  // in the order of ConstType
    return kTypes[static_cast<std::size_t>(constant.type)];
  }

  static Type slot_type(const SlotSpec& slot) {
    constexpr std::array<Type, 4> kTypes = {Type::Text, Type::Text, Type::Date, Type::Number};  // in the order of SlotDomain
    return kTypes[static_cast<std::size_t>(slot.domain)];
  }

  Type column_type(const std::string& table, const std::string& column) const {
    const WorldTable& data = world_.tables[static_cast<std::size_t>(world_.find_table(table))];
    switch (data.columns[static_cast<std::size_t>(data.find_column(column))].type) {
      case ColumnType::Integer:
      case ColumnType::Number: return Type::Number;
      case ColumnType::Date: return Type::Date;
      case ColumnType::Boolean: return Type::Boolean;
      default: return Type::Text;
    }
  }

  const Problem& problem_;
  const World& world_;
};

}  // namespace

void check_types(const Problem& problem, const World& world) {
  const Checker checker(problem, world);
  for (std::size_t i = 0; i < problem.slots.size(); ++i) {
    for (const auto& [column, target] : problem.slots[i].within) {
      checker.slot_rule(problem.slots[i], column, target, i);
    }
  }
  for (std::size_t i = 0; i < problem.constraints.size(); ++i) {
    checker.predicate(problem.constraints[i], {.root = "/constraints/" + std::to_string(i)});
  }
  if (problem.sense != ObjectiveSense::None) {
    checker.ordered(problem.objective, {.root = problem.sense == ObjectiveSense::Minimise ? "/objective/minimise" : "/objective/maximise"});
  }
}

}  // namespace gauntlet
