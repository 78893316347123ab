#include "verifiers/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/error.h"
#include "verifiers/phrases.h"

namespace gauntlet {
namespace {

enum class Mood { Must, Is };  ///< a demand, or a statement inside a condition

std::string capitalised(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

class Renderer {
 public:
  Renderer(const Problem& problem, const EnvSpec& spec, const std::string& language) : problem_(problem), spec_(spec), phrases_(language) {
    for (const auto& slot : problem.slots) {
      if (!slot.group.empty() && std::find(groups_.begin(), groups_.end(), slot.group) == groups_.end()) groups_.push_back(slot.group);
    }
  }

  /// Inside the heading of a group its slots need not repeat the group.
  void set_heading(const std::string& group) { heading_ = group; }
  const std::vector<std::string>& groups() const { return groups_; }
  const Phrases& phrases() const { return phrases_; }

  std::string predicate(const Node& node, Mood mood) const;
  std::string value(const Node& node) const;
  std::string within_rules() const;
  std::string slot_name(const std::string& id) const;

 private:
  const SlotSpec& slot(const std::string& id) const { return problem_.slots[static_cast<std::size_t>(problem_.find_slot(id))]; }
  const ColumnSpec* column_of(const Node& node) const;
  std::string label(const std::string& table, const std::string& column) const;
  std::string entity_text(const std::string& table) const;
  std::string unit_of(const Node& node) const;
  std::string number(Cell cell) const;
  std::string constant(const Constant& constant, const std::string& unit) const;
  std::string compared(const Node& node) const;
  std::string matches(const Node& node) const;
  std::string options(const std::vector<Node>& children) const;
  std::string conjunction(const Node& node, Mood mood) const;
  std::string conditional(const Node& node, Mood mood) const;
  std::vector<std::string> items(const std::vector<Node>& children) const;

  const Problem& problem_;
  const EnvSpec& spec_;
  Phrases phrases_;
  std::vector<std::string> groups_;
  std::string heading_;
};

std::string Renderer::slot_name(const std::string& id) const {
  const SlotSpec& spec = slot(id);
  if (spec.group.empty() || spec.group == heading_) return phrases_("slot_alone", {{"noun", spec.noun}});
  return phrases_("slot_in_group", {{"noun", spec.noun}, {"group", spec.group}});
}

std::string Renderer::label(const std::string& table, const std::string& column) const {
  const EntitySpec* entity = spec_.find_entity(table);
  const ColumnSpec* found = entity == nullptr ? nullptr : entity->find_column(column);
  if (found != nullptr && !found->label.empty()) return found->label;
  std::string text = column;
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string Renderer::entity_text(const std::string& table) const {
  const EntitySpec* entity = spec_.find_entity(table);
  return entity == nullptr ? table : entity->description;
}

const ColumnSpec* Renderer::column_of(const Node& node) const {
  const std::string& table = node.kind == NodeKind::Attribute ? slot(node.slot).entity : node.table;
  const EntitySpec* entity = spec_.find_entity(table);
  return entity == nullptr ? nullptr : entity->find_column(node.column);
}

/// The unit of a value; of a sum, the words with which all its terms' units begin ("CNY per night" and "CNY per meal": "CNY").
std::string Renderer::unit_of(const Node& node) const {
  if (node.kind == NodeKind::Attribute || node.kind == NodeKind::Link) {
    const ColumnSpec* column = column_of(node);
    return column == nullptr ? "" : column->unit;
  }
  if (node.kind != NodeKind::Sum && node.kind != NodeKind::Min && node.kind != NodeKind::Max && node.kind != NodeKind::Difference) return "";
  std::string common = unit_of(node.children[0]);
  for (const auto& child : node.children) {
    const std::string unit = unit_of(child);
    std::size_t words = 0;
    for (std::size_t i = 0; i <= std::min(common.size(), unit.size()); ++i) {
      const bool end_a = i == common.size() || common[i] == ' ';
      const bool end_b = i == unit.size() || unit[i] == ' ';
      if (end_a && end_b) words = i;
      if (i == common.size() || i == unit.size() || common[i] != unit[i]) break;
    }
    common.resize(words);
  }
  if (common.ends_with(" per")) common.resize(common.size() - 4);
  return common;
}

std::string Renderer::number(Cell cell) const {
  const Cell magnitude = cell < 0 ? -cell : cell;
  std::string text = fmt::format("{}{}.{:03}", cell < 0 ? "-" : "", magnitude / kCellScale, magnitude % kCellScale);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string Renderer::constant(const Constant& value, const std::string& unit) const {
  switch (value.type) {
    case ConstType::Text: return phrases_("text", {{"text", value.text}});
    case ConstType::Boolean: return phrases_(value.number != 0 ? "true" : "false");
    case ConstType::Date: return format_date(value.number / kCellScale);
    case ConstType::Number: break;
  }
  return unit.empty() ? number(value.number) : phrases_("number_unit", {{"number", number(value.number)}, {"unit", unit}});
}

/// Terms that say the same of one noun in every group are said once.
std::vector<std::string> Renderer::items(const std::vector<Node>& children) const {
  struct Family {
    std::string column;
    std::string noun;
    std::set<std::string> groups;
    std::size_t terms = 0;
  };
  std::vector<std::string> out;
  std::vector<Family> families;
  std::vector<int> family_of(children.size(), -1);
  for (std::size_t i = 0; i < children.size(); ++i) {
    const Node& child = children[i];
    if (child.kind != NodeKind::Attribute && child.kind != NodeKind::SlotValue) continue;
    const SlotSpec& spec = slot(child.slot);
    if (spec.group.empty()) continue;
    auto it = std::find_if(families.begin(), families.end(), [&](const Family& f) { return f.column == child.column && f.noun == spec.noun; });
    if (it == families.end()) it = families.insert(families.end(), Family{child.column, spec.noun, {}, 0});
    it->groups.insert(spec.group);
    ++it->terms;
    family_of[i] = static_cast<int>(it - families.begin());
  }
  const auto whole = [&](const Family& family) { return groups_.size() > 1 && family.groups.size() == groups_.size() && family.terms == groups_.size(); };
  std::vector<bool> said(families.size(), false);
  for (std::size_t i = 0; i < children.size(); ++i) {
    const int number = family_of[i];
    if (number < 0 || !whole(families[static_cast<std::size_t>(number)])) {
      out.push_back(value(children[i]));
      continue;
    }
    if (said[static_cast<std::size_t>(number)]) continue;
    said[static_cast<std::size_t>(number)] = true;
    const Family& family = families[static_cast<std::size_t>(number)];
    const std::string groups = phrases_.list(groups_);
    out.push_back(family.column.empty() ? phrases_("slots_every", {{"nouns", family.noun}, {"groups", groups}})
                                        : phrases_("attribute_every", {{"attribute", label(slot(children[i].slot).entity, family.column)}, {"nouns", family.noun}, {"groups", groups}}));
  }
  return out;
}

std::string Renderer::matches(const Node& node) const {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    parts.push_back(phrases_("match", {{"column", label(node.table, node.match_columns[i])}, {"value", value(node.children[i])}}));
  }
  return phrases_.list(parts);
}

std::string Renderer::value(const Node& node) const {
  switch (node.kind) {
    case NodeKind::Const: return constant(node.constant, "");
    case NodeKind::SlotValue: return slot_name(node.slot);
    case NodeKind::Attribute: return phrases_("attribute", {{"attribute", label(slot(node.slot).entity, node.column)}, {"slot", slot_name(node.slot)}});
    case NodeKind::Link: {
      const std::string_view key = node.aggregate == Aggregate::Min ? "link_min" : node.aggregate == Aggregate::Max ? "link_max" : "link_sum";
      return phrases_(key, {{"attribute", label(node.table, node.column)}, {"entity", entity_text(node.table)}, {"matches", matches(node)}});
    }
    case NodeKind::Sum: return phrases_("sum", {{"items", phrases_.list(items(node.children))}});
    case NodeKind::Min: return phrases_("min", {{"items", phrases_.list(items(node.children))}});
    case NodeKind::Max: return phrases_("max", {{"items", phrases_.list(items(node.children))}});
    case NodeKind::Count: return phrases_("count", {{"items", options(node.children)}});
    case NodeKind::Difference: return phrases_("difference", {{"a", value(node.children[0])}, {"b", value(node.children[1])}});
    default: return predicate(node, Mood::Is);
  }
}

std::string Renderer::options(const std::vector<Node>& children) const {
  std::string text;
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (i > 0) text += phrases_("option_separator");
    const std::string letter = i < 26 ? std::string(1, static_cast<char>('a' + i)) : std::to_string(i + 1);
    text += phrases_("option", {{"letter", letter}, {"text", predicate(children[i], Mood::Is)}});
  }
  return text;
}

/// "less than 500 CNY per night": the right side with the unit of the left.
std::string Renderer::compared(const Node& node) const {
  constexpr std::array<std::string_view, 6> kKeys = {"op_equal", "op_not_equal", "op_less", "op_less_equal", "op_greater", "op_greater_equal"};
  const Node& right = node.children[1];
  const std::string text = right.kind == NodeKind::Const ? constant(right.constant, unit_of(node.children[0])) : value(right);
  return phrases_(kKeys[static_cast<std::size_t>(node.op)], {{"b", text}});
}

std::string Renderer::conjunction(const Node& node, Mood mood) const {
  // Two bounds on one value are one bracket.
  if (node.children.size() == 2 && node.children[0].kind == NodeKind::Compare && node.children[1].kind == NodeKind::Compare &&
      node.children[0].children[0] == node.children[1].children[0]) {
    const std::string bracket = phrases_("bracket", {{"low", compared(node.children[0])}, {"high", compared(node.children[1])}});
    return phrases_(mood == Mood::Must ? "must" : "is", {{"a", value(node.children[0].children[0])}, {"b", bracket}});
  }
  std::string text;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    if (i > 0) text += phrases_("conjunction");
    const Node& child = node.children[i];
    const std::string part = predicate(child, mood);
    const bool plain = child.kind == NodeKind::Compare || child.kind == NodeKind::Member || child.kind == NodeKind::Linked;
    text += plain ? part : phrases_("nested", {{"text", part}});
  }
  return text;
}

std::string Renderer::conditional(const Node& node, Mood mood) const {
  const std::string first = phrases_("if", {{"condition", predicate(node.children[0], Mood::Is)}, {"then", predicate(node.children[1], mood)}});
  if (node.children.size() < 3) return first;
  return phrases_("else", {{"if", first}, {"else", predicate(node.children[2], mood)}});
}

std::string Renderer::predicate(const Node& node, Mood mood) const {
  const bool must = mood == Mood::Must;
  switch (node.kind) {
    case NodeKind::Compare: return phrases_(must ? "must" : "is", {{"a", value(node.children[0])}, {"b", compared(node)}});
    case NodeKind::Member: {
      std::vector<std::string> members;
      for (const auto& member : node.members) members.push_back(constant(member, unit_of(node.children[0])));
      const std::string one_of = phrases_("member", {{"items", phrases_.list(members)}});
      return phrases_(must ? "must" : "is", {{"a", value(node.children[0])}, {"b", one_of}});
    }
    case NodeKind::AllDifferent: return phrases_(must ? "all_different_must" : "all_different_is", {{"items", phrases_.list(items(node.children))}});
    case NodeKind::Linked: return phrases_(must ? "linked_must" : "linked_is", {{"entity", entity_text(node.table)}, {"matches", matches(node)}});
    case NodeKind::IfThenElse: return conditional(node, mood);
    case NodeKind::AllOf: return conjunction(node, mood);
    case NodeKind::AnyOf: return phrases_(must ? "any_must" : "any_is", {{"items", options(node.children)}});
    case NodeKind::AtLeast: return phrases_(must ? "at_least_must" : "at_least_is", {{"n", std::to_string(node.at_least)}, {"items", options(node.children)}});
    case NodeKind::Not: return phrases_(must ? "not_must" : "not_is", {{"text", predicate(node.children[0], Mood::Is)}});
    default: return value(node);
  }
}

/// Rules of the same kind in every group are said once.
std::string Renderer::within_rules() const {
  std::string text;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> rules;  // (column, parent noun) to nouns
  std::vector<std::pair<std::string, std::string>> order;
  for (const auto& spec : problem_.slots) {
    for (const auto& [column, target] : spec.within) {
      const SlotSpec& parent = slot(target);
      const std::string name = label(spec.entity, column);
      if (spec.group.empty() || spec.group != parent.group) {
        const std::string rule = phrases_("within_alone", {{"column", name}, {"slot", slot_name(spec.id)}, {"parent", slot_name(target)}});
        text += phrases_("bullet", {{"text", capitalised(rule)}}) + "\n";
        continue;
      }
      auto& nouns = rules[{name, parent.noun}];
      if (nouns.empty()) order.emplace_back(name, parent.noun);
      const std::string noun = phrases_("noun_item", {{"noun", spec.noun}});
      if (std::find(nouns.begin(), nouns.end(), noun) == nouns.end()) nouns.push_back(noun);
    }
  }
  for (const auto& key : order) {
    const std::string rule = phrases_("within", {{"groups", phrases_.list(groups_)}, {"column", key.first}, {"nouns", phrases_.list(rules[key])}, {"parent", key.second}});
    text += phrases_("bullet", {{"text", capitalised(rule)}}) + "\n";
  }
  return text;
}

void collect_slots(const Node& node, std::set<std::string>& slots) {
  if (!node.slot.empty()) slots.insert(node.slot);
  for (const auto& child : node.children) collect_slots(child, slots);
}

/// The group that all slots of the node share, or "".
std::string common_group(const Node& node, const Problem& problem) {
  std::set<std::string> slots;
  collect_slots(node, slots);
  std::set<std::string> groups;
  for (const auto& id : slots) groups.insert(problem.slots[static_cast<std::size_t>(problem.find_slot(id))].group);
  return groups.size() == 1 ? *groups.begin() : "";
}

}  // namespace

std::string render_constraint(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language) {
  return capitalised(Renderer(problem, spec, language).predicate(node, Mood::Must));
}

std::string render_leaf(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language) {
  return Renderer(problem, spec, language).predicate(node, Mood::Must);
}

std::string render_requirements(const Problem& problem, const EnvSpec& spec, const std::string& language) {
  Renderer renderer(problem, spec, language);
  const Phrases& phrases = renderer.phrases();
  const auto bullet = [&](const Node& node) { return phrases("bullet", {{"text", capitalised(renderer.predicate(node, Mood::Must))}}) + "\n"; };
  std::string general = renderer.within_rules();
  for (const auto& node : problem.constraints) {
    if (common_group(node, problem).empty()) general += bullet(node);
  }
  std::string text = general.empty() ? "" : phrases("heading_general") + "\n" + general;
  for (const auto& group : renderer.groups()) {
    std::string lines;
    renderer.set_heading(group);
    for (const auto& node : problem.constraints) {
      if (common_group(node, problem) == group) lines += bullet(node);
    }
    renderer.set_heading("");
    if (!lines.empty()) text += phrases("heading_group", {{"group", group}}) + "\n" + lines;
  }
  if (problem.sense != ObjectiveSense::None) {
    text += phrases(problem.sense == ObjectiveSense::Minimise ? "minimise" : "maximise", {{"value", renderer.value(problem.objective)}}) + "\n";
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string render_answer_form(const Problem& problem, const EnvSpec& spec, const std::string& language) {
  const Renderer renderer(problem, spec, language);
  const Phrases& phrases = renderer.phrases();
  Json form;
  for (const auto& slot : problem.slots) {
    Json& place = form[Json::json_pointer(slot.path)];
    switch (slot.domain) {
      case SlotDomain::Entity: place = phrases("form_entity", {{"noun", slot.noun}}); break;
      case SlotDomain::Dates: place = phrases("form_date"); break;
      case SlotDomain::Integers: place = phrases("form_integer"); break;
      case SlotDomain::Texts: place = phrases("form_texts", {{"items", fmt::format("{}", fmt::join(slot.texts, ", "))}}); break;
    }
  }
  return phrases("form_intro", {{"tool", spec.submit_tool}}) + "\n" + dump_json(form);
}

}  // namespace gauntlet
