#include "verifiers/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "core/error.h"
#include "verifiers/phrases.h"
#include "verifiers/wording.h"

namespace gauntlet {
namespace {

using Lines = std::vector<std::string>;

std::string indented(int depth) { return std::string(static_cast<std::size_t>(2 * depth), ' '); }

void add_bullet(const Wording& wording, const std::string& text, int depth, Lines& lines) {
  lines.push_back(indented(depth) + wording.phrases()("bullet", {{"text", capitalised(text)}}));
}

void add_sentence(const Wording& wording, const std::string& text, int depth, Lines& lines) {
  add_bullet(wording, wording.phrases()("sentence", {{"text", text}}), depth, lines);
}

void add_demand(const Wording& wording, const Node& node, int depth, Lines& lines);

/// A chain of conditions, each with its demands below it.
void add_chain(const Wording& wording, const Node& node, int depth, Lines& lines) {
  const Phrases& phrases = wording.phrases();
  const Node* link = &node;
  for (bool first = true;; first = false) {
    const std::string condition = wording.predicate(link->children[0], Mood::Is);
    add_bullet(wording, phrases(first ? "block_if" : "block_else_if", {{"condition", condition}}), depth, lines);
    add_demand(wording, link->children[1], depth + 1, lines);
    if (link->children.size() < 3) {
      if (!first) add_bullet(wording, phrases("block_nothing"), depth, lines);
      return;
    }
    const Node& rest = link->children[2];
    if (rest.kind != NodeKind::IfThenElse) {
      add_bullet(wording, phrases("block_else"), depth, lines);
      add_demand(wording, rest, depth + 1, lines);
      return;
    }
    link = &rest;
  }
}

void add_demand(const Wording& wording, const Node& node, int depth, Lines& lines) {
  if (node.kind == NodeKind::AllOf && !is_bracket(node)) {
    for (const auto& child : node.children) add_demand(wording, child, depth, lines);
    return;
  }
  if (node.kind == NodeKind::IfThenElse) {
    const bool one_sentence = is_simple(node.children[1]) && (node.children.size() < 3 || is_simple(node.children[2]));
    if (!one_sentence) return add_chain(wording, node, depth, lines);
  }
  add_sentence(wording, wording.predicate(node, Mood::Must), depth, lines);
}

void collect_slots(const Node& node, std::set<std::string>& slots) {
  if (!node.slot.empty()) slots.insert(node.slot);
  for (const auto& child : node.children) collect_slots(child, slots);
}

/// The group that all slots of the node share, or "".
std::string common_group(const Node& node, const Wording& wording) {
  std::set<std::string> slots;
  collect_slots(node, slots);
  std::set<std::string> groups;
  for (const auto& id : slots) groups.insert(wording.slot(id).group);
  return groups.size() == 1 ? *groups.begin() : "";
}

/// The `within` rules of one group (the wording has it as heading), or with group "" those that are not within one group.
void add_within_rules(const Problem& problem, const Wording& wording, const std::string& group, Lines& lines) {
  struct Rule {
    std::string column, parent;
    std::vector<std::string> slots;
  };
  std::vector<Rule> rules;
  for (const auto& slot : problem.slots) {
    for (const auto& [column, target] : slot.within) {
      const bool inside = !slot.group.empty() && slot.group == wording.slot(target).group;
      if ((inside ? slot.group : "") != group) continue;
      const std::string label = wording.label(slot.entity, column);
      const std::string parent =
          inside ? wording.phrases()("same_group", {{"noun", wording.slot(target).noun}}) : wording.slot_name(target);
      auto rule = std::find_if(rules.begin(), rules.end(), [&](const Rule& known) { return known.column == label && known.parent == parent; });
      if (rule == rules.end()) rule = rules.insert(rules.end(), {label, parent, {}});
      rule->slots.push_back(wording.slot_name(slot.id));
    }
  }
  for (const auto& rule : rules) {
    add_sentence(wording, wording.phrases()(rule.slots.size() > 1 ? "within_many" : "within",
                                            {{"column", rule.column}, {"slots", wording.phrases().list(rule.slots)}, {"parent", rule.parent}}),
                 0, lines);
  }
}

void append(std::string& text, const std::string& heading, const Lines& lines) {
  if (lines.empty()) return;
  text += heading + "\n";
  for (const auto& line : lines) text += line + "\n";
}

/// "/2/city" is (2, "city").
std::optional<std::pair<std::size_t, std::string>> array_place(const std::string& path) {
  std::size_t index = 0;
  const char* end = path.data() + path.size();
  const auto parsed = std::from_chars(path.data() + 1, end, index);
  if (parsed.ec != std::errc() || parsed.ptr == end || *parsed.ptr != '/') return std::nullopt;
  return std::pair{index, std::string(parsed.ptr + 1, end)};
}

std::string form_text(const SlotSpec& slot, const Phrases& phrases) {
  switch (slot.domain) {
    case SlotDomain::Entity: return phrases("form_entity", {{"noun", slot.noun}});
    case SlotDomain::Dates: return phrases("form_date", {{"noun", slot.noun}});
    case SlotDomain::Integers:
      return phrases("form_integer", {{"noun", slot.noun}, {"from", std::to_string(slot.from)}, {"to", std::to_string(slot.to)}});
    case SlotDomain::Texts: {
      std::vector<std::string> quoted;
      for (const auto& text : slot.texts) quoted.push_back(dump_json(Json(text)));
      return phrases("form_texts", {{"noun", slot.noun}, {"items", phrases.list(quoted, "or")}});
    }
  }
  return "";
}

Json form_example(const SlotSpec& slot, const Phrases& phrases) {
  switch (slot.domain) {
    case SlotDomain::Entity: return phrases("example_entity", {{"noun", slot.noun}});
    case SlotDomain::Dates: return phrases("example_date");
    case SlotDomain::Integers: return slot.from;
    case SlotDomain::Texts: return phrases("example_text", {{"noun", slot.noun}});
  }
  return nullptr;
}

/// The members of each object if the answer is an array of like objects, one for each group.
std::optional<std::vector<const SlotSpec*>> array_members(const Problem& problem, std::vector<std::string>& groups) {
  std::vector<std::map<std::string, const SlotSpec*>> objects;
  std::vector<const SlotSpec*> first;
  for (const auto& slot : problem.slots) {
    const auto place = array_place(slot.path);
    if (!place || place->first > problem.slots.size()) return std::nullopt;
    objects.resize(std::max(objects.size(), place->first + 1));
    objects[place->first][place->second] = &slot;
    if (place->first == 0) first.push_back(&slot);
  }
  for (const auto& object : objects) {
    if (object.size() != first.size()) return std::nullopt;
    for (const auto& [key, slot] : object) {
      const auto same = objects[0].find(key);
      if (same == objects[0].end()) return std::nullopt;
      const SlotSpec& other = *same->second;
      if (slot->noun != other.noun || slot->domain != other.domain || slot->texts != other.texts || slot->from != other.from || slot->to != other.to) return std::nullopt;
      if (slot->group != object.begin()->second->group) return std::nullopt;
    }
    groups.push_back(object.begin()->second->group);
  }
  return first;
}

}  // namespace

std::string render_constraint(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language) {
  return capitalised(Wording(problem, spec, language).predicate(node, Mood::Must));
}

std::string render_leaf(const Node& node, const Problem& problem, const EnvSpec& spec, const std::string& language) {
  return Wording(problem, spec, language).predicate(node, Mood::Must);
}

std::string render_requirements(const Problem& problem, const EnvSpec& spec, const std::string& language) {
  Wording wording(problem, spec, language);
  const Phrases& phrases = wording.phrases();
  const std::vector<std::string> groups = wording.groups();

  Lines general;
  add_within_rules(problem, wording, "", general);
  for (const auto& node : problem.constraints) {
    if (common_group(node, wording).empty()) add_demand(wording, node, 0, general);
  }
  // One entry for one rule or constraint, so that what every group shares can be told apart and said once.
  std::vector<std::vector<Lines>> by_group;
  for (const auto& group : groups) {
    wording.set_heading(group);
    auto& entries = by_group.emplace_back();
    Lines rules;
    add_within_rules(problem, wording, group, rules);
    for (const auto& rule : rules) entries.push_back({rule});
    for (const auto& node : problem.constraints) {
      if (common_group(node, wording) == group) add_demand(wording, node, 0, entries.emplace_back());
    }
  }
  wording.set_heading("");
  const auto shared = [&](const Lines& entry) {
    return groups.size() > 1 && std::all_of(by_group.begin(), by_group.end(), [&](const std::vector<Lines>& entries) {
             return std::find(entries.begin(), entries.end(), entry) != entries.end();
           });
  };

  std::string text;
  append(text, phrases("heading_general"), general);
  for (std::size_t g = 0; g <= groups.size() && !groups.empty(); ++g) {  // first what all groups share
    Lines lines;
    for (const auto& entry : by_group[g == 0 ? 0 : g - 1]) {
      if (shared(entry) == (g == 0)) lines.insert(lines.end(), entry.begin(), entry.end());
    }
    append(text, g == 0 ? phrases("heading_every", {{"groups", wording.groups_text(groups)}}) : phrases("heading_group", {{"group", groups[g - 1]}}), lines);
  }
  if (problem.sense != ObjectiveSense::None) {
    const std::string key = problem.sense == ObjectiveSense::Minimise ? "minimise" : "maximise";
    text += phrases(text.empty() ? key + "_alone" : key, {{"value", wording.value(problem.objective)}}) + "\n";
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string render_answer_form(const Problem& problem, const EnvSpec& spec, const std::string& language) {
  const Phrases phrases(language);
  std::string text = phrases("form_intro", {{"tool", spec.submit_tool}, {"argument", spec.submit_argument}}) + "\n";
  std::vector<std::string> groups;
  const auto members = array_members(problem, groups);
  const bool named = std::all_of(groups.begin(), groups.end(), [](const std::string& group) { return !group.empty(); });
  const auto line = [&](const std::string& place, const std::string& what) { text += phrases("form_line", {{"place", place}, {"text", what}}) + "\n"; };
  if (members && named) {
    text += groups.size() == 1 ? phrases("form_one") : phrases("form_array", {{"n", std::to_string(groups.size())}, {"groups", phrases.list(groups)}});
    text += "\n";
    for (const SlotSpec* slot : *members) line(dump_json(Json(array_place(slot->path)->second)), form_text(*slot, phrases));
  } else {
    text += phrases("form_any") + "\n";
    for (const auto& slot : problem.slots) {
      const std::string what = form_text(slot, phrases);
      line(slot.path, slot.group.empty() ? what : phrases("form_slot", {{"text", what}, {"group", slot.group}}));
    }
  }
  Json form;
  for (const auto& slot : problem.slots) form[Json::json_pointer(slot.path)] = form_example(slot, phrases);
  return text + phrases("form_example") + "\n" + dump_json(form);
}

}  // namespace gauntlet
