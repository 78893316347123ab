#include "verifiers/node_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxNodes = 20'000;
constexpr std::size_t kMaxOperands = 1000;
constexpr std::size_t kMaxMembers = 10'000;
constexpr std::size_t kMaxMatchColumns = 8;
constexpr std::int64_t kMaxNumber = 1'000'000'000'000;

struct Form {
  std::string_view key;
  NodeKind kind;
  CompareOp op = CompareOp::Equal;
};

// "link" stands before "attr", because a link has a member of that name as well.
constexpr std::array<Form, 23> kForms = {{
    {"const", NodeKind::Const},
    {"slot", NodeKind::SlotValue},
    {"link", NodeKind::Link},
    {"attr", NodeKind::Attribute},
    {"sum", NodeKind::Sum},
    {"min", NodeKind::Min},
    {"max", NodeKind::Max},
    {"count", NodeKind::Count},
    {"difference", NodeKind::Difference},
    {"==", NodeKind::Compare, CompareOp::Equal},
    {"!=", NodeKind::Compare, CompareOp::NotEqual},
    {"<", NodeKind::Compare, CompareOp::Less},
    {"<=", NodeKind::Compare, CompareOp::LessEqual},
    {">", NodeKind::Compare, CompareOp::Greater},
    {">=", NodeKind::Compare, CompareOp::GreaterEqual},
    {"in", NodeKind::Member},
    {"all_different", NodeKind::AllDifferent},
    {"linked", NodeKind::Linked},
    {"if", NodeKind::IfThenElse},
    {"all", NodeKind::AllOf},
    {"any", NodeKind::AnyOf},
    {"at_least", NodeKind::AtLeast},
    {"not", NodeKind::Not},
}};

[[noreturn]] void refuse(const std::string& path, std::string_view what) {
  fail(ErrorKind::Input, fmt::format("{}: {}", path.empty() ? "/" : path, what));
}

std::vector<std::string> form_keys(bool values, bool predicates) {
  std::vector<std::string> keys;
  for (const auto& form : kForms) {
    if (is_predicate(form.kind) ? predicates : values) keys.emplace_back(form.key);
  }
  return keys;
}

const Json& array_of(const Json& value, const std::string& path, std::size_t least, std::size_t most) {
  if (!value.is_array()) refuse(path, fmt::format("expected an array, found {}", value.type_name()));
  if (value.size() < least || value.size() > most) {
    refuse(path, fmt::format("expected {} to {} operands, found {}", least, most, value.size()));
  }
  return value;
}

/// A JSON pointer token: '~' and '/' are written as "~0" and "~1".
std::string pointer_token(const std::string& key) {
  std::string token;
  for (const char c : key) c == '~' ? token += "~0" : c == '/' ? token += "~1" : token += c;
  return token;
}

Cell number_cell(const Json& literal, const std::string& path) {
  if (literal.is_number_unsigned() && literal.get<std::uint64_t>() > static_cast<std::uint64_t>(kMaxNumber)) {
    refuse(path, fmt::format("found {}; accepted: at most 10^12 in size", dump_json(literal)));
  }
  if (literal.is_number_integer()) {
    const auto whole = literal.get<std::int64_t>();
    if (whole < -kMaxNumber || whole > kMaxNumber)
      refuse(path, fmt::format("found {}; accepted: at most 10^12 in size", whole));
    return whole * kCellScale;
  }
  const double number = literal.get<double>();
  if (!(std::abs(number) <= static_cast<double>(kMaxNumber))) {
    refuse(path, fmt::format("found {}; accepted: at most 10^12 in size", dump_json(literal)));
  }
  // A text with up to three decimals and the nearest thousandth are read as the same double; any other text is not.
  const double thousandths = std::round(number * static_cast<double>(kCellScale));
  if (thousandths / static_cast<double>(kCellScale) != number) {
    refuse(path, fmt::format("found {}; accepted: at most three decimals", dump_json(literal)));
  }
  return static_cast<Cell>(thousandths);
}

/// {"const": …, "type"?: "date"}, or the bare constant, as in the list of "in".
Constant read_constant(const Json& json, const std::string& path) {
  const bool wrapped = json.is_object();
  if (wrapped) refuse_unknown_members(json, {"const", "type"}, path);
  const Json& literal = wrapped ? get_member(json, "const", path) : json;
  const std::string at = wrapped ? path + "/const" : path;
  const std::string type = wrapped ? string_or(json, "type", "", path) : "";
  if (wrapped && json.contains("type") && type != "date") {
    refuse(path + "/type", fmt::format("found \"{}\"; accepted: date", type));
  }
  if (type == "date") {
    const auto days = literal.is_string() ? parse_date(literal.get<std::string>()) : std::nullopt;
    if (!days) refuse(at, fmt::format("found {}; accepted: a date \"YYYY-MM-DD\"", dump_json(literal)));
    return {.type = ConstType::Date, .number = *days * kCellScale, .text = ""};
  }
  if (literal.is_boolean()) return {.type = ConstType::Boolean, .number = literal.get<bool>() ? kCellScale : 0, .text = ""};
  if (literal.is_string()) return {.type = ConstType::Text, .number = 0, .text = literal.get<std::string>()};
  if (!literal.is_number()) refuse(at, fmt::format("expected a number, a text, true or false, found {}", literal.type_name()));
  return {.type = ConstType::Number, .number = number_cell(literal, at), .text = ""};
}

}  // namespace

Node NodeParser::predicate(const Json& json, const std::string& path) { return parse(json, path, Wanted::Predicate); }

Node NodeParser::value(const Json& json, const std::string& path) { return parse(json, path, Wanted::Value); }

Node NodeParser::value_or_predicate(const Json& json, const std::string& path) { return parse(json, path, Wanted::Either); }

Node NodeParser::ordered_value(const Json& json, const std::string& path) {
  Node node = value(json, path);
  const Type type = type_of(node);
  if (type == Type::Text || type == Type::Boolean) {
    refuse(path, fmt::format("expected a number or a date, found {}", type_text(type)));
  }
  return node;
}

Node NodeParser::parse(const Json& json, const std::string& path, Wanted wanted) {
  if (++depth_ > kMaxDepth) refuse(path, fmt::format("nesting is deeper than {}", kMaxDepth));
  if (++nodes_ > kMaxNodes) refuse(path, fmt::format("the problem has more than {} nodes", kMaxNodes));
  const std::string_view what = wanted == Wanted::Predicate ? "a predicate" : wanted == Wanted::Value ? "a value" : "a node";
  const auto accepted = [&] {
    return fmt::to_string(fmt::join(form_keys(wanted != Wanted::Predicate, wanted != Wanted::Value), ", "));
  };
  if (!json.is_object() || json.empty()) {
    refuse(path, fmt::format("expected {} (an object with one of {}), found {}", what, accepted(),
                             json.is_object() ? "an empty object" : json.type_name()));
  }
  const auto form =
      std::find_if(kForms.begin(), kForms.end(), [&](const Form& candidate) { return json.contains(candidate.key); });
  if (form == kForms.end()) {
    const std::string nearest =
        nearest_word(json.begin().key(), form_keys(wanted != Wanted::Predicate, wanted != Wanted::Value));
    refuse(path, fmt::format("\"{}\" is no kind of node{}; accepted for {}: {}", json.begin().key(),
                             nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), what, accepted()));
  }
  if (wanted != Wanted::Either && is_predicate(form->kind) != (wanted == Wanted::Predicate)) {
    refuse(path, fmt::format("expected {}, but \"{}\" is {}; accepted: {}", what, form->key,
                             is_predicate(form->kind) ? "a predicate" : "a value", accepted()));
  }
  Node node;
  node.kind = form->kind;
  node.op = form->op;
  is_predicate(node.kind) ? read_predicate(json, path, node) : read_value(json, path, node);
  --depth_;
  return node;
}

void NodeParser::read_value(const Json& json, const std::string& path, Node& node) {
  const auto form =
      std::find_if(kForms.begin(), kForms.end(), [&](const Form& candidate) { return candidate.kind == node.kind; });
  const std::string at = path + "/" + std::string(form->key);
  switch (node.kind) {
    case NodeKind::Const:
      node.constant = read_constant(json, path);
      return;
    case NodeKind::SlotValue:
      refuse_unknown_members(json, {"slot"}, path);
      node.slot = slot(json, "slot", path);
      return;
    case NodeKind::Attribute:
      refuse_unknown_members(json, {"attr", "of"}, path);
      node.column = get_string(json, "attr", path);
      node.slot = slot(json, "of", path);
      if (problem_ != nullptr &&
          problem_->slots[static_cast<std::size_t>(problem_->find_slot(node.slot))].domain != SlotDomain::Entity) {
        refuse(path + "/of", fmt::format("slot \"{}\" holds no row of an entity, so it has no columns", node.slot));
      }
      return;
    case NodeKind::Link: {
      refuse_unknown_members(json, {"link", "match", "attr", "agg"}, path);
      read_relation(json, "link", path, node);
      node.column = get_string(json, "attr", path);
      const std::string aggregate = string_or(json, "agg", "min", path);
      constexpr std::array<std::string_view, 3> kNames = {"min", "max", "sum"};
      const auto it = std::find(kNames.begin(), kNames.end(), aggregate);
      if (it == kNames.end()) refuse(path + "/agg", fmt::format("found \"{}\"; accepted: min, max, sum", aggregate));
      node.aggregate = static_cast<Aggregate>(it - kNames.begin());
      return;
    }
    case NodeKind::Difference:
      refuse_unknown_members(json, {form->key}, path);
      node.children = pair(json["difference"], at);
      break;
    default:
      refuse_unknown_members(json, {form->key}, path);
      node.children =
          operands(get_member(json, form->key, path), at, node.kind == NodeKind::Count ? Wanted::Predicate : Wanted::Value);
  }
  if (node.kind != NodeKind::Count) check_operands(node, at);
}

void NodeParser::read_predicate(const Json& json, const std::string& path, Node& node) {
  const auto form = std::find_if(kForms.begin(), kForms.end(),
                                 [&](const Form& candidate) { return candidate.kind == node.kind && candidate.op == node.op; });
  const std::string at = path + "/" + std::string(form->key);
  switch (node.kind) {
    case NodeKind::Member:
      return read_member(json, path, node);
    case NodeKind::AtLeast:
      return read_at_least(json, path, node);
    case NodeKind::Linked:
      refuse_unknown_members(json, {"linked", "match"}, path);
      return read_relation(json, "linked", path, node);
    case NodeKind::IfThenElse:
      refuse_unknown_members(json, {"if", "then", "else"}, path);
      node.children.push_back(predicate(json["if"], at));
      node.children.push_back(predicate(get_member(json, "then", path), path + "/then"));
      if (json.contains("else")) node.children.push_back(predicate(json["else"], path + "/else"));
      return;
    default:
      break;
  }
  refuse_unknown_members(json, {form->key}, path);
  const Json& content = get_member(json, form->key, path);
  if (node.kind == NodeKind::Compare) {
    node.children = pair(content, at);
    check_compare(node, at);
  } else if (node.kind == NodeKind::AllDifferent) {
    node.children = operands(content, at, Wanted::Value);
    if (node.children.size() < 2) refuse(at, "expected at least two operands, found 1");
    check_operands(node, at);
  } else if (node.kind == NodeKind::Not) {
    node.children.push_back(predicate(content, at));
  } else {
    node.children = operands(content, at, Wanted::Predicate);
  }
}

void NodeParser::read_member(const Json& json, const std::string& path, Node& node) {
  refuse_unknown_members(json, {"in"}, path);
  const Json& content = json["in"];
  const std::string at = path + "/in";
  if (!content.is_array() || content.size() != 2) {
    refuse(at, fmt::format("expected a value and a list of constants, found {}",
                           content.is_array() ? fmt::format("{} operands", content.size()) : content.type_name()));
  }
  node.children.push_back(value(content[0], at + "/0"));
  const Type type = type_of(node.children[0]);
  const Json& members = array_of(content[1], at + "/1", 1, kMaxMembers);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::string place = fmt::format("{}/1/{}", at, i);
    Node member;
    member.constant = read_constant(members[i], place);
    const Type found = type_of(member);
    if (type != Type::Unknown && found != type)
      refuse(place, fmt::format("expected {}, found {}", type_text(type), type_text(found)));
    node.members.push_back(std::move(member.constant));
  }
}

void NodeParser::read_at_least(const Json& json, const std::string& path, Node& node) {
  refuse_unknown_members(json, {"at_least", "of"}, path);
  node.children = operands(get_member(json, "of", path), path + "/of", Wanted::Predicate);
  const std::int64_t count = get_integer(json, "at_least", path);
  const auto most = static_cast<std::int64_t>(node.children.size());
  if (count < 1 || count > most) refuse(path + "/at_least", fmt::format("found {}; accepted: 1 to {}", count, most));
  node.at_least = static_cast<int>(count);
}

void NodeParser::read_relation(const Json& json, const std::string& form, const std::string& path, Node& node) {
  node.table = get_string(json, form, path);
  const Json& match = get_object(json, "match", path);
  if (match.empty() || match.size() > kMaxMatchColumns) {
    refuse(path + "/match", fmt::format("expected 1 to {} columns, found {}", kMaxMatchColumns, match.size()));
  }
  for (const auto& item : match.items()) {
    node.match_columns.push_back(item.key());
    node.children.push_back(value(item.value(), path + "/match/" + pointer_token(item.key())));
  }
}

std::vector<Node> NodeParser::operands(const Json& list, const std::string& path, Wanted wanted) {
  const Json& items = array_of(list, path, 1, kMaxOperands);
  std::vector<Node> nodes;
  nodes.reserve(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) nodes.push_back(parse(items[i], path + "/" + std::to_string(i), wanted));
  return nodes;
}

std::vector<Node> NodeParser::pair(const Json& list, const std::string& path) {
  if (!list.is_array()) refuse(path, fmt::format("expected two operands in an array, found {}", list.type_name()));
  if (list.size() != 2) refuse(path, fmt::format("expected two operands, found {}", list.size()));
  return operands(list, path, Wanted::Value);
}

std::string NodeParser::slot(const Json& object, std::string_view key, const std::string& path) const {
  std::string id = get_string(object, key, path);
  if (problem_ == nullptr || problem_->find_slot(id) >= 0) return id;
  std::vector<std::string> ids;
  for (const auto& candidate : problem_->slots) ids.push_back(candidate.id);
  const std::string nearest = nearest_word(id, ids);
  refuse(fmt::format("{}/{}", path, key),
         fmt::format("there is no slot \"{}\"{}; accepted: {}", id,
                     nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(ids, ", ")));
}

std::string_view NodeParser::type_text(Type type) {
  switch (type) {
    case Type::Number:
      return "a number";
    case Type::Date:
      return "a date";
    case Type::Boolean:
      return "true or false";
    case Type::Text:
      return "a name or text";
    case Type::Unknown:
      break;
  }
  return "a value";
}

NodeParser::Type NodeParser::type_of(const Node& node) const {
  switch (node.kind) {
    case NodeKind::Const: {
      constexpr std::array<Type, 4> kTypes = {Type::Number, Type::Date, Type::Boolean,
                                              Type::Text};  // in the order of ConstType
      return kTypes[static_cast<std::size_t>(node.constant.type)];
    }
    case NodeKind::SlotValue: {
      if (problem_ == nullptr) return Type::Unknown;
      constexpr std::array<Type, 4> kTypes = {Type::Text, Type::Text, Type::Date, Type::Number};  // in the order of SlotDomain
      return kTypes[static_cast<std::size_t>(problem_->slots[static_cast<std::size_t>(problem_->find_slot(node.slot))].domain)];
    }
    case NodeKind::Sum:
    case NodeKind::Count:
    case NodeKind::Difference:
      return Type::Number;
    case NodeKind::Min:
    case NodeKind::Max:
      for (const auto& child : node.children) {
        const Type type = type_of(child);
        if (type != Type::Unknown) return type;
      }
      return Type::Unknown;
    default:
      return Type::Unknown;
  }
}

void NodeParser::check_compare(const Node& node, const std::string& path) const {
  const Type left = type_of(node.children[0]);
  const Type right = type_of(node.children[1]);
  if (left != Type::Unknown && right != Type::Unknown && left != right) {
    refuse(path,
           fmt::format("cannot compare {} with {}; accepted: two numbers, two dates, two names or texts, or two truth values",
                       type_text(left), type_text(right)));
  }
  if (node.op == CompareOp::Equal || node.op == CompareOp::NotEqual) return;
  for (const Type type : {left, right}) {
    if (type == Type::Text || type == Type::Boolean) {
      refuse(path, fmt::format("{} has no order; accepted: == and !=", type_text(type)));
    }
  }
}

/// The operands of a sum are numbers; those of min, max and difference numbers or dates; all of one type.
void NodeParser::check_operands(const Node& node, const std::string& path) const {
  Type common = node.kind == NodeKind::Sum ? Type::Number : Type::Unknown;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const Type type = type_of(node.children[i]);
    if (type == Type::Unknown) continue;
    if (node.kind != NodeKind::AllDifferent && (type == Type::Text || type == Type::Boolean)) {
      refuse(fmt::format("{}/{}", path, i),
             fmt::format("expected a number{}, found {}", node.kind == NodeKind::Sum ? "" : " or a date", type_text(type)));
    }
    if (common == Type::Unknown) common = type;
    if (type != common)
      refuse(fmt::format("{}/{}", path, i), fmt::format("expected {}, found {}", type_text(common), type_text(type)));
  }
}

}  // namespace gauntlet
