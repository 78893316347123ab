// Which values a schema allows, and which schemas exclude each other. Declared in schema_shape.h, tested through schema_grammar_test.cpp.

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "inference/constraint/pattern_language.h"
#include "inference/constraint/schema_shape.h"

namespace gauntlet {
namespace {

/// Schemas inside schemas that are looked into; a deeper difference counts as none.
constexpr int kMostDepth = 6;

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

}  // namespace

CharLanguage SchemaReader::strings(const SchemaShape& shape) const {
  std::optional<CharLanguage> out;
  const auto add = [&](CharLanguage language, const std::string& path) { out = out ? intersect(*out, language, limits_.pattern_states, at(path)) : std::move(language); };
  for (const auto& pattern : shape.patterns) add(pattern_language(pattern.value, limits_.pattern_states, at(pattern.path)), pattern.path);
  for (const auto& format : shape.formats) add(format_language(format.value, at(format.path)), format.path);
  if (shape.min_length > 0 || shape.max_length != UINT64_MAX || !out) {
    const std::uint64_t chain = shape.max_length != UINT64_MAX ? shape.max_length : shape.min_length;
    require(chain <= limits_.pattern_states, ErrorKind::Usage, fmt::format("{}: counting to {} characters beside a pattern or format needs more than {} states", at(shape.path), chain, limits_.pattern_states));
    add(strings_of(all_chars(), shape.min_length, shape.max_length), shape.path);
  }
  return *out;
}

bool SchemaReader::allows(const Conjunction& conjunction, const Json& value, int depth) const {
  if (depth > kMaxJsonDepth) return false;
  const auto all = shapes(conjunction);
  return std::any_of(all.begin(), all.end(), [&](const SchemaShape& shape) { return allows(shape, value, depth); });
}

bool SchemaReader::allows(const SchemaShape& shape, const Json& value, int depth) const {
  if ((type_of(value) & shape.types) == 0) return false;
  if (shape.values && std::find(shape.values->begin(), shape.values->end(), value) == shape.values->end()) return false;
  if (value.is_number()) return shape.numbers.allows(Decimal::of(value));
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const std::uint64_t length = characters_of(text);
    if (length < shape.min_length || length > shape.max_length) return false;
    return (shape.patterns.empty() && shape.formats.empty()) || strings(shape).contains(text);
  }
  if (value.is_array()) {
    if (value.size() < shape.min_items || value.size() > shape.max_items) return false;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (!allows(i < shape.prefix.size() ? shape.prefix[i] : shape.items, value[i], depth + 1)) return false;
    }
  }
  if (value.is_object()) {
    if (value.size() < shape.min_properties || value.size() > shape.max_properties) return false;
    for (const auto& name : shape.required) {
      if (!value.contains(name)) return false;
    }
    for (const auto& item : value.items()) {
      if (!allows(shape.property(item.key()), item.value(), depth + 1)) return false;
    }
  }
  return true;
}

bool SchemaReader::disjoint(const SchemaShape& a, const SchemaShape& b, int depth) const {
  unsigned common = a.types & b.types;
  if (common == 0) return true;
  if (a.values) return std::none_of(a.values->begin(), a.values->end(), [&](const Json& value) { return allows(a, value) && allows(b, value); });
  if (b.values) return disjoint(b, a, depth);
  if ((common & kNumberType) != 0) {
    // Bounds that leave nothing between them.
    NumberBounds both = a.numbers;
    if (b.numbers.least) both.raise(*b.numbers.least);
    if (b.numbers.most) both.lower(*b.numbers.most);
    if (both.least && both.most) {
      const int order = compare(both.least->value, both.most->value);
      if (order > 0 || (order == 0 && !(both.least->included && both.most->included))) common &= ~static_cast<unsigned>(kNumberType);
    }
  }
  if ((common & kStringType) != 0 && (a.min_length > b.max_length || b.min_length > a.max_length)) common &= ~static_cast<unsigned>(kStringType);
  if ((common & kArrayType) != 0 && (a.min_items > b.max_items || b.min_items > a.max_items)) common &= ~static_cast<unsigned>(kArrayType);
  if ((common & kObjectType) != 0 && depth < kMostDepth) {
    const auto apart = [&](const SchemaShape& x, const SchemaShape& y) {
      return std::any_of(x.required.begin(), x.required.end(), [&](const std::string& name) {
        const auto xs = shapes(x.property(name)), ys = shapes(y.property(name));  // none: never there, while the other requires it
        return std::all_of(xs.begin(), xs.end(), [&](const SchemaShape& p) { return std::all_of(ys.begin(), ys.end(), [&](const SchemaShape& q) { return disjoint(p, q, depth + 1); }); }) &&
               (ys.empty() || xs.empty() || y.requires_property(name));
      });
    };
    if (apart(a, b) || apart(b, a)) common &= ~static_cast<unsigned>(kObjectType);
  }
  return common == 0;
}

}  // namespace gauntlet
