#include "envs/env_spec.h"

#include <algorithm>

#include "core/json_schema.h"
#include "core/sha256.h"
#include "embedded/env_schema.h"
#include "envs/env_spec_reading.h"
#include "envs/generators.h"
#include "envs/tool_program.h"

namespace gauntlet {
namespace {

constexpr std::array<std::pair<std::string_view, ColumnType>, 6> kColumnTypes = {{{"text", ColumnType::Text},
                                                                                  {"integer", ColumnType::Integer},
                                                                                  {"number", ColumnType::Number},
                                                                                  {"date", ColumnType::Date},
                                                                                  {"boolean", ColumnType::Boolean},
                                                                                  {"reference", ColumnType::Reference}}};

WorldParameter parse_parameter(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"name", "type", "default", "minimum", "maximum", "description"}, path);
  WorldParameter parameter;
  parameter.name = get_identifier(value, "name", path);
  constexpr std::array<std::pair<std::string_view, ColumnType>, 3> kTypes = {
      {{"integer", ColumnType::Integer}, {"date", ColumnType::Date}, {"text", ColumnType::Text}}};
  parameter.type = one_of(kTypes, get_string(value, "type", path), path + "/type");
  parameter.fallback = get_member(value, "default", path);
  parameter.description = string_or(value, "description", "", path);
  if (parameter.type == ColumnType::Integer) {
    parameter.minimum = get_integer(value, "minimum", path);
    parameter.maximum = get_integer(value, "maximum", path);
    const std::int64_t fallback = get_integer(value, "default", path);
    require(parameter.minimum >= 0 && parameter.minimum <= fallback && fallback <= parameter.maximum, ErrorKind::Input,
            fmt::format("{}/default: found {}; accepted: {} to {}", path, fallback, parameter.minimum, parameter.maximum));
    return parameter;
  }
  const std::string fallback = get_string(value, "default", path);
  require(parameter.type == ColumnType::Text || parse_date(fallback).has_value(), ErrorKind::Input,
          fmt::format("{}/default: found \"{}\"; accepted: a date YYYY-MM-DD", path, fallback));
  return parameter;
}

ColumnSpec parse_column(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"name", "type", "decimals", "label", "unit", "references", "description", "generator"}, path);
  ColumnSpec column;
  column.name = get_identifier(value, "name", path);
  column.type = one_of(kColumnTypes, get_string(value, "type", path), path + "/type");
  column.decimals = static_cast<int>(integer_or(value, "decimals", column.type == ColumnType::Number ? 2 : 0, path));
  require(column.decimals >= 0 && column.decimals <= 3, ErrorKind::Input,
          fmt::format("{}/decimals: found {}; accepted: 0 to 3", path, column.decimals));
  column.label = string_or(value, "label", "", path);
  column.unit = string_or(value, "unit", "", path);
  column.references = string_or(value, "references", "", path);
  column.description = string_or(value, "description", column.name, path);
  column.generator = get_object(value, "generator", path);
  return column;
}

EntitySpec parse_entity(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"name", "key", "description", "count", "columns"}, path);
  EntitySpec entity;
  entity.name = get_identifier(value, "name", path);
  entity.key = string_or(value, "key", "", path);
  entity.description = string_or(value, "description", entity.name, path);
  entity.count = get_object(value, "count", path);
  const Json& columns = get_array(value, "columns", path);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string at = fmt::format("{}/columns/{}", path, i);
    ColumnSpec column = parse_column(columns[i], at);
    require(entity.find_column(column.name) == nullptr, ErrorKind::Input,
            fmt::format("{}/name: the column \"{}\" appears twice", at, column.name));
    entity.columns.push_back(std::move(column));
  }
  const ColumnSpec* key = entity.find_column(entity.key);
  require(entity.key.empty() || (key != nullptr && key->type == ColumnType::Text), ErrorKind::Input,
          fmt::format("{}/key: found \"{}\"; accepted: the name of a text column of the entity", path, entity.key));
  return entity;
}

void parse_submit(const Json& document, EnvSpec& spec) {
  const Json& submit = get_object(document, "submit", "");
  spec.submit_tool = get_string(submit, "tool", "/submit");
  spec.submit_argument = get_string(submit, "argument", "/submit");
  const ToolDefinition* tool = spec.find_tool(spec.submit_tool);
  require(tool != nullptr && tool->effect == ToolEffect::Submit, ErrorKind::Input,
          fmt::format("/submit/tool: found \"{}\"; accepted: a tool with effect \"submit\"", spec.submit_tool));
  require(
      tool->parameters.size() == 1 && tool->parameters[0].name == spec.submit_argument, ErrorKind::Input,
      fmt::format("/submit/argument: found \"{}\"; accepted: the one argument of {}", spec.submit_argument, spec.submit_tool));
}

/// SQL names do not depend on letter case, so two that differ only in it are the same.
bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

void read_head(const Json& document, EnvSpec& spec) {
  spec.name = get_identifier(document, "name", "");
  spec.title = string_or(document, "title", spec.name, "");
  spec.description = string_or(document, "description", "", "");
  spec.family = get_string(document, "family", "");
  spec.locale = string_or(document, "locale", "en", "");
  spec.names = load_locale(spec.locale, "/locale");
}

void read_parameters(const Json& document, EnvSpec& spec, Problems& problems) {
  const Json& parameters = document["parameters"];
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    problems.collect([&] { spec.parameters.push_back(parse_parameter(parameters[i], fmt::format("/parameters/{}", i))); });
  }
}

void read_entities(const Json& document, EnvSpec& spec, Problems& problems) {
  const Json& entities = document["entities"];
  for (std::size_t i = 0; i < entities.size(); ++i) {
    problems.collect([&] {
      const std::string path = fmt::format("/entities/{}", i);
      EntitySpec entity = parse_entity(entities[i], path);
      const bool taken = std::any_of(spec.entities.begin(), spec.entities.end(),
                                     [&](const auto& other) { return same_name(other.name, entity.name); });
      require(!taken, ErrorKind::Input, fmt::format("{}/name: the entity \"{}\" appears twice", path, entity.name));
      // An entity with a bad generator is known all the same, so that those that refer to it add no problems of their own.
      problems.collect([&] { compile_generators(spec, entity, path); });
      spec.entities.push_back(std::move(entity));
    });
  }
}

void read_tools(const Json& document, EnvSpec& spec, Problems& problems) {
  const Json& tools = document["tools"];
  for (std::size_t i = 0; i < tools.size(); ++i) {
    problems.collect([&] {
      const std::string path = fmt::format("/tools/{}", i);
      ToolDefinition tool = parse_tool(tools[i], spec, path);
      require(spec.find_tool(tool.spec.name) == nullptr, ErrorKind::Input,
              fmt::format("{}/name: the tool \"{}\" appears twice", path, tool.spec.name));
      spec.tools.push_back(std::move(tool));
    });
  }
  problems.collect([&] { parse_submit(document, spec); });
}

}  // namespace

const ColumnSpec* EntitySpec::find_column(std::string_view column) const {
  for (const auto& candidate : columns) {
    if (candidate.name == column) return &candidate;
  }
  return nullptr;
}

const EntitySpec* EnvSpec::find_entity(std::string_view entity) const {
  for (const auto& candidate : entities) {
    if (candidate.name == entity) return &candidate;
  }
  return nullptr;
}

const ToolDefinition* EnvSpec::find_tool(std::string_view tool) const {
  for (const auto& candidate : tools) {
    if (candidate.spec.name == tool) return &candidate;
  }
  return nullptr;
}

std::vector<ToolSpec> EnvSpec::tool_specs() const {
  std::vector<ToolSpec> specs;
  for (const auto& tool : tools) specs.push_back(tool.spec);
  return specs;
}

EnvSpec parse_env_spec(const Json& document, const std::string& what) {
  // Each stage stands on the one before: its problems would only repeat that one's.
  const JsonSchema schema(parse_json(embedded_env_schema().front().text, "env_spec.schema.json"), "env_spec.schema.json");
  Problems problems;
  problems.add(schema.problems(document));
  problems.raise(what);
  EnvSpec spec;
  problems.collect([&] { read_head(document, spec); });
  read_parameters(document, spec, problems);
  problems.raise(what);
  read_entities(document, spec, problems);
  problems.raise(what);
  read_tools(document, spec, problems);
  problems.raise(what);
  if (document.contains("tasks")) spec.tasks = document["tasks"];
  spec.source = document;
  spec.sha256 = sha256_hex(canonical_json(document));
  problems.add(check_statements(spec));
  problems.raise(what);
  return spec;
}

}  // namespace gauntlet
