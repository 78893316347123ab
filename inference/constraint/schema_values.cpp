// Values in schemas, and which of them a schema allows. Declared in schema_shape.h, tested through schema_grammar_test.cpp.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "inference/constraint/pattern_language.h"
#include "inference/constraint/schema_shape.h"

namespace gauntlet {
namespace {

bool is_integer(const Json& value) {
  if (!value.is_number_float()) return value.is_number();
  const auto digits = Decimal::of(value);
  return digits.fraction.empty();
}

unsigned type_of(const Json& value) {
  if (value.is_null()) return kNullType;
  if (value.is_boolean()) return kBooleanType;
  if (value.is_object()) return kObjectType;
  if (value.is_array()) return kArrayType;
  if (value.is_string()) return kStringType;
  return is_integer(value) ? kIntegerType : kFractionType;
}

std::uint64_t characters_of(const std::string& text) {
  return static_cast<std::uint64_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

void add_key(std::string& out, const Json& value) {
  if (value.is_number()) {
    const Decimal digits = Decimal::of(value);
    out += fmt::format("{}{}.{}", digits.negative ? "-" : "", digits.whole, digits.fraction);
  } else if (value.is_array()) {
    out += '[';
    for (const auto& item : value) {
      add_key(out, item);
      out += ',';
    }
    out += ']';
  } else if (value.is_object()) {
    std::map<std::string_view, const Json*> members;
    for (const auto& item : value.items()) members.emplace(item.key(), &item.value());
    out += '{';
    for (const auto& [name, item] : members) {
      out += fmt::format("{}:{}=", name.size(), name);
      add_key(out, *item);
      out += ',';
    }
    out += '}';
  } else if (value.is_string()) {
    out += fmt::format("\"{}:{}", value.get_ref<const std::string&>().size(), value.get_ref<const std::string&>());
  } else {
    out += value.is_null() ? "null" : value.get<bool>() ? "true" : "false";
  }
}

}  // namespace

std::string value_key(const Json& value) {
  std::string out;
  add_key(out, value);
  return out;
}

const Json* SchemaReader::member(const Json& object, std::string_view name) {
  constexpr std::size_t kFew = 16;
  budget_.spend(1);
  if (object.size() <= kFew) {
    const auto it = object.find(name);
    return it == object.end() ? nullptr : &*it;
  }
  auto& index = members_[&object];
  if (index.empty()) {
    budget_.spend(object.size());
    budget_.hold(64 * object.size());
    for (const auto& item : object.items()) index.emplace(item.key(), &item.value());
  }
  const auto it = index.find(name);
  return it == index.end() ? nullptr : it->second;
}

std::shared_ptr<const std::unordered_set<std::string_view>> SchemaReader::names_of(const Json& properties) {
  auto& known = names_[&properties];
  if (!known) {
    budget_.spend(properties.size());
    budget_.hold(64 * properties.size());
    auto names = std::make_shared<std::unordered_set<std::string_view>>();
    for (const auto& item : properties.items()) names->insert(item.key());
    known = std::move(names);
  }
  return known;
}

void SchemaReader::read_values(SchemaShape& shape, const Json& value, Allowed allowed) {
  auto& known = values_[&value];
  if (!known) {
    auto values = std::make_shared<SchemaShape::Values>();
    const auto add = [&](const Json& item) {
      std::string key = value_key(item);
      budget_.spend(4 + key.size() / 16);
      budget_.hold(key.size() + 100);
      values->list.push_back(&item);
      values->keys.insert(std::move(key));
    };
    if (allowed == Allowed::It) {
      add(value);
    } else {
      for (const auto& item : value) add(item);
    }
    known = std::move(values);
  }
  if (!shape.values) {
    shape.values = known;
    return;
  }
  auto both = std::make_shared<SchemaShape::Values>();
  for (const Json* item : shape.values->list) {
    std::string key = value_key(*item);
    budget_.spend(4 + key.size() / 16);
    if (!known->keys.contains(key)) continue;
    budget_.hold(key.size() + 100);
    both->list.push_back(item);
    both->keys.insert(std::move(key));
  }
  shape.values = std::move(both);
}

const CharLanguage& SchemaReader::strings(const SchemaShape& shape) {
  std::vector<const char*> texts;
  for (const auto& pattern : shape.patterns) texts.push_back(pattern.value.data());
  for (const auto& format : shape.formats) texts.push_back(format.value.data());
  budget_.spend(1 + texts.size());
  std::tuple key = {std::move(texts), shape.min_length, shape.max_length};
  if (const auto it = strings_.find(key); it != strings_.end()) return it->second;
  std::optional<CharLanguage> out;
  const auto add = [&](CharLanguage language, const std::string& path) { out = out ? intersect(*out, language, limits_.pattern_states, at(path), budget_) : std::move(language); };
  for (const auto& pattern : shape.patterns) add(pattern_language(pattern.value, limits_.pattern_states, at(pattern.path), budget_), pattern.path);
  for (const auto& format : shape.formats) add(format_language(format.value, at(format.path), budget_), format.path);
  if (shape.min_length > 0 || shape.max_length != UINT64_MAX || !out) {
    const std::uint64_t chain = shape.max_length != UINT64_MAX ? shape.max_length : shape.min_length;
    require(chain <= limits_.pattern_states, ErrorKind::Usage, fmt::format("{}: counting to {} characters beside a pattern or format needs more than {} states", at(shape.path), chain, limits_.pattern_states));
    add(strings_of(all_chars(), shape.min_length, shape.max_length, budget_), shape.path);
  }
  return strings_.emplace(std::move(key), std::move(*out)).first->second;
}

bool SchemaReader::allows(const Conjunction& conjunction, const Json& value) {
  const Shapes& all = shapes(conjunction);
  budget_.spend(1);
  const auto [it, fresh] = allowed_.try_emplace({&all, &value}, false);
  if (!fresh) return it->second;
  budget_.hold(64);
  const bool out = std::any_of(all.begin(), all.end(), [&](const SchemaShape& shape) { return allows(shape, value); });
  return it->second = out;
}

bool SchemaReader::allows(const SchemaShape& shape, const Json& value) {
  if (shape.values) {
    const std::string key = value_key(value);
    budget_.spend(3 + key.size() / 16);
    if (!shape.values->keys.contains(key)) return false;
  }
  return fits(shape, shape.types, value);
}

bool SchemaReader::fits(const SchemaShape& shape, unsigned types, const Json& value) {
  budget_.spend(3);
  if ((type_of(value) & types) == 0) return false;
  if (value.is_number()) return shape.numbers.allows(Decimal::of(value));
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    budget_.spend(text.size() / 64);
    const std::uint64_t length = characters_of(text);
    if (length < shape.min_length || length > shape.max_length) return false;
    return (shape.patterns.empty() && shape.formats.empty()) || strings(shape).contains(text, budget_);
  }
  if (value.is_array()) {
    if (value.size() < shape.min_items || value.size() > shape.max_items) return false;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!allows(i < shape.prefix.size() ? shape.prefix[i] : shape.items, value[i])) return false;
    }
  }
  if (value.is_object()) {
    if (value.size() < shape.min_properties || value.size() > shape.max_properties) return false;
    for (const auto name : shape.required) {
      if (member(value, name) == nullptr) return false;
    }
    for (const auto& item : value.items()) {
      if (!allows(property(shape, item.key()), item.value())) return false;
    }
  }
  return true;
}

}  // namespace gauntlet
