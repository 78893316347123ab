#include "verifiers/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "embedded/problem_schema.h"
#include "verifiers/node_parser.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxSlotCount = 1000;
constexpr std::size_t kMaxPathTokens = 16;
constexpr std::int64_t kMaxSlotValues = 100'000;
constexpr std::int64_t kMaxSlotInteger = 1'000'000'000;

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  fail(ErrorKind::Input, fmt::format("{}: {}", path.empty() ? "/" : path, what));
}

std::string get_word(const Json& object, std::string_view key, const std::string& path) {
  std::string word = get_string(object, key, path);
  if (word.empty()) refuse(fmt::format("{}/{}", path, key), "found an empty text; accepted: at least one character");
  return word;
}

std::int64_t get_day(const Json& range, std::string_view key, const std::string& path) {
  const std::string text = get_string(range, key, path);
  const auto day = parse_date(text);
  if (!day) refuse(fmt::format("{}/{}", path, key), fmt::format("found \"{}\"; accepted: a date \"YYYY-MM-DD\"", text));
  return *day;
}

void read_texts(const Json& value, SlotSpec& slot, const std::string& path) {
  slot.domain = SlotDomain::Texts;
  const Json& texts = get_array(value, "texts", path);
  if (texts.empty()) refuse(path + "/texts", "found no texts; accepted: one or more");
  std::set<std::string> seen;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::string at = fmt::format("{}/texts/{}", path, i);
    if (!texts[i].is_string()) refuse(at, fmt::format("expected a string, found {}", texts[i].type_name()));
    slot.texts.push_back(texts[i].get<std::string>());
    if (!seen.insert(slot.texts.back()).second) refuse(at, fmt::format("\"{}\" appears twice", slot.texts.back()));
  }
}

void read_range(const Json& value, SlotSpec& slot, const std::string& path) {
  const bool dates = slot.domain == SlotDomain::Dates;
  const std::string key = dates ? "dates" : "integers";
  const std::string at = path + "/" + key;
  const Json& range = get_object(value, key, path);
  refuse_unknown_members(range, {"from", "to"}, at);
  slot.from = dates ? get_day(range, "from", at) : get_integer(range, "from", at);
  slot.to = dates ? get_day(range, "to", at) : get_integer(range, "to", at);
  if (slot.from < -kMaxSlotInteger || slot.to > kMaxSlotInteger || slot.from > slot.to ||
      slot.to - slot.from >= kMaxSlotValues) {
    refuse(at, fmt::format("found {} to {}; accepted: from <= to, at most {} values, none above 10^9 in size", slot.from,
                           slot.to, kMaxSlotValues));
  }
}

SlotSpec parse_slot(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"id", "path", "group", "noun", "entity", "texts", "dates", "integers", "within"}, path);
  SlotSpec slot;
  slot.id = get_word(value, "id", path);
  slot.path = get_string(value, "path", path);
  slot.group = string_or(value, "group", "", path);
  slot.noun = get_word(value, "noun", path);
  int domains = 0;
  for (const std::string_view key : {"entity", "texts", "dates", "integers"}) domains += value.contains(key) ? 1 : 0;
  if (domains != 1) refuse(path, fmt::format("expected exactly one of entity, texts, dates, integers; found {}", domains));
  if (value.contains("entity")) {
    slot.entity = get_word(value, "entity", path);
  } else if (value.contains("texts")) {
    read_texts(value, slot, path);
  } else {
    slot.domain = value.contains("dates") ? SlotDomain::Dates : SlotDomain::Integers;
    read_range(value, slot, path);
  }
  if (value.contains("within")) {
    const Json& within = get_object(value, "within", path);
    if (slot.domain != SlotDomain::Entity) refuse(path + "/within", "only a slot that ranges over an entity has columns");
    for (const auto& item : within.items())
      slot.within.emplace_back(item.key(), get_string(within, item.key(), path + "/within"));
  }
  return slot;
}

/// The answer's form, as the slots' paths make it up.
struct Place {
  std::map<std::string, Place> children;
  bool is_slot = false;
  bool is_array = false;
};

bool is_index(const std::string& token) { return token.find_first_not_of("0123456789") == std::string::npos; }

std::vector<std::string> path_tokens(const std::string& pointer, const std::string& path) {
  std::vector<std::string> tokens;
  for (std::size_t at = 0; at < pointer.size() && pointer[at] == '/';) {
    const std::size_t end = std::min(pointer.find('/', at + 1), pointer.size());
    tokens.push_back(pointer.substr(at + 1, end - at - 1));
    at = end;
  }
  const bool plain =
      std::none_of(tokens.begin(), tokens.end(), [](const auto& token) { return token.empty() || token == "-"; });
  if (tokens.empty() || tokens.size() > kMaxPathTokens || pointer[0] != '/' || !plain ||
      pointer.find('~') != std::string::npos) {
    refuse(path,
           fmt::format("found \"{}\"; accepted: a JSON pointer such as /0/hotel, without '~', empty or \"-\" parts", pointer));
  }
  return tokens;
}

/// Readers and writers of answers rely on this: a place is an array (elements declared in order, from 0), an object, or one
/// slot.
void add_place(Place& root, const std::string& pointer, const std::string& path) {
  Place* place = &root;
  for (const auto& token : path_tokens(pointer, path)) {
    if (place->is_slot) refuse(path, fmt::format("\"{}\" lies inside the value of another slot", pointer));
    const bool index = is_index(token);
    if (!place->children.empty() && place->is_array != index) {
      refuse(path, fmt::format("\"{}\" takes for {} what an earlier slot takes for {}", pointer,
                               index ? "an array" : "an object", index ? "an object" : "an array"));
    }
    place->is_array = index;
    if (index && !place->children.contains(token) && token != std::to_string(place->children.size())) {
      refuse(path, fmt::format("\"{}\" leaves a gap: the elements of an array are declared in order; accepted next: {}",
                               pointer, place->children.size()));
    }
    place = &place->children[token];
  }
  if (place->is_slot) refuse(path, fmt::format("\"{}\" appears twice", pointer));
  if (!place->children.empty()) refuse(path, fmt::format("\"{}\" holds the values of other slots", pointer));
  place->is_slot = true;
}

void parse_slots(const Json& slots, Problem& problem, const std::string& path) {
  if (slots.empty() || slots.size() > kMaxSlotCount)
    refuse(path, fmt::format("expected 1 to {} slots, found {}", kMaxSlotCount, slots.size()));
  std::set<std::string> ids;
  Place answer;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::string at = fmt::format("{}/{}", path, i);
    SlotSpec slot = parse_slot(slots[i], at);
    if (!ids.insert(slot.id).second) refuse(at + "/id", fmt::format("\"{}\" appears twice", slot.id));
    add_place(answer, slot.path, at + "/path");
    problem.slots.push_back(std::move(slot));
  }
  const std::vector<std::string> accepted(ids.begin(), ids.end());
  for (std::size_t i = 0; i < problem.slots.size(); ++i) {
    for (const auto& [column, target] : problem.slots[i].within) {
      if (ids.contains(target)) continue;
      const std::string nearest = nearest_word(target, accepted);
      refuse(fmt::format("{}/{}/within/{}", path, i, column),
             fmt::format("there is no slot \"{}\"{}; accepted: {}", target,
                         nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(accepted, ", ")));
    }
  }
}

}  // namespace

bool is_predicate(NodeKind kind) { return kind >= NodeKind::Compare; }

int Problem::find_slot(std::string_view id) const {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].id == id) return static_cast<int>(i);
  }
  return -1;
}

Problem parse_problem(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"slots", "constraints", "objective"}, path);
  Problem problem;
  parse_slots(get_array(value, "slots", path), problem, path + "/slots");
  NodeParser parser(&problem);
  const Json& constraints = get_array(value, "constraints", path);
  for (std::size_t i = 0; i < constraints.size(); ++i) {
    problem.constraints.push_back(parser.predicate(constraints[i], fmt::format("{}/constraints/{}", path, i)));
  }
  if (value.contains("objective")) {
    const Json& objective = get_object(value, "objective", path);
    const std::string at = path + "/objective";
    refuse_unknown_members(objective, {"minimise", "maximise"}, at);
    if (objective.size() != 1) refuse(at, fmt::format("expected one of minimise, maximise, found {}", objective.size()));
    problem.sense = objective.contains("minimise") ? ObjectiveSense::Minimise : ObjectiveSense::Maximise;
    problem.objective = parser.ordered_value(objective.begin().value(), at + "/" + objective.begin().key());
  }
  return problem;
}

Node parse_node(const Json& value, const std::string& path) { return NodeParser(nullptr).value_or_predicate(value, path); }

Json problem_schema() { return parse_json(embedded_problem_schema().front().text, "problem.schema.json"); }

std::vector<Node> within_constraints(const Problem& problem) {
  std::vector<Node> nodes;
  for (const auto& slot : problem.slots) {
    for (const auto& [column, target] : slot.within) {
      Node attribute;
      attribute.kind = NodeKind::Attribute;
      attribute.column = column;
      attribute.slot = slot.id;
      Node parent;
      parent.kind = NodeKind::SlotValue;
      parent.slot = target;
      Node node;
      node.kind = NodeKind::Compare;
      node.op = CompareOp::Equal;
      node.children = {attribute, parent};
      nodes.push_back(std::move(node));
    }
  }
  return nodes;
}

}  // namespace gauntlet
