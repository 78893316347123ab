#include "envs/generators.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "embedded/locales.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 11> kKinds = {"name",   "parent",   "range",  "choice",  "by",      "correlated",
                                                     "offset", "template", "chosen", "boolean", "constant"};

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
    require(close != std::string::npos, ErrorKind::Input, fmt::format("{}/pattern: \"{}\" has an open brace without its end", path, pattern));
    const std::string list = pattern.substr(open + 1, close - open - 1);
    if (list != "number" && !spec.names.contains(list)) {
      std::vector<std::string> lists;
      for (const auto& [name, words] : spec.names) lists.push_back(name);
      fail(ErrorKind::Input, fmt::format("{}/pattern: locale {} has no word list \"{}\"; accepted: number, {}", path, spec.locale, list, fmt::join(lists, ", ")));
    }
    pieces.push_back("{" + list + "}");
    at = close + 1;
  }
  require(!pieces.empty(), ErrorKind::Input, fmt::format("{}/pattern: is empty", path));
  return pieces;
}

int earlier_column(const Json& value, std::string_view key, const EntitySpec& entity, std::size_t before, const std::string& path) {
  const std::string name = get_string(value, key, path);
  std::vector<std::string> accepted;
  for (std::size_t i = 0; i < before; ++i) {
    if (entity.columns[i].name == name) return static_cast<int>(i);
    accepted.push_back(entity.columns[i].name);
  }
  fail(ErrorKind::Input, fmt::format("{}/{}: found \"{}\"; accepted: an earlier column of the entity ({})", path, key, name, fmt::join(accepted, ", ")));
}

/// Numeric bounds of Range, Correlated and Offset.
void parse_bounds(const Json& value, Generator& out, const std::string& path) {
  out.minimum = number_to_cell(get_member(value, "min", path), path + "/min");
  out.maximum = number_to_cell(get_member(value, "max", path), path + "/max");
  if (value.contains("step")) out.step = number_to_cell(value["step"], path + "/step");
  require(out.minimum <= out.maximum && out.step > 0, ErrorKind::Input,
          fmt::format("{}: min {} and max {} with step {}; accepted: min <= max, step > 0", path, out.minimum / 1000.0, out.maximum / 1000.0, out.step / 1000.0));
}

struct Place {
  const EnvSpec& spec;
  const EntitySpec& entity;
  std::size_t column;
};

Generator parse_generator(const Json& value, const Place& place, const std::string& path) {
  Generator out;
  out.kind = parse_kind(value, path);
  const ColumnType type = place.entity.columns[place.column].type;
  switch (out.kind) {
    case GeneratorKind::Name:
      refuse_unknown_members(value, {"kind", "pattern", "include"}, path);
      out.texts = split_pattern(get_string(value, "pattern", path), place.spec, path);
      out.include = string_or(value, "include", "", path);
      break;
    case GeneratorKind::Template:
      refuse_unknown_members(value, {"kind", "pattern"}, path);
      out.texts = split_pattern(get_string(value, "pattern", path), place.spec, path);
      break;
    case GeneratorKind::Parent:
      refuse_unknown_members(value, {"kind", "index"}, path);
      out.parent = static_cast<int>(integer_or(value, "index", 0, path));
      break;
    case GeneratorKind::Range:
      refuse_unknown_members(value, {"kind", "min", "max", "step"}, path);
      parse_bounds(value, out, path);
      break;
    case GeneratorKind::Choice: {
      refuse_unknown_members(value, {"kind", "values", "weights"}, path);
      const Json& values = get_array(value, "values", path);
      require(!values.empty(), ErrorKind::Input, path + "/values: is empty");
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string at = fmt::format("{}/values/{}", path, i);
        if (type == ColumnType::Text) {
          require(values[i].is_string(), ErrorKind::Input, at + ": expected a string");
          out.texts.push_back(values[i].get<std::string>());
        } else {
          out.cells.push_back(number_to_cell(values[i], at));
        }
      }
      if (value.contains("weights")) {
        for (const auto& weight : get_array(value, "weights", path)) {
          require(weight.is_number_unsigned(), ErrorKind::Input, path + "/weights: expected whole numbers of 0 or more");
          out.weights.push_back(weight.get<std::uint32_t>());
        }
        require(out.weights.size() == values.size(), ErrorKind::Input, path + "/weights: expected as many as values");
      }
      break;
    }
    case GeneratorKind::By: {
      refuse_unknown_members(value, {"kind", "column", "cases"}, path);
      out.column = earlier_column(value, "column", place.entity, place.column, path);
      for (const auto& item : get_object(value, "cases", path).items()) {
        out.cases.emplace_back(item.key(), parse_generator(item.value(), place, path + "/cases/" + item.key()));
      }
      break;
    }
    case GeneratorKind::Correlated:
      refuse_unknown_members(value, {"kind", "with", "correlation", "min", "max", "step"}, path);
      parse_bounds(value, out, path);
      out.column = earlier_column(value, "with", place.entity, place.column, path);
      out.correlation = static_cast<int>(get_integer(value, "correlation", path));
      require(out.correlation >= -1000 && out.correlation <= 1000, ErrorKind::Input, path + "/correlation: accepted: -1000 to 1000 (thousandths)");
      break;
    case GeneratorKind::Offset:
      refuse_unknown_members(value, {"kind", "column", "min", "max", "step"}, path);
      parse_bounds(value, out, path);
      out.column = earlier_column(value, "column", place.entity, place.column, path);
      break;
    case GeneratorKind::Boolean:
      refuse_unknown_members(value, {"kind", "per_million"}, path);
      out.per_million = static_cast<std::uint32_t>(get_integer(value, "per_million", path));
      break;
    case GeneratorKind::Chosen: refuse_unknown_members(value, {"kind"}, path); break;
    case GeneratorKind::Constant:
      refuse_unknown_members(value, {"kind", "value"}, path);
      out.constant = get_member(value, "value", path);
      break;
  }
  return out;
}

}  // namespace

Cell number_to_cell(const Json& value, const std::string& path) {
  require(value.is_number(), ErrorKind::Input, fmt::format("{}: expected a number, found {}", path, dump_json(value)));
  if (value.is_number_integer()) {
    const auto whole = value.get<std::int64_t>();
    require(std::abs(whole) <= 1'000'000'000'000, ErrorKind::Input, fmt::format("{}: found {}; accepted: at most 10^12", path, whole));
    return whole * kCellScale;
  }
  const double scaled = value.get<double>() * static_cast<double>(kCellScale);
  const double rounded = std::round(scaled);
  require(std::abs(scaled) <= 1e15 && std::abs(scaled - rounded) < 1e-6 * std::max(1.0, std::abs(scaled)), ErrorKind::Input,
          fmt::format("{}: found {}; accepted: at most three decimals", path, dump_json(value)));
  return static_cast<Cell>(rounded);
}

void compile_generators(const EnvSpec& spec, EntitySpec& entity, const std::string& path) {
  const auto known_entity = [&](const Json& name, const std::string& at) {
    require(name.is_string() && spec.find_entity(name.get<std::string>()) != nullptr && !spec.find_entity(name.get<std::string>())->key.empty(), ErrorKind::Input,
            fmt::format("{}: found {}; accepted: an earlier entity with a key", at, dump_json(name)));
  };
  const auto known_parameter = [&](const Json& name, const std::string& at) {
    std::vector<std::string> names;
    for (const auto& parameter : spec.parameters) names.push_back(parameter.name);
    require(name.is_string() && std::find(names.begin(), names.end(), name.get<std::string>()) != names.end(), ErrorKind::Input,
            fmt::format("{}: found {}; accepted: a world parameter ({})", at, dump_json(name), fmt::join(names, ", ")));
  };
  const std::string at = path + "/count";
  refuse_unknown_members(entity.count, {"fixed", "parameter", "per", "cross", "distinct", "choices"}, at);
  if (entity.count.contains("parameter")) known_parameter(entity.count["parameter"], at + "/parameter");
  if (entity.count.contains("per")) known_entity(entity.count["per"], at + "/per");
  if (entity.count.contains("cross")) {
    for (const auto& side : get_array(entity.count, "cross", at)) {
      if (!side.is_object()) {
        known_entity(side, at + "/cross");
        continue;
      }
      const Json& dates = get_object(side, "dates", at + "/cross");
      known_parameter(get_member(dates, "from", at), at + "/cross/dates/from");
      known_parameter(get_member(dates, "days", at), at + "/cross/dates/days");
    }
  }
  for (std::size_t i = 0; i < entity.columns.size(); ++i) {
    const Place place{.spec = spec, .entity = entity, .column = i};
    auto& column = entity.columns[i];
    column.compiled = std::make_shared<const Generator>(parse_generator(column.generator, place, fmt::format("{}/columns/{}/generator", path, i)));
    if (column.compiled->include.empty()) continue;
    known_parameter(column.compiled->include, fmt::format("{}/columns/{}/generator/include", path, i));
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
