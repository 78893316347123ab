#include "core/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/text_pattern.h"

namespace gauntlet {
namespace {

// References may form cycles that consume nothing of the value.
constexpr int kMaxDepth = 2 * kMaxJsonDepth;

constexpr std::array<std::string_view, 10> kAnnotations = {
    "$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "contentMediaType"};
constexpr std::array<std::string_view, 22> kKeywords = {"type",
                                                        "enum",
                                                        "const",
                                                        "properties",
                                                        "required",
                                                        "additionalProperties",
                                                        "items",
                                                        "minItems",
                                                        "maxItems",
                                                        "uniqueItems",
                                                        "minimum",
                                                        "maximum",
                                                        "pattern",
                                                        "exclusiveMinimum",
                                                        "exclusiveMaximum",
                                                        "minLength",
                                                        "maxLength",
                                                        "format",
                                                        "anyOf",
                                                        "oneOf",
                                                        "allOf",
                                                        "not"};
constexpr std::array<std::string_view, 7> kTypes = {"null", "boolean", "object", "array", "number", "string", "integer"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string shown(const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > 80) text = valid_utf8(text.substr(0, 77)) + "...";
  return text;
}

std::string escaped(const std::string& key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

bool has_type(const Json& value, std::string_view type) {
  if (type == "integer")
    return value.is_number_integer() || (value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>());
  if (type == "number") return value.is_number();
  return type == value.type_name();
}

std::string with_article(const Json& type) {
  const auto one = [](const std::string& name) {
    return (name == "object" || name == "array" || name == "integer" ? "an " : name == "null" ? "" : "a ") + name;
  };
  if (type.is_string()) return one(type.get<std::string>());
  std::vector<std::string> names;
  for (const auto& name : type) names.push_back(one(name.get<std::string>()));
  return fmt::format("{}", fmt::join(names, " or "));
}

/// Code points, as JSON Schema counts.
std::size_t length_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// "YYYY-MM-DD" with days and months in range.
bool is_date(const std::string& text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto digit_or_dash = [](char c) { return (c >= '0' && c <= '9') || c == '-'; };
  if (!std::all_of(text.begin(), text.end(), digit_or_dash) || std::count(text.begin(), text.end(), '-') != 2) return false;
  const int year = std::stoi(text.substr(0, 4));
  const int month = std::stoi(text.substr(5, 2));
  const int day = std::stoi(text.substr(8, 2));
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12) return false;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return day >= 1 && day <= kDays[static_cast<std::size_t>(month - 1)] + (month == 2 && leap ? 1 : 0);
}

}  // namespace

struct JsonSchema::Impl {
  Json schema;
  std::string what;
  std::map<std::string, TextPattern> patterns;

  struct Check {
    std::vector<std::string> found;
    std::size_t limit = 0;

    void add(const std::string& path, const std::string& message) {
      if (found.size() < limit) found.push_back((path.empty() ? "/" : path) + ": " + message);
    }
    bool full() const { return found.size() >= limit; }
  };

  void prepare(const Json& node, const std::string& path, int depth);
  void prepare_keyword(const std::string& keyword, const Json& rule, const std::string& path, int depth);
  const Json& resolve(const std::string& reference, const std::string& path) const;
  void check(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const;
  void check_number(const Json& node, const Json& value, const std::string& path, Check& out) const;
  void check_string(const Json& node, const std::string& value, const std::string& path, Check& out) const;
  void check_array(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const;
  void check_object(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const;
  void check_combined(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const;
  std::vector<std::string> trial(const Json& node, const Json& value, const std::string& path, int depth) const;
};

void JsonSchema::Impl::prepare(const Json& node, const std::string& path, int depth) {
  const auto refuse = [&](const std::string& message) { fail(ErrorKind::Input, fmt::format("{}{}: {}", what, path, message)); };
  if (node.is_boolean()) return;
  if (!node.is_object()) refuse(fmt::format("found {}; accepted: a schema (an object, true or false)", shown(node)));
  if (depth > kMaxJsonDepth) refuse("the schema is nested too deeply");
  for (const auto& item : node.items()) {
    const std::string at = path + "/" + escaped(item.key());
    if (item.key() == "$defs") {
      for (const auto& definition : get_object(node, "$defs", what + path).items())
        prepare(definition.value(), at + "/" + escaped(definition.key()), depth + 1);
    } else if (item.key() == "$ref") {
      resolve(get_string(node, "$ref", what + path), at);
    } else if (contains(kKeywords, item.key())) {
      prepare_keyword(item.key(), item.value(), at, depth);
    } else if (!contains(kAnnotations, item.key())) {
      refuse(fmt::format("the keyword \"{}\" is not supported; accepted: $ref, $defs, {}", item.key(),
                         fmt::join(kKeywords, ", ")));
    }
  }
}

void JsonSchema::Impl::prepare_keyword(const std::string& keyword, const Json& rule, const std::string& path, int depth) {
  const auto expect = [&](bool good, std::string_view accepted) {
    require(good, ErrorKind::Input, fmt::format("{}{}: found {}; accepted: {}", what, path, shown(rule), accepted));
  };
  if (keyword == "type") {
    const auto known = [](const Json& name) { return name.is_string() && contains(kTypes, name.get<std::string>()); };
    expect(known(rule) || (rule.is_array() && !rule.empty() && std::all_of(rule.begin(), rule.end(), known)),
           "a type name or a list of them");
  } else if (keyword == "enum" || keyword == "required") {
    expect(rule.is_array(), "a list");
    if (keyword == "required")
      expect(std::all_of(rule.begin(), rule.end(), [](const Json& name) { return name.is_string(); }), "a list of names");
  } else if (keyword == "properties") {
    expect(rule.is_object(), "an object of schemas");
    for (const auto& item : rule.items()) prepare(item.value(), path + "/" + escaped(item.key()), depth + 1);
  } else if (keyword == "items" || keyword == "additionalProperties" || keyword == "not") {
    prepare(rule, path, depth + 1);
  } else if (keyword == "anyOf" || keyword == "oneOf" || keyword == "allOf") {
    expect(rule.is_array() && !rule.empty(), "a list of schemas");
    for (std::size_t i = 0; i < rule.size(); ++i) prepare(rule[i], fmt::format("{}/{}", path, i), depth + 1);
  } else if (keyword == "pattern") {
    expect(rule.is_string(), "a regular expression");
    patterns.emplace(rule.get<std::string>(), TextPattern(rule.get<std::string>()));
  } else if (keyword == "format") {
    expect(rule == "date", "date");
  } else if (keyword == "uniqueItems") {
    expect(rule.is_boolean(), "true or false");
  } else if (keyword.rfind("minI", 0) == 0 || keyword.rfind("maxI", 0) == 0 || keyword.ends_with("Length")) {
    expect(rule.is_number_integer() && rule >= 0, "a whole number of 0 or more");
  } else if (keyword != "const") {
    expect(rule.is_number(), "a number");
  }
}

const Json& JsonSchema::Impl::resolve(const std::string& reference, const std::string& path) const {
  constexpr std::string_view kPrefix = "#/$defs/";
  if (reference == "#") return schema;
  if (reference.rfind(kPrefix, 0) == 0 && schema.contains("$defs")) {
    const auto it = schema["$defs"].find(reference.substr(kPrefix.size()));
    if (it != schema["$defs"].end()) return *it;
  }
  fail(ErrorKind::Input,
       fmt::format("{}{}: found \"{}\"; accepted: \"#\" or \"#/$defs/NAME\" of an existing definition", what, path, reference));
}

void JsonSchema::Impl::check(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const {
  if (out.full()) return;
  if (depth > kMaxDepth) return out.add(path, "the value or the schema's references are nested too deeply");
  if (node.is_boolean()) {
    if (!node.get<bool>()) out.add(path, fmt::format("found {}; nothing is accepted here", shown(value)));
    return;
  }
  if (node.contains("$ref")) check(resolve(node["$ref"].get<std::string>(), path), value, path, depth + 1, out);
  if (const auto it = node.find("type"); it != node.end()) {
    const bool good = it->is_string() ? has_type(value, it->get<std::string>())
                                      : std::any_of(it->begin(), it->end(),
                                                    [&](const Json& name) { return has_type(value, name.get<std::string>()); });
    if (!good) return out.add(path, fmt::format("found {}; accepted: {}", shown(value), with_article(*it)));
  }
  if (const auto it = node.find("const"); it != node.end() && value != *it)
    out.add(path, fmt::format("found {}; accepted: {}", shown(value), shown(*it)));
  if (const auto it = node.find("enum"); it != node.end() && std::find(it->begin(), it->end(), value) == it->end()) {
    std::vector<std::string> accepted;
    std::vector<std::string> words;
    for (const auto& choice : *it) {
      accepted.push_back(shown(choice));
      if (choice.is_string()) words.push_back(choice.get<std::string>());
    }
    const std::string nearest = value.is_string() ? nearest_word(value.get<std::string>(), words) : "";
    out.add(path,
            fmt::format("found {}{}; accepted: {}", shown(value),
                        nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(accepted, ", ")));
  }
  if (value.is_number()) check_number(node, value, path, out);
  if (value.is_string()) check_string(node, value.get<std::string>(), path, out);
  if (value.is_array()) check_array(node, value, path, depth, out);
  if (value.is_object()) check_object(node, value, path, depth, out);
  check_combined(node, value, path, depth, out);
}

void JsonSchema::Impl::check_number(const Json& node, const Json& value, const std::string& path, Check& out) const {
  const auto rule = [&](const char* keyword, std::string_view meaning, auto&& holds) {
    const auto it = node.find(keyword);
    if (it != node.end() && !holds(value, *it))
      out.add(path, fmt::format("found {}; accepted: {} {}", shown(value), meaning, shown(*it)));
  };
  rule("minimum", "at least", [](const Json& a, const Json& b) { return a >= b; });
  rule("maximum", "at most", [](const Json& a, const Json& b) { return a <= b; });
  rule("exclusiveMinimum", "more than", [](const Json& a, const Json& b) { return a > b; });
  rule("exclusiveMaximum", "less than", [](const Json& a, const Json& b) { return a < b; });
}

void JsonSchema::Impl::check_string(const Json& node, const std::string& value, const std::string& path, Check& out) const {
  const std::size_t length = length_of(value);
  if (const auto it = node.find("minLength"); it != node.end() && length < it->get<std::size_t>()) {
    out.add(path, fmt::format("found {}; accepted: at least {} character(s)", shown(value), shown(*it)));
  }
  if (const auto it = node.find("maxLength"); it != node.end() && length > it->get<std::size_t>()) {
    out.add(path, fmt::format("found {} characters; accepted: at most {}", length, shown(*it)));
  }
  if (const auto it = node.find("pattern"); it != node.end() && !patterns.at(it->get<std::string>()).matches(value)) {
    out.add(path, fmt::format("found {}; accepted: text that matches {}", shown(value), it->get<std::string>()));
  }
  if (node.contains("format") && !is_date(value))
    out.add(path, fmt::format("found {}; accepted: a date YYYY-MM-DD", shown(value)));
}

void JsonSchema::Impl::check_array(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const {
  if (const auto it = node.find("minItems"); it != node.end() && value.size() < it->get<std::size_t>()) {
    out.add(path, fmt::format("found {} items; accepted: at least {}", value.size(), shown(*it)));
  }
  if (const auto it = node.find("maxItems"); it != node.end() && value.size() > it->get<std::size_t>()) {
    out.add(path, fmt::format("found {} items; accepted: at most {}", value.size(), shown(*it)));
  }
  if (const auto it = node.find("uniqueItems"); it != node.end() && it->get<bool>()) {
    std::set<std::string> seen;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!seen.insert(canonical_json(value[i])).second)
        out.add(fmt::format("{}/{}", path, i),
                fmt::format("found {} a second time; accepted: different items", shown(value[i])));
    }
  }
  if (const auto it = node.find("items"); it != node.end()) {
    for (std::size_t i = 0; i < value.size() && !out.full(); ++i)
      check(*it, value[i], fmt::format("{}/{}", path, i), depth + 1, out);
  }
}

void JsonSchema::Impl::check_object(const Json& node, const Json& value, const std::string& path, int depth, Check& out) const {
  if (const auto it = node.find("required"); it != node.end()) {
    for (const auto& name : *it) {
      if (!value.contains(name.get<std::string>())) out.add(path, fmt::format("the member {} is missing", shown(name)));
    }
  }
  const auto properties = node.find("properties");
  const auto additional = node.find("additionalProperties");
  std::vector<std::string> names;
  if (properties != node.end()) {
    for (const auto& item : properties->items()) names.push_back(item.key());
  }
  for (const auto& item : value.items()) {
    const std::string at = path + "/" + escaped(item.key());
    if (properties != node.end()) {
      if (const auto it = properties->find(item.key()); it != properties->end()) {
        check(*it, item.value(), at, depth + 1, out);
        continue;
      }
    }
    if (additional == node.end()) continue;
    if (*additional != false) {
      check(*additional, item.value(), at, depth + 1, out);
      continue;
    }
    const std::string nearest = nearest_word(item.key(), names);
    out.add(at, fmt::format("unknown member{}; accepted: {}",
                            nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
  }
}

std::vector<std::string> JsonSchema::Impl::trial(const Json& node, const Json& value, const std::string& path,
                                                 int depth) const {
  Check out{.found = {}, .limit = 4};
  check(node, value, path, depth + 1, out);
  return out.found;
}

void JsonSchema::Impl::check_combined(const Json& node, const Json& value, const std::string& path, int depth,
                                      Check& out) const {
  if (const auto it = node.find("allOf"); it != node.end()) {
    for (const auto& part : *it) check(part, value, path, depth + 1, out);
  }
  if (const auto it = node.find("not"); it != node.end() && trial(*it, value, path, depth).empty()) {
    out.add(path, fmt::format("found {}, which is excluded", shown(value)));
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    const auto it = node.find(keyword);
    if (it == node.end()) continue;
    std::size_t fitting = 0;
    std::vector<std::string> nearest;
    for (const auto& part : *it) {
      auto found = trial(part, value, path, depth);
      if (found.empty()) ++fitting;
      // The alternative that got furthest into the value explains best what was meant.
      const auto reach = [](const std::vector<std::string>& list) {
        return list.empty() ? 0 : list.front().substr(0, list.front().find(": ")).size();
      };
      if (!found.empty() && (nearest.empty() || reach(found) > reach(nearest))) nearest = std::move(found);
    }
    if (fitting == 0) {
      for (const auto& problem : nearest) {
        if (!out.full()) out.found.push_back(problem);
      }
    } else if (fitting > 1 && std::string_view(keyword) == "oneOf") {
      out.add(path, fmt::format("found {}, which fits {} of the forms; accepted: exactly one", shown(value), fitting));
    }
  }
}

JsonSchema::JsonSchema(Json schema, const std::string& what) : impl_(std::make_unique<Impl>()) {
  impl_->schema = std::move(schema);
  impl_->what = what;
  impl_->prepare(impl_->schema, "", 0);
}

JsonSchema::~JsonSchema() = default;
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;

std::vector<std::string> JsonSchema::problems(const Json& value, std::size_t limit) const {
  Impl::Check out{.found = {}, .limit = limit};
  impl_->check(impl_->schema, value, "", 0, out);
  return out.found;
}

}  // namespace gauntlet
