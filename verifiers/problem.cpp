#include "verifiers/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/error.h"
#include "envs/generators.h"

namespace gauntlet {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxNodes = 20'000;
constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<", "<=", ">", ">="};
constexpr std::array<std::string_view, 3> kAggregates = {"min", "max", "sum"};
constexpr std::string_view kValueForms = "const, slot, attr, link, sum, min, max, count, difference";
constexpr std::string_view kPredicateForms = "==, !=, <, <=, >, >=, in, all_different, linked, if, all, any, at_least, not";

/// What a value is, for type checks that need no world.
enum class ValueType { Number, Date, Text, Boolean, Row, Unknown };

class Parser {
 public:
  explicit Parser(const Problem* problem) : problem_(problem) {}

  Node predicate(const Json& value, const std::string& path) {
    enter(path);
    const std::string form = form_of(value, path);
    Node node;
    const auto op = std::find(kOperators.begin(), kOperators.end(), form);
    if (op != kOperators.end()) {
      refuse_unknown_members(value, {form}, path);
      node.kind = NodeKind::Compare;
      node.op = static_cast<CompareOp>(op - kOperators.begin());
      node.children = values(value[form], path + "/" + form, 2, 2);
      check_comparable(node, path + "/" + form);
    } else if (form == "in") {
      refuse_unknown_members(value, {"in"}, path);
      node.kind = NodeKind::Member;
      const Json& pair = array_of(value["in"], path + "/in", 2, 2);
      node.children.push_back(this->value(pair[0], path + "/in/0"));
      const Json& members = array_of(pair[1], path + "/in/1", 1, 10'000);
      for (std::size_t i = 0; i < members.size(); ++i) node.members.push_back(constant(members[i], fmt::format("{}/in/1/{}", path, i)));
    } else if (form == "all_different") {
      refuse_unknown_members(value, {"all_different"}, path);
      node.kind = NodeKind::AllDifferent;
      node.children = values(value[form], path + "/all_different", 2, 1000);
    } else if (form == "linked") {
      refuse_unknown_members(value, {"linked", "match"}, path);
      node.kind = NodeKind::Linked;
      relation(value, "linked", node, path);
    } else if (form == "if") {
      refuse_unknown_members(value, {"if", "then", "else"}, path);
      node.kind = NodeKind::IfThenElse;
      node.children.push_back(predicate(value["if"], path + "/if"));
      node.children.push_back(predicate(get_member(value, "then", path), path + "/then"));
      if (value.contains("else")) node.children.push_back(predicate(value["else"], path + "/else"));
    } else if (form == "all" || form == "any") {
      refuse_unknown_members(value, {form}, path);
      node.kind = form == "all" ? NodeKind::AllOf : NodeKind::AnyOf;
      node.children = predicates(value[form], path + "/" + form);
    } else if (form == "at_least") {
      refuse_unknown_members(value, {"at_least", "of"}, path);
      node.kind = NodeKind::AtLeast;
      node.children = predicates(get_member(value, "of", path), path + "/of");
      const std::int64_t count = get_integer(value, "at_least", path);
      require(count >= 1 && count <= static_cast<std::int64_t>(node.children.size()), ErrorKind::Input,
              fmt::format("{}/at_least: found {}; accepted: 1 to {}", path, count, node.children.size()));
      node.at_least = static_cast<int>(count);
    } else if (form == "not") {
      refuse_unknown_members(value, {"not"}, path);
      node.kind = NodeKind::Not;
      node.children.push_back(predicate(value["not"], path + "/not"));
    } else {
      fail(ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted predicates: {}", shown(path), form, kPredicateForms));
    }
    --depth_;
    return node;
  }

  Node value(const Json& json, const std::string& path) {
    enter(path);
    const std::string form = form_of(json, path);
    Node node;
    if (form == "const") {
      node.kind = NodeKind::Const;
      node.constant = constant(json, path);
    } else if (form == "slot") {
      refuse_unknown_members(json, {"slot"}, path);
      node.kind = NodeKind::SlotValue;
      node.slot = slot(json, "slot", path);
    } else if (form == "attr") {
      refuse_unknown_members(json, {"attr", "of"}, path);
      node.kind = NodeKind::Attribute;
      node.column = get_string(json, "attr", path);
      node.slot = slot(json, "of", path);
    } else if (form == "link") {
      refuse_unknown_members(json, {"link", "match", "attr", "agg"}, path);
      node.kind = NodeKind::Link;
      relation(json, "link", node, path);
      node.column = get_string(json, "attr", path);
      const std::string aggregate = string_or(json, "agg", "min", path);
      const auto it = std::find(kAggregates.begin(), kAggregates.end(), aggregate);
      require(it != kAggregates.end(), ErrorKind::Input, fmt::format("{}/agg: found \"{}\"; accepted: {}", path, aggregate, fmt::join(kAggregates, ", ")));
      node.aggregate = static_cast<Aggregate>(it - kAggregates.begin());
    } else if (form == "sum" || form == "min" || form == "max") {
      refuse_unknown_members(json, {form}, path);
      node.kind = form == "sum" ? NodeKind::Sum : form == "min" ? NodeKind::Min : NodeKind::Max;
      node.children = values(json[form], path + "/" + form, 1, 1000);
      for (std::size_t i = 0; i < node.children.size(); ++i) check_numeric(node.children[i], fmt::format("{}/{}/{}", path, form, i));
    } else if (form == "count") {
      refuse_unknown_members(json, {"count"}, path);
      node.kind = NodeKind::Count;
      node.children = predicates(json["count"], path + "/count");
    } else if (form == "difference") {
      refuse_unknown_members(json, {"difference"}, path);
      node.kind = NodeKind::Difference;
      node.children = values(json["difference"], path + "/difference", 2, 2);
      for (std::size_t i = 0; i < 2; ++i) check_numeric(node.children[i], fmt::format("{}/difference/{}", path, i));
    } else {
      fail(ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted values: {}", shown(path), form, kValueForms));
    }
    --depth_;
    return node;
  }

 private:
  static std::string shown(const std::string& path) { return path.empty() ? "/" : path; }

  void enter(const std::string& path) {
    require(++depth_ <= kMaxDepth, ErrorKind::Input, fmt::format("{}: nesting is deeper than {}", shown(path), kMaxDepth));
    require(++nodes_ <= kMaxNodes, ErrorKind::Input, fmt::format("{}: more than {} nodes", shown(path), kMaxNodes));
  }

  static std::string form_of(const Json& value, const std::string& path) {
    require(value.is_object() && !value.empty(), ErrorKind::Input, fmt::format("{}: expected a node (an object), found {}", shown(path), value.type_name()));
    return value.begin().key();
  }

  static const Json& array_of(const Json& value, const std::string& path, std::size_t least, std::size_t most) {
    require(value.is_array(), ErrorKind::Input, fmt::format("{}: expected an array, found {}", path, value.type_name()));
    require(value.size() >= least && value.size() <= most, ErrorKind::Input,
            least == most ? fmt::format("{}: expected {} operands, found {}", path, least, value.size())
                          : fmt::format("{}: expected {} to {} operands, found {}", path, least, most, value.size()));
    return value;
  }

  std::vector<Node> values(const Json& list, const std::string& path, std::size_t least, std::size_t most) {
    std::vector<Node> nodes;
    const Json& items = array_of(list, path, least, most);
    for (std::size_t i = 0; i < items.size(); ++i) nodes.push_back(value(items[i], fmt::format("{}/{}", path, i)));
    return nodes;
  }

  std::vector<Node> predicates(const Json& list, const std::string& path) {
    std::vector<Node> nodes;
    const Json& items = array_of(list, path, 1, 1000);
    for (std::size_t i = 0; i < items.size(); ++i) nodes.push_back(predicate(items[i], fmt::format("{}/{}", path, i)));
    return nodes;
  }

  std::string slot(const Json& object, std::string_view key, const std::string& path) const {
    std::string name = get_string(object, key, path);
    if (problem_ == nullptr || problem_->find_slot(name) >= 0) return name;
    std::vector<std::string> names;
    for (const auto& candidate : problem_->slots) names.push_back(candidate.id);
    const std::string nearest = nearest_word(name, names);
    fail(ErrorKind::Input, fmt::format("{}/{}: there is no slot \"{}\"{}; accepted: {}", path, key, name,
                                       nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
  }

  void relation(const Json& object, std::string_view table_key, Node& node, const std::string& path) {
    node.table = get_string(object, table_key, path);
    const Json& match = get_object(object, "match", path);
    require(!match.empty() && match.size() <= 8, ErrorKind::Input, fmt::format("{}/match: expected 1 to 8 columns, found {}", path, match.size()));
    for (const auto& item : match.items()) {
      node.match_columns.push_back(item.key());
      node.children.push_back(value(item.value(), path + "/match/" + item.key()));
    }
  }

  /// {"const": …, "type"?: "date"} or, inside "in", also the bare constant.
  static Constant constant(const Json& json, const std::string& path) {
    Constant out;
    const Json* literal = &json;
    std::string type;
    if (json.is_object()) {
      refuse_unknown_members(json, {"const", "type"}, path);
      literal = &get_member(json, "const", path);
      type = string_or(json, "type", "", path);
      require(type.empty() || type == "date", ErrorKind::Input, fmt::format("{}/type: found \"{}\"; accepted: date", path, type));
    }
    if (type == "date") {
      const auto days = literal->is_string() ? parse_date(literal->get<std::string>()) : std::nullopt;
      require(days.has_value(), ErrorKind::Input, fmt::format("{}/const: found {}; accepted: a date \"YYYY-MM-DD\"", path, dump_json(*literal)));
      out = {.type = ConstType::Date, .number = *days * kCellScale, .text = ""};
    } else if (literal->is_boolean()) {
      out = {.type = ConstType::Boolean, .number = literal->get<bool>() ? kCellScale : 0, .text = ""};
    } else if (literal->is_string()) {
      out = {.type = ConstType::Text, .number = 0, .text = literal->get<std::string>()};
    } else {
      out = {.type = ConstType::Number, .number = number_to_cell(*literal, path + "/const"), .text = ""};
    }
    return out;
  }

  ValueType type_of(const Node& node) const {
    switch (node.kind) {
      case NodeKind::Const:
        return node.constant.type == ConstType::Number ? ValueType::Number
               : node.constant.type == ConstType::Date ? ValueType::Date
               : node.constant.type == ConstType::Text ? ValueType::Text
                                                       : ValueType::Boolean;
      case NodeKind::SlotValue: {
        if (problem_ == nullptr) return ValueType::Unknown;
        const SlotDomain domain = problem_->slots[static_cast<std::size_t>(problem_->find_slot(node.slot))].domain;
        return domain == SlotDomain::Entity     ? ValueType::Row
               : domain == SlotDomain::Texts    ? ValueType::Text
               : domain == SlotDomain::Dates    ? ValueType::Date
                                                : ValueType::Number;
      }
      case NodeKind::Sum:
      case NodeKind::Count:
      case NodeKind::Difference: return ValueType::Number;
      default: return ValueType::Unknown;
    }
  }

  void check_comparable(const Node& node, const std::string& path) const {
    const ValueType a = type_of(node.children[0]);
    const ValueType b = type_of(node.children[1]);
    const auto symbolic = [](ValueType type) { return type == ValueType::Text || type == ValueType::Row; };
    const bool ordering = node.op != CompareOp::Equal && node.op != CompareOp::NotEqual;
    require(!ordering || (!symbolic(a) && !symbolic(b)), ErrorKind::Input, fmt::format("{}: names and texts have no order; accepted: == and !=", path));
    if (a == ValueType::Unknown || b == ValueType::Unknown) return;
    require(a == b || (symbolic(a) && symbolic(b)), ErrorKind::Input, fmt::format("{}: the two sides are of different types; accepted: numbers with numbers, dates with dates, texts with texts or names", path));
  }

  void check_numeric(const Node& node, const std::string& path) const {
    const ValueType type = type_of(node);
    require(type != ValueType::Text && type != ValueType::Row, ErrorKind::Input, fmt::format("{}: expected a number, found a name or text", path));
  }

  const Problem* problem_;
  int depth_ = 0;
  int nodes_ = 0;
};

SlotSpec parse_slot(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"id", "path", "group", "noun", "entity", "texts", "dates", "integers", "within"}, path);
  SlotSpec slot;
  slot.id = get_string(value, "id", path);
  slot.path = get_string(value, "path", path);
  slot.group = string_or(value, "group", "", path);
  slot.noun = get_string(value, "noun", path);
  bool pointer = !slot.path.empty() && slot.path[0] == '/' && slot.path.find('~') == std::string::npos;
  for (std::size_t i = 0; pointer && i < slot.path.size(); ++i) pointer = slot.path[i] != '/' || (i + 1 < slot.path.size() && slot.path[i + 1] != '/');
  require(pointer, ErrorKind::Input, fmt::format("{}/path: found \"{}\"; accepted: a JSON pointer such as /0/hotel", path, slot.path));
  int domains = 0;
  if (value.contains("entity")) {
    slot.entity = get_string(value, "entity", path);
    ++domains;
  }
  if (value.contains("texts")) {
    slot.domain = SlotDomain::Texts;
    for (const auto& text : get_array(value, "texts", path)) {
      require(text.is_string(), ErrorKind::Input, fmt::format("{}/texts: expected strings", path));
      slot.texts.push_back(text.get<std::string>());
    }
    require(!slot.texts.empty(), ErrorKind::Input, fmt::format("{}/texts: is empty", path));
    ++domains;
  }
  if (value.contains("dates")) {
    slot.domain = SlotDomain::Dates;
    const Json& range = get_object(value, "dates", path);
    const auto from = parse_date(get_string(range, "from", path + "/dates"));
    const auto to = parse_date(get_string(range, "to", path + "/dates"));
    require(from && to, ErrorKind::Input, fmt::format("{}/dates: accepted: dates \"YYYY-MM-DD\"", path));
    slot.from = *from;
    slot.to = *to;
    ++domains;
  }
  if (value.contains("integers")) {
    slot.domain = SlotDomain::Integers;
    const Json& range = get_object(value, "integers", path);
    slot.from = get_integer(range, "from", path + "/integers");
    slot.to = get_integer(range, "to", path + "/integers");
    ++domains;
  }
  require(domains == 1, ErrorKind::Input, fmt::format("{}: expected exactly one of entity, texts, dates, integers; found {}", path, domains));
  require(slot.from <= slot.to && slot.to - slot.from <= 100'000 && std::abs(slot.from) <= 1'000'000'000, ErrorKind::Input,
          fmt::format("{}: accepted: from <= to, at most 100,000 values", path));
  if (value.contains("within")) {
    require(slot.domain == SlotDomain::Entity, ErrorKind::Input, fmt::format("{}/within: only an entity slot lies within another", path));
    for (const auto& item : get_object(value, "within", path).items()) {
      slot.within.emplace_back(item.key(), get_string(value["within"], item.key(), path + "/within"));
    }
  }
  return slot;
}

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
    case SlotDomain::Entity: out["entity"] = slot.entity; break;
    case SlotDomain::Texts: out["texts"] = slot.texts; break;
    case SlotDomain::Dates: out["dates"] = {{"from", format_date(slot.from)}, {"to", format_date(slot.to)}}; break;
    case SlotDomain::Integers: out["integers"] = {{"from", slot.from}, {"to", slot.to}}; break;
  }
  for (const auto& [column, target] : slot.within) out["within"][column] = target;
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
  std::set<std::string> ids;
  std::set<std::string> paths;
  const Json& slots = get_array(value, "slots", path);
  require(!slots.empty() && slots.size() <= 1000, ErrorKind::Input, fmt::format("{}/slots: expected 1 to 1000 slots, found {}", path, slots.size()));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::string at = fmt::format("{}/slots/{}", path, i);
    problem.slots.push_back(parse_slot(slots[i], at));
    require(ids.insert(problem.slots.back().id).second, ErrorKind::Input, fmt::format("{}/id: \"{}\" appears twice", at, problem.slots.back().id));
    require(paths.insert(problem.slots.back().path).second, ErrorKind::Input, fmt::format("{}/path: \"{}\" appears twice", at, problem.slots.back().path));
  }
  for (std::size_t i = 0; i < problem.slots.size(); ++i) {
    for (const auto& [column, target] : problem.slots[i].within) {
      require(problem.find_slot(target) >= 0, ErrorKind::Input, fmt::format("{}/slots/{}/within/{}: there is no slot \"{}\"", path, i, column, target));
    }
  }
  Parser parser(&problem);
  const Json& constraints = get_array(value, "constraints", path);
  for (std::size_t i = 0; i < constraints.size(); ++i) problem.constraints.push_back(parser.predicate(constraints[i], fmt::format("{}/constraints/{}", path, i)));
  if (value.contains("objective")) {
    const Json& objective = get_object(value, "objective", path);
    require(objective.size() == 1, ErrorKind::Input, fmt::format("{}/objective: expected one of minimise, maximise", path));
    refuse_unknown_members(objective, {"minimise", "maximise"}, path + "/objective");
    problem.sense = objective.contains("minimise") ? ObjectiveSense::Minimise : ObjectiveSense::Maximise;
    problem.objective = parser.value(objective.begin().value(), path + "/objective/" + objective.begin().key());
  }
  return problem;
}

Node parse_node(const Json& value, const std::string& path) {
  require(value.is_object() && !value.empty(), ErrorKind::Input, fmt::format("{}: expected a node (an object)", path.empty() ? "/" : path));
  Parser parser(nullptr);
  static constexpr std::array<std::string_view, 9> kValues = {"const", "slot", "attr", "link", "sum", "min", "max", "count", "difference"};
  const bool is_value = std::find(kValues.begin(), kValues.end(), value.begin().key()) != kValues.end();
  return is_value ? parser.value(value, path) : parser.predicate(value, path);
}

Json to_json(const Node& node) {
  switch (node.kind) {
    case NodeKind::Const: return to_json(node.constant, false);
    case NodeKind::SlotValue: return {{"slot", node.slot}};
    case NodeKind::Attribute: return {{"attr", node.column}, {"of", node.slot}};
    case NodeKind::Link:
      return {{"link", node.table}, {"match", match_json(node)}, {"attr", node.column}, {"agg", kAggregates[static_cast<std::size_t>(node.aggregate)]}};
    case NodeKind::Sum: return {{"sum", children_json(node)}};
    case NodeKind::Min: return {{"min", children_json(node)}};
    case NodeKind::Max: return {{"max", children_json(node)}};
    case NodeKind::Count: return {{"count", children_json(node)}};
    case NodeKind::Difference: return {{"difference", children_json(node)}};
    case NodeKind::Compare: return {{std::string(kOperators[static_cast<std::size_t>(node.op)]), children_json(node)}};
    case NodeKind::Member: {
      Json members = Json::array();
      for (const auto& member : node.members) members.push_back(to_json(member, true));
      return {{"in", Json::array({to_json(node.children[0]), members})}};
    }
    case NodeKind::AllDifferent: return {{"all_different", children_json(node)}};
    case NodeKind::Linked: return {{"linked", node.table}, {"match", match_json(node)}};
    case NodeKind::IfThenElse: {
      Json out = {{"if", to_json(node.children[0])}, {"then", to_json(node.children[1])}};
      if (node.children.size() > 2) out["else"] = to_json(node.children[2]);
      return out;
    }
    case NodeKind::AllOf: return {{"all", children_json(node)}};
    case NodeKind::AnyOf: return {{"any", children_json(node)}};
    case NodeKind::AtLeast: return {{"at_least", node.at_least}, {"of", children_json(node)}};
    case NodeKind::Not: return {{"not", to_json(node.children[0])}};
  }
  return nullptr;
}

Json to_json(const Problem& problem) {
  Json slots = Json::array();
  for (const auto& slot : problem.slots) slots.push_back(to_json(slot));
  Json constraints = Json::array();
  for (const auto& node : problem.constraints) constraints.push_back(to_json(node));
  Json out = {{"slots", slots}, {"constraints", constraints}};
  if (problem.sense != ObjectiveSense::None) {
    out["objective"] = {{problem.sense == ObjectiveSense::Minimise ? "minimise" : "maximise", to_json(problem.objective)}};
  }
  return out;
}

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
