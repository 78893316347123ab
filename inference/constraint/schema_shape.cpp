// Tested through schema_grammar_test.cpp.

#include "inference/constraint/schema_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 17> kAnnotations = {"$schema", "$comment", "$defs",     "definitions", "title",           "description",      "default",      "examples",     "example",
                                                           "deprecated", "readOnly", "writeOnly", "$vocabulary", "contentMediaType", "contentEncoding", "contentSchema", "$id"};

std::string escaped(const std::string& key) {
  std::string out;
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

std::string shown(const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > 80) text = valid_utf8(text.substr(0, 77)) + "...";
  return text;
}

unsigned type_bits(const Json& name) {
  if (!name.is_string()) return 0;
  const auto& text = name.get_ref<const std::string&>();
  if (text == "null") return kNullType;
  if (text == "boolean") return kBooleanType;
  if (text == "object") return kObjectType;
  if (text == "array") return kArrayType;
  if (text == "string") return kStringType;
  if (text == "integer") return kIntegerType;
  if (text == "number") return kNumberType;
  return 0;
}

constexpr std::string_view kTypeNames = "null, boolean, object, array, string, integer, number, or a list of them";

}  // namespace

bool says_nothing(const Json& schema) {
  if (!schema.is_object()) return schema == true;
  for (const auto& item : schema.items()) {
    if (item.key() == "$id" || std::find(kAnnotations.begin(), kAnnotations.end(), item.key()) == kAnnotations.end()) return false;
  }
  return true;
}

/// One shape in the making.
struct SchemaReader::Reading {
  SchemaShape shape;
  const Choices* choices = nullptr;
  std::vector<const Json*> path;        ///< schemas that are being read, outermost first
  std::set<const Json*> seen;
  std::vector<Group> open;              ///< alternatives that are not chosen yet
};

bool SchemaShape::requires_property(const std::string& name) const { return std::find(required.begin(), required.end(), name) != required.end(); }

Conjunction SchemaShape::property(const std::string& name) const {
  Conjunction out;
  for (const auto& known : properties) {
    if (known.name == name) out = known.value;
  }
  for (const auto& closing : closings) {
    if (closing.additional && !closing.names.contains(name)) out.push_back(*closing.additional);
  }
  return out;
}

std::optional<Conjunction> SchemaShape::additional() const {
  Conjunction out;
  for (const auto& closing : closings) {
    if (closing.additional) out.push_back(*closing.additional);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

SchemaReader::SchemaReader(const Json& schema, std::string what, const GrammarLimits& limits) : schema_(schema), what_(std::move(what)), limits_(limits) {
  // The depth is looked at first, because other walks are recursive.
  std::vector<std::pair<const Json*, int>> open = {{&schema, 0}};
  while (!open.empty()) {
    const auto [node, depth] = open.back();
    open.pop_back();
    require(depth <= 3 * limits.schema_depth, ErrorKind::Usage, fmt::format("{}: the schema is nested more than {} levels deep", what_, 3 * limits.schema_depth));
    if (!node->is_structured()) continue;
    for (const auto& item : *node) open.emplace_back(&item, depth + 1);
  }
  const std::size_t bytes = dump_json(schema).size();
  require(bytes <= limits.schema_bytes, ErrorKind::Usage, fmt::format("{}: the schema has {} bytes; accepted: {}", what_, bytes, limits.schema_bytes));
}

void SchemaReader::refuse(const std::string& path, const Json& found, const std::string& accepted) const {
  fail(ErrorKind::Usage, fmt::format("{}: found {}; accepted: {}", at(path), shown(found), accepted));
}

SchemaPart SchemaReader::child(const SchemaPart& part, const std::string& keyword, const Json& value) const { return {&value, part.path + "/" + escaped(keyword)}; }

SchemaPart SchemaReader::resolve(const std::string& reference, const std::string& path) const {
  require(reference.starts_with('#'), ErrorKind::Usage, fmt::format("{}: found \"{}\"; accepted: \"#\" or a JSON pointer into this schema, such as \"#/$defs/NAME\"", at(path), reference));
  std::string pointer = reference.substr(1);
  // A fragment may be percent-encoded.
  for (std::size_t i = 0; i + 2 < pointer.size(); ++i) {
    if (pointer[i] != '%') continue;
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    const int high = digit(pointer[i + 1]), low = digit(pointer[i + 2]);
    if (high >= 0 && low >= 0) pointer.replace(i, 3, 1, static_cast<char>(high * 16 + low));
  }
  const Json* found = nullptr;
  try {
    const Json::json_pointer parsed(pointer);
    if (schema_.contains(parsed)) found = &schema_.at(parsed);
  } catch (const Json::exception&) {
    found = nullptr;
  }
  require(found != nullptr, ErrorKind::Usage, fmt::format("{}: \"{}\" leads nowhere in this schema (anchors are not supported)", at(path), reference));
  return {found, pointer};
}

std::vector<SchemaShape> SchemaReader::shapes(const Conjunction& conjunction) const {
  std::vector<SchemaShape> out;
  Choices choices;
  collect(conjunction, choices, out);
  return out;
}

void SchemaReader::collect(const Conjunction& conjunction, Choices& choices, std::vector<SchemaShape>& out) const {
  Reading reading;
  reading.choices = &choices;
  if (!conjunction.empty()) reading.shape.path = conjunction.front().path;
  for (const auto& part : conjunction) read(reading, part);
  require(++choices.steps <= 20 * limits_.alternatives, ErrorKind::Usage, fmt::format("{}: the alternatives combine in more than {} ways", at(reading.shape.path), 20 * limits_.alternatives));
  if (reading.shape.types == 0 || (reading.shape.values && reading.shape.values->empty())) return;
  if (reading.open.empty()) {
    require(out.size() < limits_.alternatives, ErrorKind::Usage, fmt::format("{}: the alternatives combine to more than {}", at(reading.shape.path), limits_.alternatives));
    out.push_back(std::move(reading.shape));
    return;
  }
  const Group group = reading.open.front();
  std::vector<std::vector<SchemaShape>> alternatives;
  std::size_t total = out.size();
  for (std::size_t i = 0; i < group.list->size(); ++i) {
    choices.of[group.list] = i;
    collect(conjunction, choices, alternatives.emplace_back());
    total += alternatives.back().size();
    require(total <= limits_.alternatives, ErrorKind::Usage, fmt::format("{}: the alternatives combine to more than {}", at(group.path), limits_.alternatives));
  }
  choices.of.erase(group.list);
  if (group.exactly_one) require_disjoint(group, alternatives);
  for (auto& shapes_of_one : alternatives) {
    for (auto& shape : shapes_of_one) out.push_back(std::move(shape));
  }
}

void SchemaReader::require_disjoint(const Group& group, const std::vector<std::vector<SchemaShape>>& alternatives) const {
  constexpr std::size_t kMost = 200;
  require(alternatives.size() <= kMost, ErrorKind::Usage, fmt::format("{}: found {} alternatives; accepted: {}", at(group.path), alternatives.size(), kMost));
  for (std::size_t i = 0; i < alternatives.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      for (const auto& a : alternatives[i]) {
        for (const auto& b : alternatives[k]) {
          require(disjoint(a, b), ErrorKind::Usage,
                  fmt::format("{}: alternatives {} and {} may both hold for one value, which oneOf forbids; accepted: alternatives told apart by type, by number range, or by a required property with different "
                              "constants; or anyOf",
                              at(group.path), k, i));
        }
      }
    }
  }
}

void SchemaReader::read(Reading& reading, const SchemaPart& part) const {
  const Json& schema = *part.schema;
  if (schema.is_boolean()) {
    if (!schema.get<bool>()) reading.shape.types = 0;
    return;
  }
  if (!schema.is_object()) refuse(part.path, schema, "a schema (an object, true or false)");
  if (std::find(reading.path.begin(), reading.path.end(), &schema) != reading.path.end()) {
    fail(ErrorKind::Usage, fmt::format("{}: the schema refers to itself with no array or object in between", at(part.path)));
  }
  if (!reading.seen.insert(&schema).second) return;  // said already
  require(reading.path.size() <= static_cast<std::size_t>(limits_.schema_depth), ErrorKind::Usage, fmt::format("{}: the schema is nested more than {} levels deep", at(part.path), limits_.schema_depth));
  reading.path.push_back(&schema);
  SchemaShape::Closing closing;
  for (const auto& item : schema.items()) read_keyword(reading, part, item.key(), item.value());
  if (const auto it = schema.find("properties"); it != schema.end()) {
    for (const auto& item : it->items()) closing.names.insert(item.key());
  }
  if (const auto it = schema.find("additionalProperties"); it != schema.end()) closing.additional = child(part, "additionalProperties", *it);
  if (!closing.names.empty() || closing.additional) reading.shape.closings.push_back(std::move(closing));
  reading.path.pop_back();
}

void SchemaReader::read_keyword(Reading& reading, const SchemaPart& part, const std::string& keyword, const Json& value) const {
  const std::string path = part.path + "/" + escaped(keyword);
  if (keyword == "$ref") {
    if (!value.is_string()) refuse(path, value, "text");
    read(reading, resolve(value.get<std::string>(), path));
  } else if (keyword == "allOf") {
    if (!value.is_array() || value.empty()) refuse(path, value, "a list of schemas");
    for (std::size_t i = 0; i < value.size(); ++i) read(reading, {&value[i], fmt::format("{}/{}", path, i)});
  } else if (keyword == "anyOf" || keyword == "oneOf") {
    if (!value.is_array() || value.empty()) refuse(path, value, "a list of schemas");
    if (const auto chosen = reading.choices->of.find(&value); chosen != reading.choices->of.end()) read(reading, {&value[chosen->second], fmt::format("{}/{}", path, chosen->second)});
    else reading.open.push_back({&value, path, keyword == "oneOf"});
  } else if (!read_value_keyword(reading.shape, part, keyword, value) && !read_object_keyword(reading.shape, part, keyword, value)) {
    if (std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end()) {
      if (keyword == "$id" && !part.path.empty()) refuse(path, value, "$id at the top of the schema only");
      return;
    }
    fail(ErrorKind::Usage, fmt::format("{}: the keyword \"{}\" is not supported in constrained decoding", at(path), keyword));
  }
}

bool SchemaReader::read_value_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) const {
  const std::string path = part.path + "/" + escaped(keyword);
  const auto count = [&]() -> std::uint64_t {
    const bool whole = value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0) || (value.is_number_float() && value.get<double>() >= 0 && value.get<double>() < 1e15 && value.get<double>() == static_cast<double>(static_cast<std::int64_t>(value.get<double>())));
    if (!whole) refuse(path, value, "a whole number of 0 or more");
    return value.is_number_float() ? static_cast<std::uint64_t>(value.get<double>()) : value.get<std::uint64_t>();
  };
  const auto bound = [&](bool included) -> NumberBounds::Bound {
    if (!value.is_number()) refuse(path, value, "a number");
    return {Decimal::of(value), included};
  };
  const auto text = [&]() -> SchemaShape::Text {
    if (!value.is_string()) refuse(path, value, "text");
    return {value.get<std::string>(), path};
  };
  if (keyword == "type") {
    unsigned bits = type_bits(value);
    if (value.is_array()) {
      for (const auto& name : value) {
        if (type_bits(name) == 0) refuse(path, value, std::string(kTypeNames));
        bits |= type_bits(name);
      }
    }
    if (bits == 0) refuse(path, value, std::string(kTypeNames));
    const auto nullable = part.schema->find("nullable");
    if (nullable != part.schema->end() && nullable->is_boolean() && nullable->get<bool>()) bits |= kNullType;
    shape.types &= bits;
  } else if (keyword == "nullable") {
    if (!value.is_boolean()) refuse(path, value, "true or false");
  } else if (keyword == "enum" || keyword == "const") {
    if (keyword == "enum" && !value.is_array()) refuse(path, value, "a list");
    std::vector<Json> values;
    if (keyword == "const") values.push_back(value);
    else values.assign(value.begin(), value.end());
    if (shape.values) std::erase_if(*shape.values, [&](const Json& known) { return std::find(values.begin(), values.end(), known) == values.end(); });
    else shape.values = std::move(values);
  } else if (keyword == "minimum") {
    shape.numbers.raise(bound(true));
  } else if (keyword == "exclusiveMinimum") {
    shape.numbers.raise(bound(false));
  } else if (keyword == "maximum") {
    shape.numbers.lower(bound(true));
  } else if (keyword == "exclusiveMaximum") {
    shape.numbers.lower(bound(false));
  } else if (keyword == "minLength") {
    shape.min_length = std::max(shape.min_length, count());
  } else if (keyword == "maxLength") {
    shape.max_length = std::min(shape.max_length, count());
  } else if (keyword == "pattern") {
    shape.patterns.push_back(text());
  } else if (keyword == "format") {
    shape.formats.push_back(text());
  } else if (keyword == "minItems") {
    shape.min_items = std::max(shape.min_items, count());
  } else if (keyword == "maxItems") {
    shape.max_items = std::min(shape.max_items, count());
  } else if (keyword == "minProperties") {
    shape.min_properties = std::max(shape.min_properties, count());
  } else if (keyword == "maxProperties") {
    shape.max_properties = std::min(shape.max_properties, count());
  } else if (keyword == "uniqueItems") {
    if (value != false) refuse(path, value, "false");
  } else {
    return false;
  }
  return true;
}

bool SchemaReader::read_object_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) const {
  const std::string path = part.path + "/" + escaped(keyword);
  if (keyword == "properties") {
    if (!value.is_object()) refuse(path, value, "an object of schemas");
    std::map<std::string_view, std::size_t> known;
    for (std::size_t i = 0; i < shape.properties.size(); ++i) known.emplace(shape.properties[i].name, i);
    std::vector<SchemaShape::Property> fresh;
    for (const auto& item : value.items()) {
      const SchemaPart property = {&item.value(), path + "/" + escaped(item.key())};
      if (const auto it = known.find(item.key()); it != known.end()) shape.properties[it->second].value.push_back(property);
      else fresh.push_back({item.key(), {property}});
    }
    for (auto& property : fresh) shape.properties.push_back(std::move(property));
  } else if (keyword == "required") {
    const bool names = value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& name) { return name.is_string(); });
    if (!names) refuse(path, value, "a list of names");
    std::set<std::string> known(shape.required.begin(), shape.required.end());
    for (const auto& name : value) {
      if (known.insert(name.get<std::string>()).second) shape.required.push_back(name.get<std::string>());
    }
  } else if (keyword == "additionalProperties") {
    if (!value.is_object() && !value.is_boolean()) refuse(path, value, "a schema");
  } else if (keyword == "prefixItems") {
    if (!value.is_array()) refuse(path, value, "a list of schemas");
    const auto items = part.schema->find("items");
    const Conjunction rest = shape.items;
    while (shape.prefix.size() < value.size()) shape.prefix.push_back(rest);
    for (std::size_t i = 0; i < value.size(); ++i) shape.prefix[i].push_back({&value[i], fmt::format("{}/{}", path, i)});
    if (items != part.schema->end()) {
      // Another schema's prefix may be longer.
      for (std::size_t i = value.size(); i < shape.prefix.size(); ++i) shape.prefix[i].push_back(child(part, "items", *items));
      shape.items.push_back(child(part, "items", *items));
    }
  } else if (keyword == "items") {
    if (value.is_array()) refuse(path, value, "a schema; a list of schemas is prefixItems");
    if (part.schema->contains("prefixItems")) return true;  // read with it
    const SchemaPart items = child(part, "items", value);
    for (auto& position : shape.prefix) position.push_back(items);
    shape.items.push_back(items);
  } else {
    return false;
  }
  return true;
}

}  // namespace gauntlet
