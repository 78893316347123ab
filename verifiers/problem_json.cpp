// to_json of problem.h: the canonical JSON form of problems, which parse_problem reads back to the same bytes.

#include <array>

#include "verifiers/problem.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};
constexpr std::array<std::string_view, 3> kAggregates = {"min", "max", "sum"};

Json to_json(const Constant& constant, bool bare) {
  Json literal;
  if (constant.type == ConstType::Text) {
    literal = constant.text;
  } else if (constant.type == ConstType::Boolean) {
    literal = constant.number != 0;
  } else if (constant.type == ConstType::Date) {
    return {{"const", format_date(constant.number / kCellScale)}, {"type", "date"}};
  } else if (constant.number % kCellScale == 0) {
    literal = constant.number / kCellScale;
  } else {
    literal = static_cast<double>(constant.number) / static_cast<double>(kCellScale);
  }
  return bare ? literal : Json{{"const", literal}};
}

Json to_json(const SlotSpec& slot) {
  Json out = {{"id", slot.id}, {"path", slot.path}};
  if (!slot.group.empty()) out["group"] = slot.group;
  out["noun"] = slot.noun;
  switch (slot.domain) {
    case SlotDomain::Entity:
      out["entity"] = slot.entity;
      break;
    case SlotDomain::Texts:
      out["texts"] = slot.texts;
      break;
    case SlotDomain::Dates:
      out["dates"] = {{"from", format_date(slot.from)}, {"to", format_date(slot.to)}};
      break;
    case SlotDomain::Integers:
      out["integers"] = {{"from", slot.from}, {"to", slot.to}};
      break;
  }
  for (const auto& [column, target] : slot.within) out["within"][column] = target;
  return out;
}

/// {key: value}. The value is moved in, where an initialiser list would copy the whole tree once a level.
Json form(std::string_view key, Json value) {
  Json out = Json::object();
  out[std::string(key)] = std::move(value);
  return out;
}

Json children_json(const Node& node) {
  Json out = Json::array();
  for (const auto& child : node.children) out.push_back(to_json(child));
  return out;
}

Json match_json(const Node& node) {
  Json out = Json::object();
  for (std::size_t i = 0; i < node.children.size(); ++i) out[node.match_columns[i]] = to_json(node.children[i]);
  return out;
}

}  // namespace

Json to_json(const Node& node) {
  switch (node.kind) {
    case NodeKind::Const:
      return to_json(node.constant, false);
    case NodeKind::SlotValue:
      return {{"slot", node.slot}};
    case NodeKind::Attribute:
      return {{"attr", node.column}, {"of", node.slot}};
    case NodeKind::Link:
      return {{"link", node.table},
              {"match", match_json(node)},
              {"attr", node.column},
              {"agg", kAggregates[static_cast<std::size_t>(node.aggregate)]}};
    case NodeKind::Sum:
      return form("sum", children_json(node));
    case NodeKind::Min:
      return form("min", children_json(node));
    case NodeKind::Max:
      return form("max", children_json(node));
    case NodeKind::Count:
      return form("count", children_json(node));
    case NodeKind::Difference:
      return form("difference", children_json(node));
    case NodeKind::Compare:
      return form(kOperators[static_cast<std::size_t>(node.op)], children_json(node));
    case NodeKind::Member: {
      Json members = Json::array();
      for (const auto& member : node.members) members.push_back(to_json(member, true));
      return {{"in", Json::array({to_json(node.children[0]), members})}};
    }
    case NodeKind::AllDifferent:
      return form("all_different", children_json(node));
    case NodeKind::Linked:
      return {{"linked", node.table}, {"match", match_json(node)}};
    case NodeKind::IfThenElse: {
      Json out = form("if", to_json(node.children[0]));
      out["then"] = to_json(node.children[1]);
      if (node.children.size() > 2) out["else"] = to_json(node.children[2]);
      return out;
    }
    case NodeKind::AllOf:
      return form("all", children_json(node));
    case NodeKind::AnyOf:
      return form("any", children_json(node));
    case NodeKind::AtLeast: {
      Json out = form("at_least", node.at_least);
      out["of"] = children_json(node);
      return out;
    }
    case NodeKind::Not:
      return form("not", to_json(node.children[0]));
  }
  return nullptr;
}

Json to_json(const Problem& problem) {
  Json slots = Json::array();
  for (const auto& slot : problem.slots) slots.push_back(to_json(slot));
  Json constraints = Json::array();
  for (const auto& node : problem.constraints) constraints.push_back(to_json(node));
  Json out = form("slots", std::move(slots));
  out["constraints"] = std::move(constraints);
  if (problem.sense != ObjectiveSense::None) out["objective"] = form(problem.sense == ObjectiveSense::Minimise ? "minimise" : "maximise", to_json(problem.objective));
  return out;
}

}  // namespace gauntlet
