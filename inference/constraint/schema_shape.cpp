// Tested through schema_grammar_test.cpp.

#include "inference/constraint/schema_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "inference/constraint/shortened.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 17> kAnnotations = {"$schema", "$comment", "$defs",     "definitions", "title",           "description",      "default",      "examples",     "example",
                                                           "deprecated", "readOnly", "writeOnly", "$vocabulary", "contentMediaType", "contentEncoding", "contentSchema", "$id"};

std::string escaped(const std::string& whole) {
  const std::string key = shortened(whole);
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

Conjunction SchemaShape::property(std::string_view name) const {
  Conjunction out;
  if (const auto it = positions.find(name); it != positions.end()) out = properties[it->second].value;
  for (const auto& closing : closings) {
    if (closing.additional && !closing.names->contains(name)) out.push_back(*closing.additional);
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

SchemaReader::SchemaReader(const Json& schema, const std::string& what, const GrammarLimits& limits, Budget& budget) : schema_(schema), what_(shortened(what)), limits_(limits), budget_(budget) {
  // The depth is looked at first, because other walks are recursive.
  std::vector<std::pair<const Json*, int>> open = {{&schema, 0}};
  while (!open.empty()) {
    const auto [node, depth] = open.back();
    open.pop_back();
    budget.spend(1);
    require(depth <= 3 * limits.schema_depth, ErrorKind::Usage, fmt::format("{}: the schema is nested more than {} levels deep", what_, 3 * limits.schema_depth));
    if (!node->is_structured()) continue;
    for (const auto& item : *node) open.emplace_back(&item, depth + 1);
  }
  const std::size_t bytes = dump_json(schema).size();
  require(bytes <= limits.schema_bytes, ErrorKind::Usage, fmt::format("{}: the schema has {} bytes; accepted: {}", what_, bytes, limits.schema_bytes));
}

std::string SchemaReader::at(const std::string& path) const {
  if (path.empty()) return what_;
  // The end of a path says most.
  return what_ + " " + (path.size() <= 200 ? path : "..." + valid_utf8(std::string_view(path).substr(path.size() - 200)));
}

void SchemaReader::refuse(const std::string& path, const Json& found, const std::string& accepted) const {
  fail(ErrorKind::Usage, fmt::format("{}: found {}; accepted: {}", at(path), shown(found), accepted));
}

SchemaPart SchemaReader::child(const SchemaPart& part, const std::string& keyword, const Json& value) const { return {&value, part.path + "/" + escaped(keyword)}; }

SchemaPart SchemaReader::resolve(const std::string& reference, const std::string& path) {
  require(reference.starts_with('#'), ErrorKind::Usage, fmt::format("{}: found \"{}\"; accepted: \"#\" or a JSON pointer into this schema, such as \"#/$defs/NAME\"", at(path), shortened(reference)));
  std::string pointer = reference.substr(1);
  // A fragment may be percent-encoded.
  for (std::size_t i = 0; i + 2 < pointer.size(); ++i) {
    if (pointer[i] != '%') continue;
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    const int high = digit(pointer[i + 1]), low = digit(pointer[i + 2]);
    if (high >= 0 && low >= 0) pointer.replace(i, 3, 1, static_cast<char>(high * 16 + low));
  }
  budget_.spend(1 + pointer.size() / 16);
  const Json* found = pointer.empty() || pointer.starts_with('/') ? &schema_ : nullptr;
  for (std::size_t begin = 1; found != nullptr && begin <= pointer.size();) {
    const std::size_t end = std::min(pointer.find('/', begin), pointer.size());
    std::string key;
    for (std::size_t i = begin; i < end; ++i) {
      if (pointer[i] != '~') key += pointer[i];
      else key += i + 1 < end && pointer[i + 1] == '1' ? '/' : '~', ++i;
    }
    begin = end + 1;
    if (found->is_object()) {
      found = member(*found, key);
    } else if (found->is_array()) {
      const bool index = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos && (key == "0" || key[0] != '0');
      const std::size_t i = index ? std::stoul(key) : found->size();
      found = i < found->size() ? &(*found)[i] : nullptr;
    } else {
      found = nullptr;
    }
  }
  require(found != nullptr, ErrorKind::Usage, fmt::format("{}: \"{}\" leads nowhere in this schema (anchors are not supported)", at(path), shortened(reference)));
  return {found, shortened(pointer)};
}

Conjunction SchemaReader::direct(const Conjunction& conjunction) {
  Conjunction out;
  for (const auto& part : conjunction) {
    budget_.spend(2);
    SchemaPart end = part;
    const auto refers = [&] { return end.schema->is_object() && end.schema->size() == 1 && end.schema->begin().key() == "$ref" && end.schema->begin()->is_string(); };
    int hops = 0;
    for (; hops < limits_.schema_depth && refers(); ++hops) end = resolve(end.schema->begin()->get_ref<const std::string&>(), end.path + "/$ref");
    if (refers()) end = part;  // perhaps without end: reading it says so
    if (!says_nothing(*end.schema)) out.push_back(std::move(end));
  }
  return out;
}

const std::vector<SchemaShape>& SchemaReader::shapes(const Conjunction& whole) {
  const Conjunction conjunction = direct(whole);
  std::vector<const Json*> key;
  for (const auto& part : conjunction) key.push_back(part.schema);
  budget_.spend(1 + key.size());
  if (const auto it = shapes_.find(key); it != shapes_.end()) return *it->second;
  budget_.hold(200 + 8 * key.size());
  auto made = std::make_unique<Shapes>();
  std::vector<Exclusion> exclusions;
  Choices choices;
  collect(conjunction, choices, *made, exclusions);
  const Shapes& out = *shapes_.emplace(std::move(key), std::move(made)).first->second;
  for (auto& exclusion : exclusions) {
    exclusion.shapes = &out;
    exclusions_.push_back(std::move(exclusion));
  }
  check_exclusions();
  return out;
}

Conjunction SchemaReader::property(const SchemaShape& shape, std::string_view name) {
  Conjunction out = shape.property(name);
  budget_.spend(2 + out.size() + shape.closings.size());
  return out;
}

void SchemaReader::collect(const Conjunction& conjunction, Choices& choices, Shapes& out, std::vector<Exclusion>& exclusions) {
  Reading reading;
  reading.choices = &choices;
  if (!conjunction.empty()) reading.shape.path = conjunction.front().path;
  for (const auto& part : conjunction) read(reading, part);
  require(++choices.steps <= 20 * limits_.alternatives, ErrorKind::Usage, fmt::format("{}: the alternatives combine in more than {} ways", at(reading.shape.path), 20 * limits_.alternatives));
  if (reading.shape.types == 0 || (reading.shape.values && reading.shape.values->list.empty())) return;
  if (reading.open.empty()) {
    require(out.size() < limits_.alternatives, ErrorKind::Usage, fmt::format("{}: the alternatives combine to more than {}", at(reading.shape.path), limits_.alternatives));
    budget_.hold(2 * sizeof(SchemaShape));
    out.push_back(std::move(reading.shape));
    return;
  }
  const Group group = reading.open.front();
  reading = {};  // not held while the alternatives are read
  Exclusion exclusion{.shapes = nullptr, .path = group.path, .first = {}};
  for (std::size_t i = 0; i < group.list->size(); ++i) {
    choices.of[group.list] = i;
    exclusion.first.push_back(out.size());
    collect(conjunction, choices, out, exclusions);
  }
  exclusion.first.push_back(out.size());
  choices.of.erase(group.list);
  if (group.exactly_one) exclusions.push_back(std::move(exclusion));
}

void SchemaReader::read(Reading& reading, const SchemaPart& part) {
  budget_.spend(2);
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
  static const Json kNone = Json::object();
  const auto properties = schema.find("properties");
  closing.names = names_of(properties != schema.end() ? *properties : kNone);
  if (const auto it = schema.find("additionalProperties"); it != schema.end()) closing.additional = child(part, "additionalProperties", *it);
  if (!closing.names->empty() || closing.additional) reading.shape.closings.push_back(std::move(closing));
  reading.path.pop_back();
}

void SchemaReader::read_keyword(Reading& reading, const SchemaPart& part, const std::string& keyword, const Json& value) {
  const std::string path = part.path + "/" + escaped(keyword);
  budget_.spend(2 + path.size() / 32);
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
    fail(ErrorKind::Usage, fmt::format("{}: the keyword \"{}\" is not supported in constrained decoding", at(path), shortened(keyword)));
  }
}

bool SchemaReader::read_value_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) {
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
    return {value.get_ref<const std::string&>(), path};
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
    read_values(shape, value, keyword == "enum" ? Allowed::ItsItems : Allowed::It);
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

bool SchemaReader::read_object_keyword(SchemaShape& shape, const SchemaPart& part, const std::string& keyword, const Json& value) {
  const std::string path = part.path + "/" + escaped(keyword);
  if (keyword == "properties") {
    if (!value.is_object()) refuse(path, value, "an object of schemas");
    for (const auto& item : value.items()) {
      SchemaPart property = {&item.value(), path + "/" + escaped(item.key())};
      budget_.spend(4 + property.path.size() / 32);
      budget_.hold(sizeof(SchemaShape::Property) + sizeof(SchemaPart) + property.path.size() + 100);
      const std::string_view name = item.key();  // the document's
      const auto [it, fresh] = shape.positions.try_emplace(name, shape.properties.size());
      if (fresh) shape.properties.push_back({name, {}});
      shape.properties[it->second].value.push_back(std::move(property));
    }
  } else if (keyword == "required") {
    const bool names = value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& name) { return name.is_string(); });
    if (!names) refuse(path, value, "a list of names");
    budget_.spend(value.size());
    budget_.hold(80 * value.size());
    for (const auto& item : value) {
      const std::string_view name = item.get_ref<const std::string&>();
      if (shape.required_names.insert(name).second) shape.required.push_back(name);
    }
  } else if (keyword == "additionalProperties") {
    if (!value.is_object() && !value.is_boolean()) refuse(path, value, "a schema");
  } else if (keyword == "prefixItems") {
    if (!value.is_array()) refuse(path, value, "a list of schemas");
    const auto items = part.schema->find("items");
    const Conjunction rest = shape.items;
    const std::size_t positions = std::max(shape.prefix.size(), value.size());
    budget_.spend(2 * positions + value.size() * rest.size());
    budget_.hold((2 * positions + value.size() * rest.size()) * (sizeof(SchemaPart) + path.size() + 48));
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
    budget_.spend(shape.prefix.size());
    budget_.hold(shape.prefix.size() * (sizeof(SchemaPart) + path.size() + 48));
    for (auto& position : shape.prefix) position.push_back(items);
    shape.items.push_back(items);
  } else {
    return false;
  }
  return true;
}

}  // namespace gauntlet
