#pragma once

// Test support: checks rows against the part of JSON Schema that datasets/schemas/ uses for structure: type, properties,
// required, additionalProperties, items, enum, const. The full check is made with Python's jsonschema by
// tests/datasets_peer_test.py.

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "embedded/export_schemas.h"

namespace gauntlet::sample {

inline Json export_schema(const std::string& name) {
  for (const EmbeddedFile& file : embedded_export_schemas()) {
    if (file.name == name) return parse_json(file.text, name);
  }
  throw std::runtime_error("no schema " + name);
}

inline bool has_type(const Json& value, const Json& type) {
  if (type.is_array()) {
    for (const Json& one : type) {
      if (has_type(value, one)) return true;
    }
    return false;
  }
  return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
         (type == "string" && value.is_string()) || (type == "boolean" && value.is_boolean()) ||
         (type == "integer" && value.is_number_integer()) || (type == "number" && value.is_number());
}

/// Empty if the row has exactly the fields of the schema, else the first thing that is wrong.
inline std::string shape_problem(const Json& row, const Json& schema, const std::string& path = "") {
  if (schema.contains("const") && row != schema.at("const")) return path + ": not the constant";
  if (schema.contains("enum") &&
      std::find(schema.at("enum").begin(), schema.at("enum").end(), row) == schema.at("enum").end()) {
    return path + ": not one of the enumeration";
  }
  if (schema.contains("type") && !has_type(row, schema.at("type"))) return fmt::format("{}: is {}", path, row.type_name());
  if (row.is_object() && schema.contains("properties")) {
    for (const Json& name : schema.at("required")) {
      if (!row.contains(name.get<std::string>())) return path + "/" + name.get<std::string>() + ": missing";
    }
    for (const auto& item : row.items()) {
      if (!schema.at("properties").contains(item.key())) return path + "/" + item.key() + ": not in the schema";
      const std::string problem = shape_problem(item.value(), schema.at("properties").at(item.key()), path + "/" + item.key());
      if (!problem.empty()) return problem;
    }
  }
  if (row.is_array() && schema.contains("items")) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string problem = shape_problem(row[i], schema.at("items"), fmt::format("{}/{}", path, i));
      if (!problem.empty()) return problem;
    }
  }
  return "";
}

inline std::vector<Json> read_jsonl(const std::string& path) {
  std::ifstream file(path);
  std::vector<Json> out;
  for (std::string line; std::getline(file, line);) out.push_back(parse_json(line, path));
  return out;
}

}  // namespace gauntlet::sample
