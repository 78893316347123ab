#include "verifiers/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/error.h"

namespace gauntlet {
namespace {

CompareOp mirrored(CompareOp op) {
  switch (op) {
    case CompareOp::Less: return CompareOp::Greater;
    case CompareOp::LessEqual: return CompareOp::GreaterEqual;
    case CompareOp::Greater: return CompareOp::Less;
    case CompareOp::GreaterEqual: return CompareOp::LessEqual;
    default: return op;
  }
}

bool is_compound_value(const Node& node) {
  return node.kind == NodeKind::Sum || node.kind == NodeKind::Min || node.kind == NodeKind::Max || node.kind == NodeKind::Count ||
         node.kind == NodeKind::Difference;
}

/// The words with which both texts begin.
std::string common_words(const std::string& a, const std::string& b) {
  std::size_t words = 0;
  for (std::size_t i = 0; i <= std::min(a.size(), b.size()); ++i) {
    const bool end_a = i == a.size() || a[i] == ' ';
    const bool end_b = i == b.size() || b[i] == ' ';
    if (end_a && end_b) words = i;
    if (i == a.size() || i == b.size() || a[i] != b[i]) break;
  }
  return a.substr(0, words);
}

std::string number_text(Cell cell) {
  const Cell magnitude = cell < 0 ? -cell : cell;
  std::string text = fmt::format("{}{}.{:03}", cell < 0 ? "-" : "", magnitude / kCellScale, magnitude % kCellScale);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

/// "day 12" is ("day ", 12); -1 if the text does not end in a number.
std::pair<std::string_view, int> numbered(std::string_view group) {
  const std::size_t last = group.find_last_not_of("0123456789");
  const std::size_t digits = last == std::string_view::npos ? 0 : last + 1;
  int number = -1;
  const auto parsed = std::from_chars(group.data() + digits, group.data() + group.size(), number);
  return {group.substr(0, digits), parsed.ec == std::errc() && group[digits] != '0' ? number : -1};
}

bool consecutive(const std::vector<std::string>& groups) {
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto [prefix, number] = numbered(groups[i]);
    const auto [first_prefix, first] = numbered(groups[0]);
    if (first < 0 || prefix != first_prefix || number != first + static_cast<int>(i)) return false;
  }
  return true;
}

}  // namespace

bool is_bracket(const Node& node) {
  if (node.kind != NodeKind::AllOf || node.children.size() != 2) return false;
  const Node& low = node.children[0];
  const Node& high = node.children[1];
  return low.kind == NodeKind::Compare && high.kind == NodeKind::Compare && low.children[0] == high.children[0] &&
         low.children[0].kind != NodeKind::Const && low.children[1].kind == NodeKind::Const && high.children[1].kind == NodeKind::Const &&
         (low.op == CompareOp::Greater || low.op == CompareOp::GreaterEqual) && (high.op == CompareOp::Less || high.op == CompareOp::LessEqual);
}

bool is_simple(const Node& node) {
  return node.kind == NodeKind::Compare || node.kind == NodeKind::Member || node.kind == NodeKind::Linked ||
         node.kind == NodeKind::AllDifferent || is_bracket(node);
}

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

Wording::Wording(const Problem& problem, const EnvSpec& spec, const std::string& language)
    : problem_(problem), spec_(spec), phrases_(language) {
  for (const auto& candidate : problem.slots) {
    const std::string& group = candidate.group;
    if (!group.empty() && std::find(groups_.begin(), groups_.end(), group) == groups_.end()) groups_.push_back(group);
  }
}

std::string Wording::slot_name(const std::string& id) const {
  const SlotSpec& found = slot(id);
  const bool bare = found.group.empty() || found.group == heading_;
  std::string name = bare ? phrases_("slot_alone", {{"noun", found.noun}})
                          : phrases_("slot_in_group", {{"noun", found.noun}, {"group", found.group}});
  const auto same = [&](const SlotSpec& other) { return other.noun == found.noun && other.group == found.group; };
  if (std::count_if(problem_.slots.begin(), problem_.slots.end(), same) == 1) return name;
  return phrases_("slot_at", {{"slot", name}, {"path", found.path}});
}

std::string Wording::label(const std::string& table, const std::string& column) const {
  const EntitySpec* entity = spec_.find_entity(table);
  const ColumnSpec* found = entity == nullptr ? nullptr : entity->find_column(column);
  if (found != nullptr && !found->label.empty()) return found->label;
  std::string text = column;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string Wording::entity_text(const std::string& table) const {
  const EntitySpec* entity = spec_.find_entity(table);
  if (entity != nullptr && !entity->description.empty()) return entity->description;
  std::string text = table;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

const ColumnSpec* Wording::column_of(const Node& node) const {
  const EntitySpec* entity = spec_.find_entity(node.kind == NodeKind::Attribute ? slot(node.slot).entity : node.table);
  return entity == nullptr ? nullptr : entity->find_column(node.column);
}

bool Wording::is_date(const Node& node) const {
  switch (node.kind) {
    case NodeKind::Const: return node.constant.type == ConstType::Date;
    case NodeKind::SlotValue: return slot(node.slot).domain == SlotDomain::Dates;
    case NodeKind::Attribute:
    case NodeKind::Link: {
      const ColumnSpec* column = column_of(node);
      return column != nullptr && column->type == ColumnType::Date;
    }
    case NodeKind::Min:
    case NodeKind::Max: return is_date(node.children[0]);
    default: return false;
  }
}

/// Whether at most one row of the relation can match, so that its aggregate is just the row's value.
bool Wording::reads_one_row(const Node& node) const {
  const EntitySpec* entity = spec_.find_entity(node.table);
  if (entity == nullptr) return false;
  const auto matched = [&](const std::string& column) {
    return std::find(node.match_columns.begin(), node.match_columns.end(), column) != node.match_columns.end();
  };
  if (!entity->key.empty()) return matched(entity->key);
  if (!entity->count.is_object() || !entity->count.contains("cross")) return false;
  for (const auto& column : entity->columns) {
    const std::string kind = column.generator.is_object() ? column.generator.value("kind", "") : "";
    if ((kind == "parent" || kind == "chosen") && !matched(column.name)) return false;
  }
  return true;
}

/// The unit of a value; of several values the words that their units begin with; of a sum not what it is "per" ("CNY per night" and
/// "CNY per meal" sum up to "CNY").
std::string Wording::unit_of(const Node& node) const {
  if (node.kind == NodeKind::Attribute || node.kind == NodeKind::Link) {
    const ColumnSpec* column = column_of(node);
    return column == nullptr ? "" : column->unit;
  }
  if (node.kind == NodeKind::Difference && is_date(node.children[0])) return phrases_("days");
  if (!is_compound_value(node) || node.kind == NodeKind::Count) return "";
  std::string unit;
  bool first = true;
  for (const auto& child : node.children) {
    if (child.kind == NodeKind::Const) continue;
    unit = first ? unit_of(child) : common_words(unit, unit_of(child));
    first = false;
  }
  const std::string per = phrases_("per");
  if (node.kind == NodeKind::Sum) unit = unit.substr(0, unit.find(" " + per + " "));
  if (unit.ends_with(" " + per)) unit.resize(unit.size() - per.size() - 1);
  return unit;
}

std::string Wording::constant(const Constant& value, const std::string& unit) const {
  switch (value.type) {
    case ConstType::Text: return dump_json(Json(value.text));
    case ConstType::Boolean: return phrases_(value.number != 0 ? "true" : "false");
    case ConstType::Date: return format_date(value.number / kCellScale);
    case ConstType::Number: break;
  }
  const std::string number = number_text(value.number);
  return unit.empty() ? number : phrases_("number_unit", {{"number", number}, {"unit", unit}});
}

std::string Wording::groups_text(const std::vector<std::string>& groups) const {
  if (groups.size() < 3 || !consecutive(groups)) return phrases_.list(groups);
  return phrases_("span", {{"first", groups.front()}, {"last", groups.back()}});
}

std::string Wording::operand(const Node& node) const {
  return is_compound_value(node) ? phrases_("nested_value", {{"text", value(node)}}) : value(node);
}

std::string Wording::operands(const std::vector<Node>& children) const {
  std::vector<std::string> items;
  for (const auto& child : children) items.push_back(operand(child));
  return phrases_.list(items);
}

/// True if the children are the same terms over the same groups, two or more, each once.
bool Wording::find_repeated(const std::vector<Node>& children, Repeated& out) const {
  std::vector<std::vector<const Node*>> by_group;
  for (const auto& child : children) {
    if (child.kind != NodeKind::Attribute && child.kind != NodeKind::SlotValue) return false;
    const std::string& group = slot(child.slot).group;
    if (group.empty() || group == heading_) return false;
    const auto it = std::find(out.groups.begin(), out.groups.end(), group);
    const auto index = static_cast<std::size_t>(it - out.groups.begin());
    if (it == out.groups.end()) {
      out.groups.push_back(group);
      by_group.emplace_back();
    }
    by_group[index].push_back(&child);
  }
  if (out.groups.size() < 2) return false;
  const auto same_term = [&](const Node* a, const Node* b) {
    const SlotSpec& one = slot(a->slot);
    const SlotSpec& other = slot(b->slot);
    return a->kind == b->kind && a->column == b->column && one.noun == other.noun && one.domain == other.domain && one.entity == other.entity;
  };
  for (std::size_t g = 0; g < by_group.size(); ++g) {
    if (by_group[g].size() != by_group[0].size()) return false;
    for (std::size_t i = 0; i < by_group[g].size(); ++i) {
      if (!same_term(by_group[g][i], by_group[0][i])) return false;
      const SlotSpec& named = slot(by_group[g][i]->slot);
      const auto same_name = [&](const SlotSpec& other) { return other.noun == named.noun && other.group == named.group; };
      if (std::count_if(problem_.slots.begin(), problem_.slots.end(), same_name) != 1) return false;
    }
  }
  out.terms = by_group[0];
  return true;
}

std::string Wording::term_without_group(const Node& node) const {
  const SlotSpec& found = slot(node.slot);
  const std::string name = phrases_("slot_alone", {{"noun", found.noun}});
  return node.kind == NodeKind::SlotValue ? name : phrases_("attribute", {{"attribute", label(found.entity, node.column)}, {"slot", name}});
}

std::string Wording::aggregate(const Node& node, std::string_view key, std::string_view repeated_key) const {
  Repeated repeated;
  if (!find_repeated(node.children, repeated)) return phrases_(key, {{"items", operands(node.children)}});
  std::vector<std::string> terms;
  for (const Node* term : repeated.terms) terms.push_back(term_without_group(*term));
  return phrases_(repeated_key, {{"items", phrases_.list(terms)}, {"groups", groups_text(repeated.groups)}});
}

std::string Wording::matches(const Node& node) const {
  std::string text;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    if (i > 0) text += phrases_("match_separator");
    text += phrases_("match", {{"column", label(node.table, node.match_columns[i])}, {"value", operand(node.children[i])}});
  }
  return text;
}

std::string Wording::link(const Node& node) const {
  constexpr std::array<std::string_view, 3> kKeys = {"link_min", "link_max", "link_sum"};  // in the order of Aggregate
  const std::string_view key = reads_one_row(node) ? "link_one" : kKeys[static_cast<std::size_t>(node.aggregate)];
  return phrases_(key, {{"attribute", label(node.table, node.column)}, {"entity", entity_text(node.table)}, {"matches", matches(node)}});
}

std::string Wording::value(const Node& node) const {
  switch (node.kind) {
    case NodeKind::Const: return constant(node.constant, "");
    case NodeKind::SlotValue: return slot_name(node.slot);
    case NodeKind::Attribute:
      return phrases_("attribute", {{"attribute", label(slot(node.slot).entity, node.column)}, {"slot", slot_name(node.slot)}});
    case NodeKind::Link: return link(node);
    case NodeKind::Sum: return aggregate(node, "sum", "sum_over");
    case NodeKind::Min: return is_date(node) ? aggregate(node, "earliest", "earliest_over") : aggregate(node, "min", "min_over");
    case NodeKind::Max: return is_date(node) ? aggregate(node, "latest", "latest_over") : aggregate(node, "max", "max_over");
    case NodeKind::Count: return phrases_("count", {{"items", options(node.children)}});
    case NodeKind::Difference:
      return phrases_(is_date(node.children[0]) ? "difference_dates" : "difference",
                      {{"a", operand(node.children[0])}, {"b", operand(node.children[1])}});
    default: return predicate(node, Mood::Is);
  }
}

std::string Wording::option(std::size_t index, const std::string& text) const {
  const std::string letter = index < 26 ? std::string(1, static_cast<char>('a' + index)) : std::to_string(index + 1);
  return phrases_("option", {{"letter", letter}, {"text", text}});
}

std::string Wording::options(const std::vector<Node>& children) const {
  std::string text;
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (i > 0) text += phrases_("option_separator");
    text += option(i, inner(children[i], Mood::Is));
  }
  return text;
}

/// "less than 500 CNY per night": the right side, a constant with the unit of the left.
std::string Wording::comparison(const Node& left, CompareOp op, const Node& right, bool with_unit) const {
  constexpr std::array<std::string_view, 6> kNumberKeys = {"equal_number", "equal_number",  "less",
                                                           "less_equal",   "greater",       "greater_equal"};
  constexpr std::array<std::string_view, 6> kDateKeys = {"equal", "equal", "before", "before_or_on", "after", "after_or_on"};
  std::string_view key = (is_date(left) || is_date(right) ? kDateKeys : kNumberKeys)[static_cast<std::size_t>(op)];
  if (op == CompareOp::Equal || op == CompareOp::NotEqual) {
    const bool number = right.kind == NodeKind::Const && right.constant.type == ConstType::Number;
    key = number ? "equal_number" : right.kind == NodeKind::Const || right.kind == NodeKind::SlotValue ? "equal" : "equal_value";
  }
  const bool constant_right = right.kind == NodeKind::Const;
  return phrases_(key, {{"b", constant_right ? constant(right.constant, with_unit ? unit_of(left) : "") : value(right)}});
}

std::string Wording::compare(const Node& node, Mood mood) const {
  const Node* left = &node.children[0];
  const Node* right = &node.children[1];
  CompareOp op = node.op;
  if (left->kind == NodeKind::Const && right->kind != NodeKind::Const) {
    std::swap(left, right);
    op = mirrored(op);
  }
  const bool negative = op == CompareOp::NotEqual;
  const std::string_view key = mood == Mood::Must ? (negative ? "must_not" : "must") : (negative ? "is_not" : "is");
  return phrases_(key, {{"a", value(*left)}, {"b", comparison(*left, op, *right, true)}});
}

std::string Wording::bracket(const Node& node, Mood mood) const {
  const Node& measured = node.children[0].children[0];
  const Node& high = node.children[1];
  const std::string both = phrases_("bracket", {{"low", comparison(measured, node.children[0].op, node.children[0].children[1], false)},
                                                {"high", comparison(measured, high.op, high.children[1], true)}});
  return phrases_(mood == Mood::Must ? "must" : "is", {{"a", value(measured)}, {"b", both}});
}

std::string Wording::member(const Node& node, Mood mood) const {
  std::vector<std::string> items;
  for (std::size_t i = 0; i < node.members.size(); ++i) {
    items.push_back(constant(node.members[i], i + 1 == node.members.size() ? unit_of(node.children[0]) : ""));
  }
  const std::string one_of = phrases_("member", {{"items", phrases_.list(items, "or")}});
  return phrases_(mood == Mood::Must ? "must" : "is", {{"a", value(node.children[0])}, {"b", one_of}});
}

std::string Wording::all_different(const Node& node, Mood mood) const {
  const bool must = mood == Mood::Must;
  Repeated repeated;
  if (!find_repeated(node.children, repeated)) {
    return phrases_(must ? "all_different_must" : "all_different_is", {{"items", operands(node.children)}});
  }
  const std::string groups = groups_text(repeated.groups);
  if (repeated.terms.size() > 1) {
    std::vector<std::string> terms;
    for (const Node* term : repeated.terms) terms.push_back(term_without_group(*term));
    return phrases_(must ? "all_different_over_must" : "all_different_over_is", {{"items", phrases_.list(terms)}, {"groups", groups}});
  }
  const Node& term = *repeated.terms[0];
  const std::string& noun = slot(term.slot).noun;
  const std::string what = term.kind == NodeKind::SlotValue
                               ? phrases_("same_slot", {{"noun", noun}})
                               : phrases_("same_attribute", {{"attribute", label(slot(term.slot).entity, term.column)}, {"noun", noun}});
  const bool pair = repeated.groups.size() == 2;
  const std::string_view key = pair ? (must ? "different_pair_must" : "different_pair_is") : (must ? "no_two_must" : "no_two_is");
  return phrases_(key, {{"groups", groups}, {"what", what}});
}

std::string Wording::conjunction(const Node& node, Mood mood) const {
  if (is_bracket(node)) return bracket(node, mood);
  if (node.children.size() == 1) return predicate(node.children[0], mood);
  if (mood == Mood::Is) return phrases_("all_is", {{"items", options(node.children)}});
  std::string text;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    if (i > 0) text += phrases_("conjunction");
    text += inner(node.children[i], mood);
  }
  return text;
}

/// The part after "then" stands in brackets if it is itself a conditional, so that "otherwise" belongs to the last "if" outside brackets.
std::string Wording::conditional(const Node& node, Mood mood) const {
  const Node& then = node.children[1];
  const std::string first =
      phrases_("if", {{"condition", inner(node.children[0], Mood::Is)},
                      {"then", then.kind == NodeKind::IfThenElse ? inner(then, mood) : predicate(then, mood)}});
  if (node.children.size() < 3) return first;
  return phrases_("else", {{"if", first}, {"else", predicate(node.children[2], mood)}});
}

std::string Wording::negation(const Node& node, Mood mood) const {
  const Node& child = node.children[0];
  const bool must = mood == Mood::Must;
  if (child.kind == NodeKind::Linked) {
    return phrases_(must ? "not_linked_must" : "not_linked_is", {{"entity", entity_text(child.table)}, {"matches", matches(child)}});
  }
  return phrases_(must ? "not_must" : "not_is", {{"text", inner(child, Mood::Is)}});
}

std::string Wording::inner(const Node& node, Mood mood) const {
  const std::string text = predicate(node, mood);
  return is_simple(node) ? text : phrases_("nested", {{"text", text}});
}

std::string Wording::predicate(const Node& node, Mood mood) const {
  const bool must = mood == Mood::Must;
  switch (node.kind) {
    case NodeKind::Compare: return compare(node, mood);
    case NodeKind::Member: return member(node, mood);
    case NodeKind::AllDifferent: return all_different(node, mood);
    case NodeKind::Linked:
      return phrases_(must ? "linked_must" : "linked_is", {{"entity", entity_text(node.table)}, {"matches", matches(node)}});
    case NodeKind::IfThenElse: return conditional(node, mood);
    case NodeKind::AllOf: return conjunction(node, mood);
    case NodeKind::AnyOf: return phrases_(must ? "any_must" : "any_is", {{"items", options(node.children)}});
    case NodeKind::AtLeast:
      return phrases_(must ? "at_least_must" : "at_least_is", {{"n", std::to_string(node.at_least)}, {"items", options(node.children)}});
    case NodeKind::Not: return negation(node, mood);
    default: return value(node);
  }
}

}  // namespace gauntlet
