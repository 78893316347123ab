#include "envs/generators.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "embedded/locales.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 12> kKinds = {"name",   "parent",   "range",  "choice",  "by",       "correlated",
                                                     "offset", "template", "chosen", "boolean", "constant", "row"};

GeneratorKind parse_kind(const Json& value, const std::string& path) {
  const std::string name = get_string(value, "kind", path);
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i] == name) return static_cast<GeneratorKind>(i);
  }
  fail(ErrorKind::Input, fmt::format("{}/kind: found \"{}\"; accepted: {}", path, name, fmt::join(kKinds, ", ")));
}

/// "No. {number} {street}" to pieces; a piece in braces is a word list (or "number").
std::vector<std::string> split_pattern(const std::string& pattern, const EnvSpec& spec, const std::string& path) {
  std::vector<std::string> pieces;
  std::size_t at = 0;
  while (at < pattern.size()) {
    const std::size_t open = std::min(pattern.find('{', at), pattern.size());
    if (open > at) pieces.push_back(pattern.substr(at, open - at));
    if (open == pattern.size()) break;
    const std::size_t close = pattern.find('}', open);
    require(close != std::string::npos, ErrorKind::Input,
            fmt::format("{}/pattern: \"{}\" has an open brace without its end", path, pattern));
    const std::string list = pattern.substr(open + 1, close - open - 1);
    if (list != "number" && !spec.names.contains(list)) {
      std::vector<std::string> lists;
      for (const auto& [name, words] : spec.names) lists.push_back(name);
      fail(ErrorKind::Input, fmt::format("{}/pattern: locale {} has no word list \"{}\"; accepted: number, {}", path,
                                         spec.locale, list, fmt::join(lists, ", ")));
    }
    pieces.push_back("{" + list + "}");
    at = close + 1;
  }
  require(!pieces.empty(), ErrorKind::Input, fmt::format("{}/pattern: is empty", path));
  return pieces;
}

struct Place {
  const EnvSpec& spec;  ///< with the entities before this one
  const EntitySpec& entity;
  std::size_t number;  ///< of the column

  const ColumnSpec& column() const { return entity.columns[number]; }
};

std::string_view type_name(ColumnType type) {
  constexpr std::array<std::string_view, 6> kNames = {"text", "integer", "number", "date", "boolean", "reference"};
  return kNames[static_cast<std::size_t>(type)];
}

void require_type(const Place& place, std::initializer_list<ColumnType> accepted, const std::string& path) {
  if (std::find(accepted.begin(), accepted.end(), place.column().type) != accepted.end()) return;
  std::vector<std::string_view> names;
  for (const ColumnType type : accepted) names.push_back(type_name(type));
  fail(ErrorKind::Input, fmt::format("{}/kind: does not fit the column's type {}; accepted: a column of type {}", path,
                                     type_name(place.column().type), fmt::join(names, ", ")));
}

int earlier_column(const Json& value, std::string_view key, const Place& place, const std::string& path) {
  const std::string name = get_string(value, key, path);
  std::vector<std::string> accepted;
  for (std::size_t i = 0; i < place.number; ++i) {
    if (place.entity.columns[i].name == name) return static_cast<int>(i);
    accepted.push_back(place.entity.columns[i].name);
  }
  fail(ErrorKind::Input, fmt::format("{}/{}: found \"{}\"; accepted: an earlier column of the entity ({})", path, key, name,
                                     fmt::join(accepted, ", ")));
}

/// A number that the column can show without rounding.
Cell column_number(const Json& value, const Place& place, const std::string& path) {
  const Cell cell = number_to_cell(value, path);
  Cell unit = kCellScale;
  for (int i = 0; place.column().type == ColumnType::Number && i < place.column().decimals; ++i) unit /= 10;
  require(cell % unit == 0, ErrorKind::Input,
          fmt::format("{}: found {}; accepted: at most {} decimals, as the column has", path, dump_json(value),
                      unit == kCellScale ? 0 : place.column().decimals));
  return cell;
}

/// Numeric bounds of Range, Correlated and Offset.
void parse_bounds(const Json& value, const Place& place, Generator& out, const std::string& path) {
  out.minimum = column_number(get_member(value, "min", path), place, path + "/min");
  out.maximum = column_number(get_member(value, "max", path), place, path + "/max");
  if (value.contains("step")) out.step = column_number(value["step"], place, path + "/step");
  require(out.minimum <= out.maximum && out.step > 0, ErrorKind::Input,
          fmt::format("{}: found min {}, max {}, step {}; accepted: min <= max and step > 0", path, dump_json(value["min"]),
                      dump_json(value["max"]), value.contains("step") ? dump_json(value["step"]) : "1"));
}

void parse_choice(const Json& value, const Place& place, Generator& out, const std::string& path) {
  refuse_unknown_members(value, {"kind", "values", "weights", "deal"}, path);
  require_type(place, {ColumnType::Text, ColumnType::Integer, ColumnType::Number}, path);
  const Json& values = get_array(value, "values", path);
  require(!values.empty(), ErrorKind::Input, path + "/values: found none; accepted: at least one");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::string at = fmt::format("{}/values/{}", path, i);
    if (place.column().type == ColumnType::Text) {
      require(values[i].is_string(), ErrorKind::Input,
              fmt::format("{}: found {}; accepted: a string", at, dump_json(values[i])));
      out.texts.push_back(values[i].get<std::string>());
    } else {
      out.cells.push_back(column_number(values[i], place, at));
    }
  }
  out.deal = boolean_or(value, "deal", false, path);
  if (!value.contains("weights")) return;
  const Json& weights = get_array(value, "weights", path);
  std::uint64_t sum = 0;
  for (const auto& weight : weights) {
    require(weight.is_number_integer() && weight >= 0 && weight <= 1'000'000, ErrorKind::Input,
            fmt::format("{}/weights: found {}; accepted: whole numbers from 0 to 1000000", path, dump_json(weight)));
    out.weights.push_back(weight.get<std::uint32_t>());
    sum += out.weights.back();
  }
  require(weights.size() == values.size() && sum > 0 && !out.deal, ErrorKind::Input,
          path + "/weights: accepted: as many as values, not all 0, and none with \"deal\"");
}

Generator parse_generator(const Json& value, const Place& place, const std::string& path);

/// The texts that a column can hold, as far as its generator says.
std::vector<std::string> known_texts(const EntitySpec& entity, int column) {
  const ColumnSpec& spec = entity.columns[static_cast<std::size_t>(column)];
  if (spec.compiled->kind == GeneratorKind::Choice) return spec.compiled->texts;
  if (spec.compiled->kind != GeneratorKind::Chosen || !entity.count.contains("choices")) return {};
  return entity.count["choices"]["values"].get<std::vector<std::string>>();
}

void parse_by(const Json& value, const Place& place, Generator& out, const std::string& path) {
  refuse_unknown_members(value, {"kind", "column", "cases"}, path);
  out.column = earlier_column(value, "column", place, path);
  require(is_symbolic(place.entity.columns[static_cast<std::size_t>(out.column)].type), ErrorKind::Input,
          fmt::format("{}/column: found {}; accepted: a text column", path, dump_json(value["column"])));
  const Json& cases = get_object(value, "cases", path);
  for (const auto& item : cases.items()) {
    out.case_values.push_back(item.key());
    out.cases.push_back(parse_generator(item.value(), place, path + "/cases/" + item.key()));
  }
  for (const auto& text : known_texts(place.entity, out.column)) {
    require(cases.contains(text), ErrorKind::Input,
            fmt::format("{}/cases: found none for \"{}\"; accepted: one for each value of {}", path, text,
                        dump_json(value["column"])));
  }
}

void parse_parent(const Json& value, const Place& place, Generator& out, const std::string& path) {
  refuse_unknown_members(value, {"kind", "index"}, path);
  const Json& count = place.entity.count;
  const Json sides = count.contains("cross") ? count["cross"]
                     : count.contains("per") ? Json::array({count["per"]})
                                             : Json::array();
  const std::int64_t index = integer_or(value, "index", 0, path);
  require(index >= 0 && index < static_cast<std::int64_t>(sides.size()), ErrorKind::Input,
          fmt::format("{}: asks for parent {}; accepted: one of the {} of the entity's count", path, index, sides.size()));
  out.parent = static_cast<int>(index);
  const Json& side = sides[static_cast<std::size_t>(index)];
  if (side.is_object()) return require_type(place, {ColumnType::Date}, path);
  require_type(place, {ColumnType::Reference}, path);
  require(
      side == place.column().references, ErrorKind::Input,
      fmt::format("{}: the parent is a {}, the column references \"{}\"", path, dump_json(side), place.column().references));
}

/// Kinds with a "pattern".
void parse_pattern(const Json& value, const Place& place, Generator& out, const std::string& path) {
  require_type(place, {ColumnType::Text}, path);
  out.texts = split_pattern(get_string(value, "pattern", path), place.spec, path);
  if (out.kind == GeneratorKind::Template) return refuse_unknown_members(value, {"kind", "pattern"}, path);
  refuse_unknown_members(value, {"kind", "pattern", "include"}, path);
  out.include = string_or(value, "include", "", path);
}

/// Kinds with "min" and "max".
void parse_numeric(const Json& value, const Place& place, Generator& out, const std::string& path) {
  if (out.kind == GeneratorKind::Range) {
    refuse_unknown_members(value, {"kind", "min", "max", "step"}, path);
    require_type(place, {ColumnType::Integer, ColumnType::Number}, path);
  } else if (out.kind == GeneratorKind::Offset) {
    refuse_unknown_members(value, {"kind", "column", "min", "max", "step"}, path);
    require_type(place, {ColumnType::Integer, ColumnType::Number, ColumnType::Date}, path);
    out.column = earlier_column(value, "column", place, path);
    require(place.entity.columns[static_cast<std::size_t>(out.column)].type == place.column().type, ErrorKind::Input,
            fmt::format("{}/column: found {}; accepted: a column of type {}", path, dump_json(value["column"]),
                        type_name(place.column().type)));
  } else {
    refuse_unknown_members(value, {"kind", "with", "correlation", "min", "max", "step"}, path);
    require_type(place, {ColumnType::Integer, ColumnType::Number}, path);
    out.column = earlier_column(value, "with", place, path);
    require(!is_symbolic(place.entity.columns[static_cast<std::size_t>(out.column)].type), ErrorKind::Input,
            fmt::format("{}/with: found {}; accepted: a column of numbers, dates or booleans", path, dump_json(value["with"])));
    const std::int64_t correlation = get_integer(value, "correlation", path);
    require(correlation >= -1000 && correlation <= 1000, ErrorKind::Input,
            fmt::format("{}/correlation: found {}; accepted: -1000 to 1000 (thousandths)", path, correlation));
    out.correlation = static_cast<int>(correlation);
  }
  parse_bounds(value, place, out, path);
}

void parse_constant(const Json& value, const Place& place, Generator& out, const std::string& path) {
  refuse_unknown_members(value, {"kind", "value"}, path);
  out.constant = get_member(value, "value", path);
  const Json& constant = out.constant;
  bool good = constant.is_null();
  switch (place.column().type) {
    case ColumnType::Integer:
    case ColumnType::Number:
      if (constant.is_number()) good = true, column_number(constant, place, path + "/value");
      break;
    case ColumnType::Boolean:
      good = good || constant.is_boolean();
      break;
    case ColumnType::Date:
      good = good || (constant.is_string() && parse_date(constant.get<std::string>()).has_value());
      break;
    case ColumnType::Text:
      good = good || constant.is_string();
      break;
    case ColumnType::Reference:
      break;
  }
  require(good, ErrorKind::Input,
          fmt::format("{}/value: found {}; accepted: a value of type {}, or null", path, dump_json(constant),
                      type_name(place.column().type)));
}

Generator parse_generator(const Json& value, const Place& place, const std::string& path) {
  Generator out;
  out.kind = parse_kind(value, path);
  switch (out.kind) {
    case GeneratorKind::Name:
    case GeneratorKind::Template:
      parse_pattern(value, place, out, path);
      break;
    case GeneratorKind::Parent:
      parse_parent(value, place, out, path);
      break;
    case GeneratorKind::Range:
    case GeneratorKind::Correlated:
    case GeneratorKind::Offset:
      parse_numeric(value, place, out, path);
      break;
    case GeneratorKind::Choice:
      parse_choice(value, place, out, path);
      break;
    case GeneratorKind::By:
      parse_by(value, place, out, path);
      break;
    case GeneratorKind::Boolean: {
      refuse_unknown_members(value, {"kind", "per_million"}, path);
      require_type(place, {ColumnType::Boolean}, path);
      const std::int64_t chance = get_integer(value, "per_million", path);
      require(chance >= 0 && chance <= 1'000'000, ErrorKind::Input,
              fmt::format("{}/per_million: found {}; accepted: 0 to 1000000", path, chance));
      out.per_million = static_cast<std::uint32_t>(chance);
      break;
    }
    case GeneratorKind::Chosen:
      refuse_unknown_members(value, {"kind"}, path);
      require_type(place, {ColumnType::Text}, path);
      require(place.entity.count.contains("choices"), ErrorKind::Input, path + "/kind: the entity's count has no \"choices\"");
      break;
    case GeneratorKind::Row:
      refuse_unknown_members(value, {"kind"}, path);
      require_type(place, {ColumnType::Reference}, path);
      break;
    case GeneratorKind::Constant:
      parse_constant(value, place, out, path);
      break;
  }
  return out;
}

/// What an entity's count refers to.
class CountChecker {
 public:
  CountChecker(const EnvSpec& spec, const Json& count, const std::string& path) : spec_(spec), count_(count), path_(path) {}

  void check() const {
    refuse_unknown_members(count_, {"fixed", "parameter", "range", "per", "cross", "distinct", "per_million", "choices"},
                           path_);
    const int amounts = has("fixed") + has("parameter") + has("range");
    const bool crossed = has("cross") != 0;
    require(crossed ? amounts == 0 && has("per") == 0 : amounts == 1, ErrorKind::Input,
            path_ + ": accepted: one of \"fixed\", \"parameter\", \"range\" (with or without \"per\"), or \"cross\"");
    require(crossed || has("distinct") + has("per_million") + has("choices") == 0, ErrorKind::Input,
            path_ + ": \"distinct\", \"per_million\" and \"choices\" go with \"cross\"");
    if (has("range") != 0) check_range();
    if (has("parameter") != 0) parameter(count_["parameter"], ColumnType::Integer, path_ + "/parameter");
    if (has("per") != 0) entity(count_["per"], path_ + "/per");
    if (!crossed) return;
    const Json& sides = get_array(count_, "cross", path_);
    for (std::size_t i = 0; i < sides.size(); ++i) check_side(sides[i], fmt::format("{}/cross/{}", path_, i));
    if (has("choices") != 0) check_choices(count_["choices"], path_ + "/choices");
  }

  void parameter(const Json& name, ColumnType type, const std::string& at) const {
    std::vector<std::string> accepted;
    for (const auto& parameter : spec_.parameters) {
      if (parameter.type != type) continue;
      if (name == parameter.name) return;
      accepted.push_back(parameter.name);
    }
    fail(ErrorKind::Input, fmt::format("{}: found {}; accepted: a world parameter of type {} ({})", at, dump_json(name),
                                       type_name(type), fmt::join(accepted, ", ")));
  }

 private:
  int has(const char* member) const { return count_.contains(member) ? 1 : 0; }

  void entity(const Json& name, const std::string& at) const {
    const EntitySpec* found = name.is_string() ? spec_.find_entity(name.get<std::string>()) : nullptr;
    require(found != nullptr && !found->key.empty(), ErrorKind::Input,
            fmt::format("{}: found {}; accepted: an earlier entity with a key", at, dump_json(name)));
  }

  void check_range() const {
    const Json& range = get_array(count_, "range", path_);
    require(range.size() == 2 && range[0].is_number_integer() && range[1].is_number_integer() && range[0] >= 0 &&
                range[0] <= range[1],
            ErrorKind::Input, fmt::format("{}/range: found {}; accepted: [least, most]", path_, dump_json(range)));
  }

  void check_side(const Json& side, const std::string& at) const {
    if (!side.is_object()) return entity(side, at);
    const Json& dates = get_object(side, "dates", at);
    parameter(get_member(dates, "from", at), ColumnType::Date, at + "/dates/from");
    parameter(get_member(dates, "days", at), ColumnType::Integer, at + "/dates/days");
  }

  static void check_choices(const Json& choices, const std::string& at) {
    require(get_array(choices, "values", at).size() == get_array(choices, "per_million", at).size(), ErrorKind::Input,
            at + "/per_million: accepted: as many as values");
  }

  const EnvSpec& spec_;
  const Json& count_;
  std::string path_;
};

}  // namespace

Cell number_to_cell(const Json& value, const std::string& path) {
  require(value.is_number(), ErrorKind::Input, fmt::format("{}: expected a number, found {}", path, dump_json(value)));
  if (value.is_number_integer()) {
    const auto whole = value.get<std::int64_t>();
    require(std::abs(whole) <= 1'000'000'000'000, ErrorKind::Input,
            fmt::format("{}: found {}; accepted: at most 10^12", path, whole));
    return whole * kCellScale;
  }
  const double scaled = value.get<double>() * static_cast<double>(kCellScale);
  const double rounded = std::round(scaled);
  require(std::abs(scaled) <= 1e15 && std::abs(scaled - rounded) < 1e-6 * std::max(1.0, std::abs(scaled)), ErrorKind::Input,
          fmt::format("{}: found {}; accepted: at most three decimals", path, dump_json(value)));
  return static_cast<Cell>(rounded);
}

void compile_generators(const EnvSpec& spec, EntitySpec& entity, const std::string& path) {
  const CountChecker count(spec, entity.count, path + "/count");
  count.check();
  for (std::size_t i = 0; i < entity.columns.size(); ++i) {
    ColumnSpec& column = entity.columns[i];
    const std::string at = fmt::format("{}/columns/{}", path, i);
    const EntitySpec* target = spec.find_entity(column.references);
    require((column.type == ColumnType::Reference) == !column.references.empty() &&
                (column.references.empty() || (target != nullptr && !target->key.empty())),
            ErrorKind::Input,
            fmt::format(
                "{}/references: found \"{}\"; accepted: an earlier entity with a key for type reference, nothing for others",
                at, column.references));
    const Place place{.spec = spec, .entity = entity, .number = i};
    column.compiled = std::make_shared<const Generator>(parse_generator(column.generator, place, at + "/generator"));
    if (!column.compiled->include.empty())
      count.parameter(column.compiled->include, ColumnType::Text, at + "/generator/include");
    require(column.name != entity.key || column.compiled->kind == GeneratorKind::Name, ErrorKind::Input,
            at + "/generator/kind: accepted: name, because the column is the entity's key");
  }
}

std::map<std::string, std::vector<std::string>, std::less<>> load_locale(const std::string& name, const std::string& path) {
  std::vector<std::string> packs;
  for (const auto& file : embedded_locales()) {
    packs.emplace_back(file.name.substr(0, file.name.find('.')));
    if (packs.back() != name) continue;
    std::map<std::string, std::vector<std::string>, std::less<>> lists;
    const Json pack = parse_json(file.text, file.name);
    for (const auto& item : pack.at("lists").items()) lists[item.key()] = item.value().get<std::vector<std::string>>();
    return lists;
  }
  fail(ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted: {}", path, name, fmt::join(packs, ", ")));
}

}  // namespace gauntlet
