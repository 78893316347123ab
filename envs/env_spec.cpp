#include "envs/env_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/error.h"
#include "core/sha256.h"
#include "embedded/domains.h"
#include "envs/generators.h"
#include "envs/tool_connection.h"

namespace gauntlet {
namespace {

constexpr std::array<std::pair<std::string_view, ColumnType>, 6> kColumnTypes = {{{"text", ColumnType::Text},
                                                                                  {"integer", ColumnType::Integer},
                                                                                  {"number", ColumnType::Number},
                                                                                  {"date", ColumnType::Date},
                                                                                  {"boolean", ColumnType::Boolean},
                                                                                  {"reference", ColumnType::Reference}}};

/// Looks `word` up in a table of names; the error lists them.
template <class T, std::size_t N>
T one_of(const std::array<std::pair<std::string_view, T>, N>& names, const std::string& word, const std::string& path) {
  std::vector<std::string> accepted;
  for (const auto& [name, value] : names) {
    if (name == word) return value;
    accepted.emplace_back(name);
  }
  fail(ErrorKind::Input, fmt::format("{}: found \"{}\"; accepted: {}", path, word, fmt::join(accepted, ", ")));
}

/// Names become SQL identifiers, so they are restricted rather than quoted.
std::string identifier(const Json& object, std::string_view key, const std::string& path) {
  const std::string name = get_string(object, key, path);
  const bool good = !name.empty() && name.size() <= 64 && (std::isalpha(static_cast<unsigned char>(name[0])) != 0) &&
                    std::all_of(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }) &&
                    name.rfind("sqlite_", 0) != 0;
  require(good, ErrorKind::Input,
          fmt::format("{}/{}: found \"{}\"; accepted: a letter, then letters, digits and underscores, at most 64", path, key, name));
  return name;
}

std::vector<std::string> string_list(const Json& object, std::string_view key, const std::string& path) {
  std::vector<std::string> out;
  const Json& list = get_array(object, key, path);
  for (std::size_t i = 0; i < list.size(); ++i) {
    require(list[i].is_string(), ErrorKind::Input, fmt::format("{}/{}/{}: expected a string, found {}", path, key, i, dump_json(list[i])));
    out.push_back(list[i].get<std::string>());
  }
  return out;
}

WorldParameter parse_parameter(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"name", "type", "default", "minimum", "maximum", "description"}, path);
  WorldParameter parameter;
  parameter.name = identifier(value, "name", path);
  constexpr std::array<std::pair<std::string_view, ColumnType>, 3> kTypes = {
      {{"integer", ColumnType::Integer}, {"date", ColumnType::Date}, {"text", ColumnType::Text}}};
  parameter.type = one_of(kTypes, get_string(value, "type", path), path + "/type");
  parameter.fallback = get_member(value, "default", path);
  parameter.description = string_or(value, "description", "", path);
  if (parameter.type == ColumnType::Integer) {
    get_integer(value, "default", path);
    parameter.minimum = get_integer(value, "minimum", path);
    parameter.maximum = get_integer(value, "maximum", path);
  } else {
    get_string(value, "default", path);
  }
  return parameter;
}

EntitySpec parse_entity(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"name", "key", "description", "count", "columns"}, path);
  EntitySpec entity;
  entity.name = identifier(value, "name", path);
  entity.key = string_or(value, "key", "", path);
  entity.description = string_or(value, "description", entity.name, path);
  entity.count = get_object(value, "count", path);
  const Json& columns = get_array(value, "columns", path);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string at = fmt::format("{}/columns/{}", path, i);
    refuse_unknown_members(columns[i], {"name", "type", "decimals", "label", "unit", "references", "description", "generator"}, at);
    ColumnSpec column;
    column.name = identifier(columns[i], "name", at);
    column.type = one_of(kColumnTypes, get_string(columns[i], "type", at), at + "/type");
    column.decimals = static_cast<int>(integer_or(columns[i], "decimals", column.type == ColumnType::Number ? 2 : 0, at));
    require(column.decimals >= 0 && column.decimals <= 3, ErrorKind::Input,
            fmt::format("{}/decimals: found {}; accepted: 0 to 3", at, column.decimals));
    column.label = string_or(columns[i], "label", "", at);
    column.unit = string_or(columns[i], "unit", "", at);
    column.references = string_or(columns[i], "references", "", at);
    column.description = string_or(columns[i], "description", column.name, at);
    column.generator = get_object(columns[i], "generator", at);
    require(entity.find_column(column.name) == nullptr, ErrorKind::Input, fmt::format("{}/name: the column \"{}\" appears twice", at, column.name));
    entity.columns.push_back(std::move(column));
  }
  if (!entity.key.empty()) {
    const ColumnSpec* key = entity.find_column(entity.key);
    require(key != nullptr && key->type == ColumnType::Text, ErrorKind::Input,
            fmt::format("{}/key: found \"{}\"; accepted: the name of a text column of the entity", path, entity.key));
  }
  return entity;
}

ToolParameter parse_tool_parameter(const std::string& name, const Json& schema, const std::string& path) {
  refuse_unknown_members(schema, {"type", "description", "format", "minimum", "maximum", "items", "minItems"}, path);
  using Type = ToolParameter::Type;
  constexpr std::array<std::pair<std::string_view, Type>, 5> kTypes = {{{"string", Type::String},
                                                                        {"integer", Type::Integer},
                                                                        {"number", Type::Number},
                                                                        {"boolean", Type::Boolean},
                                                                        {"array", Type::Strings}}};
  ToolParameter parameter;
  parameter.name = name;
  parameter.type = one_of(kTypes, get_string(schema, "type", path), path + "/type");
  parameter.is_date = string_or(schema, "format", "", path) == "date";
  parameter.minimum = integer_or(schema, "minimum", parameter.minimum, path);
  parameter.maximum = integer_or(schema, "maximum", parameter.maximum, path);
  parameter.min_items = static_cast<std::size_t>(integer_or(schema, "minItems", 0, path));
  if (parameter.type == Type::Strings) {
    require(string_or(get_object(schema, "items", path), "type", "", path + "/items") == "string", ErrorKind::Input,
            fmt::format("{}/items: accepted: {{\"type\": \"string\"}}", path));
  }
  return parameter;
}

std::map<std::string, std::vector<std::string>> parse_access(const Json& value, std::string_view key, const EnvSpec& spec, const std::string& path) {
  std::map<std::string, std::vector<std::string>> access;
  if (!value.contains(std::string(key))) return access;
  const Json& object = get_object(value, key, path);
  for (const auto& item : object.items()) {
    const std::string at = fmt::format("{}/{}", path, key);
    const EntitySpec* entity = spec.find_entity(item.key());
    std::vector<std::string> entities;
    for (const auto& candidate : spec.entities) entities.push_back(candidate.name);
    require(entity != nullptr, ErrorKind::Input, fmt::format("{}/{}: no such entity; accepted: {}", at, item.key(), fmt::join(entities, ", ")));
    for (const auto& column : string_list(object, item.key(), at)) {
      std::vector<std::string> columns;
      for (const auto& candidate : entity->columns) columns.push_back(candidate.name);
      require(entity->find_column(column) != nullptr, ErrorKind::Input,
              fmt::format("{}/{}: found \"{}\"; accepted: {}", at, item.key(), column, fmt::join(columns, ", ")));
      access[item.key()].push_back(column);
    }
    access[item.key()];
  }
  return access;
}

RevealSpec parse_reveals(const Json& value, const EnvSpec& spec, const ToolDefinition& tool, const std::string& path) {
  refuse_unknown_members(value, {"entity", "given", "keywords"}, path);
  RevealSpec reveals;
  reveals.entity = get_string(value, "entity", path);
  reveals.keywords = string_or(value, "keywords", "", path);
  const EntitySpec* entity = spec.find_entity(reveals.entity);
  require(entity != nullptr, ErrorKind::Input, fmt::format("{}/entity: found \"{}\", which is no entity", path, reveals.entity));
  for (const auto& item : get_object(value, "given", path).items()) {
    const bool known = std::any_of(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == item.key(); });
    require(known && item.value().is_string() && entity->find_column(item.value().get<std::string>()) != nullptr, ErrorKind::Input,
            fmt::format("{}/given/{}: accepted: an argument of the tool mapped to a column of {}", path, item.key(), reveals.entity));
    reveals.given.emplace_back(item.key(), item.value().get<std::string>());
  }
  return reveals;
}

void parse_result(const Json& result, ToolDefinition& tool, const std::string& path) {
  refuse_unknown_members(result, {"shape", "columns", "keywords"}, path);
  constexpr std::array<std::pair<std::string_view, ResultShape>, 4> kShapes = {
      {{"list", ResultShape::List}, {"object", ResultShape::Object}, {"rows", ResultShape::Rows}, {"scalar", ResultShape::Scalar}}};
  tool.shape = one_of(kShapes, get_string(result, "shape", path), path + "/shape");
  tool.result_columns = string_list(result, "columns", path);
  tool.keywords = string_or(result, "keywords", "", path);
  const bool single = tool.shape == ResultShape::List || tool.shape == ResultShape::Scalar;
  require(!single || tool.result_columns.size() == 1, ErrorKind::Input, fmt::format("{}/columns: a list or scalar has exactly one column, found {}", path, tool.result_columns.size()));
}

ToolDefinition parse_tool(const Json& value, const EnvSpec& spec, const std::string& path) {
  refuse_unknown_members(value, {"name", "description", "effect", "parameters", "checks", "statements", "result", "reads", "writes", "reveals"}, path);
  ToolDefinition tool;
  tool.spec.name = identifier(value, "name", path);
  tool.spec.description = get_string(value, "description", path);
  tool.spec.parameters = get_object(value, "parameters", path);
  constexpr std::array<std::pair<std::string_view, ToolEffect>, 3> kEffects = {{{"read", ToolEffect::Read}, {"write", ToolEffect::Write}, {"submit", ToolEffect::Submit}}};
  tool.effect = one_of(kEffects, get_string(value, "effect", path), path + "/effect");
  const std::string at = path + "/parameters";
  refuse_unknown_members(tool.spec.parameters, {"type", "properties", "required", "additionalProperties"}, at);
  for (const auto& item : get_object(tool.spec.parameters, "properties", at).items()) {
    tool.parameters.push_back(parse_tool_parameter(item.key(), item.value(), at + "/properties/" + item.key()));
  }
  if (tool.spec.parameters.contains("required")) {
    for (const auto& name : string_list(tool.spec.parameters, "required", at)) {
      const auto it = std::find_if(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == name; });
      require(it != tool.parameters.end(), ErrorKind::Input, fmt::format("{}/required: \"{}\" is not among the properties", at, name));
      it->required = true;
    }
  }
  if (tool.effect == ToolEffect::Submit) return tool;
  tool.reads = parse_access(value, "reads", spec, path);
  tool.writes = parse_access(value, "writes", spec, path);
  require(tool.effect == ToolEffect::Write || tool.writes.empty(), ErrorKind::Input, fmt::format("{}/writes: a tool with effect \"read\" writes nothing", path));
  if (value.contains("checks")) {
    const Json& checks = get_array(value, "checks", path);
    for (std::size_t i = 0; i < checks.size(); ++i) {
      const std::string check = fmt::format("{}/checks/{}", path, i);
      refuse_unknown_members(checks[i], {"unless", "code", "message"}, check);
      tool.checks.push_back({.unless_sql = get_string(checks[i], "unless", check), .error_code = get_string(checks[i], "code", check), .message = get_string(checks[i], "message", check)});
    }
  }
  tool.statements = string_list(value, "statements", path);
  require(!tool.statements.empty(), ErrorKind::Input, fmt::format("{}/statements: expected at least one", path));
  parse_result(get_object(value, "result", path), tool, path + "/result");
  if (value.contains("reveals")) tool.reveals = parse_reveals(value["reveals"], spec, tool, path + "/reveals");
  return tool;
}

void parse_submit(const Json& document, EnvSpec& spec) {
  const Json& submit = get_object(document, "submit", "");
  spec.submit_tool = get_string(submit, "tool", "/submit");
  spec.submit_argument = get_string(submit, "argument", "/submit");
  const ToolDefinition* tool = spec.find_tool(spec.submit_tool);
  require(tool != nullptr && tool->effect == ToolEffect::Submit, ErrorKind::Input,
          fmt::format("/submit/tool: found \"{}\"; accepted: a tool with effect \"submit\"", spec.submit_tool));
  require(tool->parameters.size() == 1 && tool->parameters[0].name == spec.submit_argument, ErrorKind::Input,
          fmt::format("/submit/argument: found \"{}\"; accepted: the one argument of {}", spec.submit_argument, spec.submit_tool));
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
  try {
    refuse_unknown_members(document, {"format", "name", "title", "description", "family", "locale", "parameters", "entities", "tools", "submit", "tasks"}, "");
    EnvSpec spec;
    const std::string format = get_string(document, "format", "");
    require(format == "gauntlet.env/1", ErrorKind::Input, fmt::format("/format: found \"{}\"; accepted: gauntlet.env/1", format));
    spec.name = identifier(document, "name", "");
    spec.title = string_or(document, "title", spec.name, "");
    spec.description = string_or(document, "description", "", "");
    constexpr std::array<std::pair<std::string_view, int>, 4> kFamilies = {{{"general", 0}, {"search", 1}, {"code", 2}, {"interpreter", 3}}};
    spec.family = get_string(document, "family", "");
    one_of(kFamilies, spec.family, "/family");
    spec.locale = string_or(document, "locale", "en", "");
    spec.names = load_locale(spec.locale, "/locale");
    const Json& parameters = get_array(document, "parameters", "");
    for (std::size_t i = 0; i < parameters.size(); ++i) spec.parameters.push_back(parse_parameter(parameters[i], fmt::format("/parameters/{}", i)));
    const Json& entities = get_array(document, "entities", "");
    for (std::size_t i = 0; i < entities.size(); ++i) {
      const std::string path = fmt::format("/entities/{}", i);
      EntitySpec entity = parse_entity(entities[i], path);
      require(spec.find_entity(entity.name) == nullptr, ErrorKind::Input, fmt::format("{}/name: the entity \"{}\" appears twice", path, entity.name));
      compile_generators(spec, entity, path);
      spec.entities.push_back(std::move(entity));
    }
    const Json& tools = get_array(document, "tools", "");
    for (std::size_t i = 0; i < tools.size(); ++i) {
      const std::string path = fmt::format("/tools/{}", i);
      ToolDefinition tool = parse_tool(tools[i], spec, path);
      require(spec.find_tool(tool.spec.name) == nullptr, ErrorKind::Input, fmt::format("{}/name: the tool \"{}\" appears twice", path, tool.spec.name));
      spec.tools.push_back(std::move(tool));
    }
    parse_submit(document, spec);
    if (document.contains("tasks")) spec.tasks = document["tasks"];
    spec.source = document;
    spec.sha256 = sha256_hex(canonical_json(document));
    ToolConnection compiled(spec);  // Every statement must compile within what its tool declares.
    return spec;
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", what, error.what()), error.where());
  }
}

std::vector<std::string> builtin_domains() {
  std::vector<std::string> names;
  for (const auto& file : embedded_domains()) {
    std::string name(file.name.substr(0, file.name.find('.')));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

EnvSpec load_builtin_domain(const std::string& name) {
  Json document;
  Json tasks;
  for (const auto& file : embedded_domains()) {
    if (file.name == name + ".json") document = parse_json(file.text, file.name);
    if (file.name == name + ".tasks.json") tasks = parse_json(file.text, file.name);
  }
  if (document.is_null()) {
    const auto names = builtin_domains();
    const std::string nearest = nearest_word(name, names);
    fail(ErrorKind::Usage, fmt::format("unknown domain \"{}\"{}; accepted: {}, or the path of a spec file", name,
                                       nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
  }
  if (!tasks.is_null()) document["tasks"] = std::move(tasks);
  return parse_env_spec(document, name);
}

EnvSpec load_env_spec(const std::string& name_or_path) {
  const bool is_path = name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".json");
  return is_path ? parse_env_spec(read_json_file(name_or_path), name_or_path) : load_builtin_domain(name_or_path);
}

}  // namespace gauntlet
