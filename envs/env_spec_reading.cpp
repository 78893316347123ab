#include "envs/env_spec_reading.h"

#include <algorithm>
#include <cctype>

#include "envs/sql_words.h"

namespace gauntlet {
namespace {

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

const EntitySpec& require_entity(const EnvSpec& spec, const std::string& name, const std::string& path) {
  const EntitySpec* entity = spec.find_entity(name);
  std::vector<std::string> entities;
  for (const auto& candidate : spec.entities) entities.push_back(candidate.name);
  require(entity != nullptr, ErrorKind::Input,
          fmt::format("{}/{}: no such entity; accepted: {}", path, name, fmt::join(entities, ", ")));
  return *entity;
}

std::vector<std::string> parse_columns(const Json& object, std::string_view key, const EntitySpec& entity,
                                       const std::string& path) {
  std::vector<std::string> columns = get_strings(object, key, path);
  for (const auto& column : columns) {
    std::vector<std::string> accepted;
    for (const auto& candidate : entity.columns) accepted.push_back(candidate.name);
    require(entity.find_column(column) != nullptr, ErrorKind::Input,
            fmt::format("{}/{}: found \"{}\"; accepted: {}", path, key, column, fmt::join(accepted, ", ")));
  }
  return columns;
}

std::map<std::string, std::vector<std::string>> parse_reads(const Json& value, const EnvSpec& spec, const std::string& path) {
  std::map<std::string, std::vector<std::string>> reads;
  if (!value.contains("reads")) return reads;
  const Json& object = get_object(value, "reads", path);
  const std::string at = path + "/reads";
  for (const auto& item : object.items())
    reads[item.key()] = parse_columns(object, item.key(), require_entity(spec, item.key(), at), at);
  return reads;
}

std::map<std::string, WriteAccess> parse_writes(const Json& value, const EnvSpec& spec, const std::string& path) {
  std::map<std::string, WriteAccess> writes;
  if (!value.contains("writes")) return writes;
  const Json& object = get_object(value, "writes", path);
  const std::string at = path + "/writes";
  for (const auto& item : object.items()) {
    const EntitySpec& entity = require_entity(spec, item.key(), at);
    const Json& operations = item.value();
    const std::string here = at + "/" + item.key();
    require(!operations.empty(), ErrorKind::Input,
            fmt::format("{}: found no operation; accepted: \"insert\": true, \"delete\": true, \"update\": [columns]", here));
    refuse_unknown_members(operations, {"insert", "delete", "update"}, here);
    WriteAccess& access = writes[item.key()];
    access.insert = operations.value("insert", false);
    access.remove = operations.value("delete", false);
    if (operations.contains("update")) access.update = parse_columns(operations, "update", entity, here);
  }
  return writes;
}

RevealSpec parse_reveals(const Json& value, const EnvSpec& spec, const ToolDefinition& tool, const std::string& path) {
  refuse_unknown_members(value, {"entity", "given", "keywords"}, path);
  RevealSpec reveals;
  reveals.entity = get_string(value, "entity", path);
  reveals.keywords = string_or(value, "keywords", "", path);
  const EntitySpec* entity = spec.find_entity(reveals.entity);
  require(entity != nullptr, ErrorKind::Input,
          fmt::format("{}/entity: found \"{}\", which is no entity", path, reveals.entity));
  for (const auto& item : get_object(value, "given", path).items()) {
    const bool known =
        std::any_of(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == item.key(); });
    require(known && item.value().is_string() && entity->find_column(item.value().get<std::string>()) != nullptr,
            ErrorKind::Input,
            fmt::format("{}/given/{}: accepted: an argument of the tool mapped to a column of {}", path, item.key(),
                        reveals.entity));
    reveals.given.emplace_back(item.key(), item.value().get<std::string>());
  }
  return reveals;
}

const ToolParameter* find_parameter(const ToolDefinition& tool, std::string_view name) {
  const auto it = std::find_if(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == name; });
  return it == tool.parameters.end() ? nullptr : &*it;
}

void parse_result(const Json& result, ToolDefinition& tool, const std::string& path) {
  refuse_unknown_members(result, {"shape", "columns", "keywords"}, path);
  constexpr std::array<std::pair<std::string_view, ResultShape>, 4> kShapes = {{{"list", ResultShape::List},
                                                                                {"object", ResultShape::Object},
                                                                                {"rows", ResultShape::Rows},
                                                                                {"scalar", ResultShape::Scalar}}};
  tool.shape = one_of(kShapes, get_string(result, "shape", path), path + "/shape");
  tool.result_columns = get_strings(result, "columns", path);
  tool.keywords = string_or(result, "keywords", "", path);
  const bool single = tool.shape == ResultShape::List || tool.shape == ResultShape::Scalar;
  require(!single || tool.result_columns.size() == 1, ErrorKind::Input,
          fmt::format("{}/columns: found {}; accepted: exactly one for a list or scalar", path, tool.result_columns.size()));
  const ToolParameter* keywords = find_parameter(tool, tool.keywords);
  const bool fits = keywords != nullptr && keywords->type == ToolParameter::Type::Strings && !single;
  require(tool.keywords.empty() || fits, ErrorKind::Input,
          fmt::format("{}/keywords: found \"{}\"; accepted: an array argument of the tool, for shape object or rows", path,
                      tool.keywords));
  for (const auto& parameter : tool.parameters) {
    require(parameter.type != ToolParameter::Type::Strings || parameter.name == tool.keywords, ErrorKind::Input,
            fmt::format("{}/keywords: the array argument \"{}\" is not used; an array can only select columns", path,
                        parameter.name));
  }
}

void parse_checks(const Json& value, ToolDefinition& tool, const std::string& path) {
  if (!value.contains("checks")) return;
  const Json& checks = get_array(value, "checks", path);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const std::string at = fmt::format("{}/checks/{}", path, i);
    refuse_unknown_members(checks[i], {"unless", "code", "message"}, at);
    tool.checks.push_back({.unless_sql = get_string(checks[i], "unless", at),
                           .error_code = get_string(checks[i], "code", at),
                           .message = get_string(checks[i], "message", at)});
  }
}

void parse_signature(const Json& value, ToolDefinition& tool, const std::string& path) {
  tool.spec.name = get_identifier(value, "name", path);
  tool.spec.description = get_string(value, "description", path);
  tool.spec.parameters = get_object(value, "parameters", path);
  const std::string at = path + "/parameters";
  refuse_unknown_members(tool.spec.parameters, {"type", "properties", "required", "additionalProperties"}, at);
  for (const auto& item : get_object(tool.spec.parameters, "properties", at).items()) {
    tool.parameters.push_back(parse_tool_parameter(item.key(), item.value(), at + "/properties/" + item.key()));
  }
  if (!tool.spec.parameters.contains("required")) return;
  for (const auto& name : get_strings(tool.spec.parameters, "required", at)) {
    const auto it = std::find_if(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return p.name == name; });
    require(it != tool.parameters.end(), ErrorKind::Input,
            fmt::format("{}/required: \"{}\" is not among the properties", at, name));
    it->required = true;
  }
}

/// Without an order SQLite may give rows in any, and a world's bytes would depend on its version.
void require_order(const ToolDefinition& tool, const std::string& path) {
  if (tool.shape != ResultShape::List && tool.shape != ResultShape::Rows) return;
  const auto words = sql_words(tool.statements.back());
  // What gives no rows to a tool that reads, or is no SQL, is told as that when it is compiled.
  const bool selects = !words.empty() && (words[0] == "SELECT" || words[0] == "WITH" || words[0] == "VALUES");
  if (tool.effect == ToolEffect::Read && !selects) return;
  require(has_order(words), ErrorKind::Input,
          fmt::format("{}/statements/{}: found no ORDER BY; accepted: a SELECT with one, because the result is a {}", path,
                      tool.statements.size() - 1, tool.shape == ResultShape::List ? "list" : "list of rows"));
}

void require_revealed_columns(const ToolDefinition& tool, const EnvSpec& spec, const std::string& path) {
  if (!tool.reveals) return;
  const EntitySpec* entity = spec.find_entity(tool.reveals->entity);
  require(tool.reveals->keywords == tool.keywords, ErrorKind::Input,
          fmt::format("{}/reveals/keywords: found \"{}\"; accepted: \"{}\", as in the result", path, tool.reveals->keywords,
                      tool.keywords));
  for (const auto& column : tool.result_columns) {
    require(entity->find_column(column) != nullptr, ErrorKind::Input,
            fmt::format("{}/reveals: the result's \"{}\" is no column of {}; accepted: results named as the entity's columns",
                        path, column, entity->name));
  }
}

}  // namespace

std::string get_identifier(const Json& object, std::string_view key, const std::string& path) {
  const std::string name = get_string(object, key, path);
  const bool good = !name.empty() && name.size() <= 64 && (std::isalpha(static_cast<unsigned char>(name[0])) != 0) &&
                    std::all_of(name.begin(), name.end(),
                                [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }) &&
                    name.rfind("sqlite_", 0) != 0;
  require(good, ErrorKind::Input,
          fmt::format("{}/{}: found \"{}\"; accepted: a letter, then letters, digits and underscores, at most 64", path, key,
                      name));
  return name;
}

std::vector<std::string> get_strings(const Json& object, std::string_view key, const std::string& path) {
  std::vector<std::string> out;
  const Json& list = get_array(object, key, path);
  for (std::size_t i = 0; i < list.size(); ++i) {
    require(list[i].is_string(), ErrorKind::Input,
            fmt::format("{}/{}/{}: expected a string, found {}", path, key, i, dump_json(list[i])));
    out.push_back(list[i].get<std::string>());
  }
  return out;
}

ToolDefinition parse_tool(const Json& value, const EnvSpec& spec, const std::string& path) {
  refuse_unknown_members(
      value, {"name", "description", "effect", "parameters", "checks", "statements", "result", "reads", "writes", "reveals"},
      path);
  ToolDefinition tool;
  parse_signature(value, tool, path);
  constexpr std::array<std::pair<std::string_view, ToolEffect>, 3> kEffects = {
      {{"read", ToolEffect::Read}, {"write", ToolEffect::Write}, {"submit", ToolEffect::Submit}}};
  tool.effect = one_of(kEffects, get_string(value, "effect", path), path + "/effect");
  if (tool.effect == ToolEffect::Submit) {
    refuse_unknown_members(value, {"name", "description", "effect", "parameters"}, path);
    return tool;
  }
  tool.reads = parse_reads(value, spec, path);
  tool.writes = parse_writes(value, spec, path);
  require(tool.effect == ToolEffect::Write || tool.writes.empty(), ErrorKind::Input,
          fmt::format("{}/writes: a tool with effect \"read\" writes nothing", path));
  parse_checks(value, tool, path);
  tool.statements = get_strings(value, "statements", path);
  require(!tool.statements.empty(), ErrorKind::Input, fmt::format("{}/statements: found none; accepted: at least one", path));
  require(tool.effect == ToolEffect::Write || tool.statements.size() == 1, ErrorKind::Input,
          fmt::format("{}/statements: found {}; accepted: one SELECT for a tool with effect \"read\"", path,
                      tool.statements.size()));
  parse_result(get_object(value, "result", path), tool, path + "/result");
  if (!tool.result_columns.empty()) require_order(tool, path);
  if (value.contains("reveals")) tool.reveals = parse_reveals(value["reveals"], spec, tool, path + "/reveals");
  require_revealed_columns(tool, spec, path);
  return tool;
}

void Problems::raise(const std::string& what) const {
  if (found_.empty()) return;
  if (found_.size() == 1) fail(ErrorKind::Input, fmt::format("{}: {}", what, found_[0]));
  fail(ErrorKind::Input, fmt::format("{}: {} problems\n  {}", what, found_.size(), fmt::join(found_, "\n  ")));
}

}  // namespace gauntlet
