#include "inference/constraint/schema_grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "inference/constraint/shortened.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

/// White space after a line break in what is written.
constexpr std::uint64_t kMostIndent = 32;

constexpr unsigned kNoStrings = kAllTypes & ~static_cast<unsigned>(kStringType);

}  // namespace

SchemaGrammar::SchemaGrammar(GrammarBuilder& builder, const Json& schema, const std::string& what, std::vector<std::string> without)
    : builder_(builder), reader_(schema, what, builder.limits(), builder.budget()), without_(std::move(without)) {}

RuleId SchemaGrammar::json() {
  const RuleId rule = value(reader_.root(), kAllTypes);
  fill();
  return rule;
}

void SchemaGrammar::fill() {
  while (!pending_.empty()) {
    const Pending next = std::move(pending_.back());
    pending_.pop_back();
    for (const auto& shape : reader_.shapes(next.conjunction)) add_json(builder_.start(next.rule), shape, shape.types & next.types, builder_.end(next.rule));
  }
}

RuleId SchemaGrammar::value(const Conjunction& conjunction, unsigned types) {
  std::pair<std::vector<const Json*>, unsigned> key = {{}, types};
  Conjunction telling = reader_.direct(conjunction);
  builder_.budget().spend(2 + 2 * conjunction.size());
  for (const auto& part : telling) key.first.push_back(part.schema);
  if (const auto it = values_.find(key); it != values_.end()) return it->second;
  const RuleId rule = builder_.add_rule();
  values_.emplace(std::move(key), rule);
  pending_.push_back({std::move(telling), types, rule});
  return rule;
}

void SchemaGrammar::add_json(StateId from, const SchemaShape& shape, unsigned types, StateId to) {
  if (shape.values) return add_values(from, shape, types, Spelling::Quoted, to);
  if ((types & kNullType) != 0) builder_.literal(from, "null", to);
  if ((types & kBooleanType) != 0) builder_.literals(from, {"true", "false"}, to);
  if ((types & kNumberType) != 0) add_number(from, shape, types, to);
  if ((types & kStringType) != 0) add_string(from, shape, Spelling::Quoted, to);
  if ((types & kArrayType) != 0) builder_.call(from, array(shape), to);
  if ((types & kObjectType) != 0) builder_.call(from, object(shape), to);
}

void SchemaGrammar::check_text(std::string_view text, const std::string& path) const {
  builder_.budget().spend(1 + (1 + without_.size()) * text.size() / 64);
  require(is_utf8(text), ErrorKind::Usage, fmt::format("{}: the text is not valid UTF-8", reader_.at(path)));
  for (const auto& word : without_) {
    require(text.find(word) == std::string::npos, ErrorKind::Usage, fmt::format("{}: the schema asks for the text \"{}\", which cannot be written in this format", reader_.at(path), word));
  }
}

void SchemaGrammar::add_values(StateId from, const SchemaShape& shape, unsigned types, Spelling spelling, StateId to) {
  std::vector<std::string> texts;
  for (const Json* item : shape.values->list) {
    const Json& value = *item;
    if (!reader_.fits(shape, types, value)) continue;
    if (value.is_structured() && !value.empty()) {
      const RuleId rule = builder_.add_rule(GrammarBuilder::Nesting::Yes);
      add_constant(builder_.start(rule), value, builder_.end(rule));
      builder_.call(from, rule, to);
    } else if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      check_text(text, shape.path);
      texts.push_back(spelling == Spelling::Raw ? text : json_text(text));
    } else {
      texts.push_back(dump_json(value));
    }
  }
  if (!texts.empty()) builder_.literals(from, std::move(texts), to);
}

void SchemaGrammar::add_constant(StateId from, const Json& value, StateId to) {
  if (!value.is_structured() || value.empty()) {
    if (value.is_string()) check_text(value.get<std::string>(), "");
    return builder_.literal(from, value.is_string() ? json_text(value.get<std::string>()) : dump_json(value), to);
  }
  const bool is_object = value.is_object();
  StateId at = builder_.add_state();
  builder_.literal(from, is_object ? "{" : "[", at);
  bool first = true;
  for (const auto& item : value.items()) {
    const auto next = [&] { return std::exchange(at, builder_.add_state()); };
    if (!first) {
      const StateId before = next();
      builder_.literal(before, ",", at);
    }
    first = false;
    StateId before = next();
    builder_.call(before, space(), at);
    if (is_object) {
      check_text(item.key(), "");
      before = next();
      builder_.literal(before, json_text(item.key()) + ":", at);
      before = next();
      builder_.call(before, space(), at);
    }
    before = next();
    if (item.value().is_structured() && !item.value().empty()) {
      const RuleId rule = builder_.add_rule(GrammarBuilder::Nesting::Yes);
      add_constant(builder_.start(rule), item.value(), builder_.end(rule));
      builder_.call(before, rule, at);
    } else {
      add_constant(before, item.value(), at);
    }
  }
  const StateId close = builder_.add_state();
  builder_.call(at, space(), close);
  builder_.literal(close, is_object ? "}" : "]", to);
}

void SchemaGrammar::add_string(StateId from, const SchemaShape& shape, Spelling spelling, StateId to) {
  StateId begin = from, end = to;
  if (spelling == Spelling::Quoted) {
    begin = builder_.add_state(), end = builder_.add_state();
    builder_.literal(from, "\"", begin);
    builder_.literal(end, "\"", to);
  }
  const bool counted = shape.min_length > 0 || shape.max_length != UINT64_MAX;
  if (!shape.patterns.empty() || !shape.formats.empty()) {
    spell(builder_, begin, restricted(reader_.strings(shape), safe_chars(), builder_.budget()), spelling, end);
  } else if (counted) {
    if (shape.min_length > shape.max_length) return;
    builder_.repeat(begin, spelling == Spelling::Quoted ? json_char() : raw_char(), shape.min_length, shape.max_length, end, reader_.at(shape.path));
  } else {
    builder_.call(begin, spelling == Spelling::Quoted ? json_content() : free_text(), end);
  }
}

void SchemaGrammar::add_number(StateId from, const SchemaShape& shape, unsigned types, StateId to) {
  const NumberKind kind = (types & kFractionType) != 0 ? NumberKind::Any : NumberKind::Integer;
  const bool bounded = shape.numbers.least || shape.numbers.most;
  if (!bounded) {
    auto& shared = kind == NumberKind::Any ? number_ : integer_;
    const bool fresh = !shared;
    if (fresh) shared = builder_.add_rule();
    builder_.call(from, *shared, to);
    if (!fresh) return;
    from = builder_.start(*shared), to = builder_.end(*shared);
  }
  const StateId plain = kind == NumberKind::Any && !bounded ? builder_.add_state() : to;
  spell(builder_, from, number_language(kind, shape.numbers, builder_.budget()), Spelling::Raw, plain);
  if (plain == to) return;
  builder_.empty(plain, to);
  const StateId exponent = builder_.add_state(), sign = builder_.add_state(), digit = builder_.add_state();
  builder_.bytes(plain, 'e', 'e', exponent);
  builder_.bytes(plain, 'E', 'E', exponent);
  builder_.empty(exponent, sign);
  builder_.bytes(exponent, '+', '+', sign);
  builder_.bytes(exponent, '-', '-', sign);
  builder_.bytes(sign, '0', '9', digit);
  builder_.bytes(sign, '0', '9', to);
  builder_.bytes(digit, '0', '9', to);
}

RuleId SchemaGrammar::array(const SchemaShape& shape) {
  const RuleId rule = builder_.add_rule(GrammarBuilder::Nesting::Yes);
  if (shape.min_items > shape.max_items) return rule;
  // States between items; white space before an item and before the end.
  const StateId open = builder_.add_state(), close = builder_.add_state();
  builder_.literal(builder_.start(rule), "[", open);
  const StateId last = builder_.add_state();
  builder_.call(last, space(), close);
  builder_.literal(close, "]", builder_.end(rule));
  StateId at = open;
  const auto item = [&](StateId from, const Conjunction& schema, std::string_view before, StateId to) {
    const StateId comma = builder_.add_state(), spaced = builder_.add_state();
    builder_.literal(from, before, comma);
    builder_.call(comma, space(), spaced);
    builder_.call(spaced, value(schema, kAllTypes), to);
  };
  std::uint64_t count = 0;
  for (; count < std::max<std::size_t>(shape.prefix.size(), 1); ++count) {
    if (count >= shape.min_items) builder_.empty(at, last);
    if (count >= shape.max_items) return rule;
    const StateId next = builder_.add_state();
    item(at, count < shape.prefix.size() ? shape.prefix[count] : shape.items, count == 0 ? "" : ",", next);
    at = next;
  }
  const RuleId more = builder_.add_rule();
  item(builder_.start(more), shape.items, ",", builder_.end(more));
  const std::uint64_t least = shape.min_items > count ? shape.min_items - count : 0;
  const std::uint64_t most = shape.max_items == UINT64_MAX ? GrammarBuilder::kUnbounded : shape.max_items - count;
  builder_.repeat(at, more, least, most, last, reader_.at(shape.path));
  return rule;
}

std::vector<SchemaShape::Property> SchemaGrammar::named(const SchemaShape& shape) {
  std::vector<SchemaShape::Property> out;
  for (const auto& property : shape.properties) out.push_back({property.name, reader_.property(shape, property.name)});
  for (const auto name : shape.required) {
    if (!shape.positions.contains(name)) out.push_back({name, reader_.property(shape, name)});
  }
  return out;
}

void SchemaGrammar::check_property_counts(const SchemaShape& shape, std::size_t names, bool open) const {
  require(shape.min_properties <= shape.required.size(), ErrorKind::Usage,
          fmt::format("{}: minProperties {} is more than the {} required properties, which is not supported in constrained decoding", reader_.at(shape.path), shape.min_properties, shape.required.size()));
  require(shape.max_properties == UINT64_MAX || (!open && names <= shape.max_properties), ErrorKind::Usage,
          fmt::format("{}: maxProperties {} is less than what may be written, which is not supported in constrained decoding", reader_.at(shape.path), shape.max_properties));
}

RuleId SchemaGrammar::object(const SchemaShape& shape) {
  const RuleId rule = builder_.add_rule(GrammarBuilder::Nesting::Yes);
  const auto properties = named(shape);
  auto additional = shape.additional();
  // An object of which nothing is said is free; one with properties has these alone, unless it says otherwise.
  if (!additional && shape.properties.empty() && shape.closings.empty()) additional = Conjunction{};
  check_property_counts(shape, properties.size(), additional.has_value());

  const StateId open = builder_.add_state(), close = builder_.add_state(), last = builder_.add_state();
  builder_.literal(builder_.start(rule), "{", open);
  builder_.call(last, space(), close);
  builder_.literal(close, "}", builder_.end(rule));
  // `none` and `some`: before the next property, with none written yet, and with some.
  StateId none = open, some = builder_.add_state();
  const auto member = [&](StateId from, std::string_view before, const auto& add_name, const Conjunction& schema, StateId to) {
    const StateId comma = builder_.add_state(), spaced = builder_.add_state(), colon = builder_.add_state(), ready = builder_.add_state(), content = builder_.add_state();
    builder_.literal(from, before, comma);
    builder_.call(comma, space(), spaced);
    add_name(spaced, colon);
    builder_.literal(colon, ":", ready);
    builder_.call(ready, space(), content);
    builder_.call(content, value(schema, kAllTypes), to);
  };
  for (const auto& property : properties) {
    check_text(property.name, shape.path);
    const auto name = [&](StateId from, StateId to) { builder_.literal(from, json_text(property.name), to); };
    const StateId next_none = builder_.add_state(), next_some = builder_.add_state();
    member(none, "", name, property.value, next_some);
    member(some, ",", name, property.value, next_some);
    if (!shape.requires_property(property.name)) {
      builder_.empty(none, next_none);
      builder_.empty(some, next_some);
    }
    none = next_none, some = next_some;
  }
  if (additional) {
    std::vector<std::string> names;
    for (const auto& property : properties) names.emplace_back(property.name);
    for (const auto& closing : shape.closings) {
      builder_.budget().spend(closing.names->size());
      names.insert(names.end(), closing.names->begin(), closing.names->end());
    }
    const RuleId other = builder_.add_rule();
    const StateId begin = builder_.add_state(), end = builder_.add_state();
    builder_.literal(builder_.start(other), "\"", begin);
    spell(builder_, begin, strings_but(safe_chars(), names, builder_.budget()), Spelling::Quoted, end);
    builder_.literal(end, "\"", builder_.end(other));
    const auto name = [&](StateId from, StateId to) { builder_.call(from, other, to); };
    member(none, "", name, *additional, some);
    member(some, ",", name, *additional, some);
  }
  builder_.empty(none, last);
  builder_.empty(some, last);
  return rule;
}

RuleId SchemaGrammar::tags(const TagSpelling& spelling) {
  const RuleId rule = builder_.add_rule(GrammarBuilder::Nesting::Yes);
  for (const auto& shape : reader_.shapes(reader_.root())) {
    if ((shape.types & kObjectType) == 0) continue;
    require(!shape.values, ErrorKind::Usage, fmt::format("{}: enum and const are not supported for the arguments of a tool as a whole", reader_.at(shape.path)));
    add_tags(builder_.start(rule), shape, spelling, builder_.end(rule));
  }
  fill();
  return rule;
}

void SchemaGrammar::add_tags(StateId from, const SchemaShape& shape, const TagSpelling& spelling, StateId to) {
  const auto properties = named(shape);
  check_property_counts(shape, properties.size(), false);
  StateId none = from, some = builder_.add_state();
  for (const auto& property : properties) {
    check_text(property.name, shape.path);
    const bool plain = !property.name.empty() && std::none_of(property.name.begin(), property.name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '<' || c == '>'; });
    require(plain, ErrorKind::Usage, fmt::format("{}: the property name {} cannot be written in this format", reader_.at(shape.path), json_text(shortened(property.name))));
    const StateId next_none = builder_.add_state(), next_some = builder_.add_state();
    const RuleId tag = builder_.add_rule();
    add_tag(builder_.start(tag), property, spelling, builder_.end(tag));
    builder_.call(none, tag, next_some);
    builder_.call(some, tag, next_some);
    if (!shape.requires_property(property.name)) {
      builder_.empty(none, next_none);
      builder_.empty(some, next_some);
    }
    none = next_none, some = next_some;
  }
  builder_.literal(none, spelling.none, to);
  builder_.empty(some, to);
}

void SchemaGrammar::add_tag(StateId from, const SchemaShape::Property& property, const TagSpelling& spelling, StateId to) {
  const StateId name = builder_.add_state(), named = builder_.add_state(), text = builder_.add_state(), json = builder_.add_state(), end = builder_.add_state();
  builder_.template_text(from, spelling.before_name, name);
  builder_.literal(name, property.name, named);  // a client's: no marker stands in it
  builder_.template_text(named, spelling.text_value, text);
  builder_.template_text(named, spelling.json_value, json);
  for (const auto& shape : reader_.shapes(property.value)) {
    if ((shape.types & kStringType) == 0) continue;
    if (shape.values) add_values(text, shape, kStringType, Spelling::Raw, end);
    else add_string(text, shape, Spelling::Raw, end);
  }
  builder_.call(json, value(property.value, kNoStrings), end);
  builder_.template_text(end, spelling.close, to);
}

RuleId SchemaGrammar::space() {
  if (space_) return *space_;
  // Nothing, one space, or a line break with its indentation.
  space_ = builder_.add_rule();
  const StateId start = builder_.start(*space_), end = builder_.end(*space_), line = builder_.add_state();
  builder_.empty(start, end);
  builder_.literal(start, " ", end);
  builder_.literal(start, "\n", line);
  const RuleId blank = builder_.add_rule();
  builder_.literals(builder_.start(blank), {" ", "\t"}, builder_.end(blank));
  builder_.repeat(line, blank, 0, kMostIndent, end, "white space");
  return *space_;
}

CharSet SchemaGrammar::safe_chars() const {
  // Without one of its characters no word can be made; counting characters beside looking for words would take many more states. That
  // one is the largest outside ASCII, else a sign, so that ordinary text is still written.
  std::vector<CharRange> unsafe;
  for (const auto& word : without_) {
    char32_t chosen = 0;
    for (std::size_t at = 0; at < word.size();) {
      const Utf8Unit unit = utf8_unit(word, at);
      const char32_t c = unit.value;
      const bool sign = c < 0x80 && c > 0x20 && !(c >= U'0' && c <= U'9') && !(c >= U'A' && c <= U'Z') && !(c >= U'a' && c <= U'z');
      if (at == 0 || (c >= 0x80 && c > chosen) || (sign && chosen < 0x80)) chosen = c;
      at += unit.length;
    }
    unsafe.push_back({chosen, chosen});
  }
  return complement(make_char_set(std::move(unsafe)));
}

RuleId SchemaGrammar::json_content() {
  if (!json_content_) json_content_ = json_content_rule(builder_, without_);
  return *json_content_;
}
RuleId SchemaGrammar::free_text() {
  if (!free_text_) free_text_ = free_text_rule(builder_, without_);
  return *free_text_;
}
RuleId SchemaGrammar::json_char() {
  if (!json_char_) json_char_ = json_char_rule(builder_, safe_chars());
  return *json_char_;
}
RuleId SchemaGrammar::raw_char() {
  if (!raw_char_) raw_char_ = raw_char_rule(builder_, safe_chars());
  return *raw_char_;
}

}  // namespace gauntlet
