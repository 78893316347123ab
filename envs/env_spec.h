#pragma once

// An environment as data: entities, tools, answer form. One JSON document, described in docs/environments.md and by the schema
// envs/env_spec.schema.json; validated the same way whoever wrote it.

#include <map>
#include <string>
#include <vector>

#include "core/message.h"
#include "envs/world.h"

namespace gauntlet {

struct Generator;  // envs/generators.h

struct ColumnSpec {
  std::string name;
  ColumnType type = ColumnType::Text;
  int decimals = 0;
  std::string label;  ///< how prompts call it; empty: the name with spaces
  std::string unit;   ///< "CNY per night"; for prompts
  std::string references;
  std::string description;
  Json generator;                             ///< see docs/environments.md
  std::shared_ptr<const Generator> compiled;  ///< shared by copies of the spec; immutable
};

struct EntitySpec {
  std::string name;  ///< table name
  std::string key;   ///< column that names a row, globally unique in a world; empty for relations
  std::string description;
  Json count;  ///< how many rows: {"fixed"}, {"parameter"}, {"per", …}, {"cross", …}
  std::vector<ColumnSpec> columns;

  const ColumnSpec* find_column(std::string_view column) const;
};

/// What a tool's result lets an agent conclude; the oracle plans with it. Rows of `entity` whose columns equal the arguments in
/// `given` (argument name to column name) are shown completely, with the result's columns (or those that the argument
/// `keywords` asks for).
struct RevealSpec {
  std::string entity;
  std::vector<std::pair<std::string, std::string>> given;
  std::string keywords;  ///< name of an array argument that selects columns; empty if none
};

enum class ToolEffect { Read, Write, Submit };
enum class ResultShape { List, Object, Rows, Scalar };

/// One argument. The accepted subset of JSON Schema: string (optionally format date), integer, number, boolean, array of
/// strings.
struct ToolParameter {
  enum class Type { String, Integer, Number, Boolean, Strings };
  std::string name;
  Type type = Type::String;
  bool is_date = false;
  bool required = false;
  std::int64_t minimum = std::numeric_limits<std::int64_t>::min();
  std::int64_t maximum = std::numeric_limits<std::int64_t>::max();
  std::size_t min_items = 0;
};

struct ToolCheck {
  std::string unless_sql;  ///< the check fails if this SELECT gives no row
  std::string error_code;
  std::string message;  ///< "{argument}" is replaced by the argument's value
};

/// What a write tool may do to one table.
struct WriteAccess {
  bool insert = false;
  bool remove = false;              ///< rows, "delete" in the document
  std::vector<std::string> update;  ///< columns
};

struct ToolDefinition {
  ToolSpec spec;
  std::vector<ToolParameter> parameters;  ///< spec.parameters, taken apart
  ToolEffect effect = ToolEffect::Read;
  std::vector<ToolCheck> checks;        ///< in order; for Write the preconditions
  std::vector<std::string> statements;  ///< Read: one SELECT; Write: one or more writes, then optionally a SELECT
  ResultShape shape = ResultShape::List;
  std::vector<std::string> result_columns;  ///< List and Scalar: one
  std::string keywords;                     ///< Object: an array argument that selects among result_columns; empty: all
  std::map<std::string, std::vector<std::string>> reads;  ///< table to columns; the authorizer allows exactly these
  std::map<std::string, WriteAccess> writes;              ///< table to operations, exactly these too
  std::optional<RevealSpec> reveals;
};

struct WorldParameter {
  std::string name;
  ColumnType type = ColumnType::Integer;  ///< Integer, Date or Text
  Json fallback;
  std::int64_t minimum = 0;  ///< Integer only
  std::int64_t maximum = 0;
  std::string description;
};

struct EnvSpec {
  std::string name;
  std::string title;
  std::string description;
  std::string family;                                                  ///< general, search, code, interpreter
  std::string locale;                                                  ///< locale pack of name generators
  std::map<std::string, std::vector<std::string>, std::less<>> names;  ///< the locale's word lists
  std::vector<WorldParameter> parameters;
  std::vector<EntitySpec> entities;  ///< parents before children
  std::vector<ToolDefinition> tools;
  std::string submit_tool;      ///< tool with ToolEffect::Submit
  std::string submit_argument;  ///< its argument that holds the answer text
  Json tasks;                   ///< task templates, read by synth/; null if none
  Json source;                  ///< the whole document as given
  std::string sha256;           ///< of canonical_json(source)

  const EntitySpec* find_entity(std::string_view name) const;
  const ToolDefinition* find_tool(std::string_view name) const;
  std::vector<ToolSpec> tool_specs() const;
};

/// Validates the document against the schema, then its meaning (references exist, every tool's SQL compiles against the tables
/// and stays within what it declares, …). Throws Error(Input) that lists every problem as "path: found …; accepted …".
EnvSpec parse_env_spec(const Json& document, const std::string& what);

/// Built-in domains (envs/domains/*.json, compiled into the program).
std::vector<std::string> builtin_domains();
/// Throws Error(Usage) for an unknown name, suggesting the nearest.
EnvSpec load_builtin_domain(const std::string& name);
/// A built-in name or the path of a spec file (recognised by a '/' or a ".json" ending).
EnvSpec load_env_spec(const std::string& name_or_path);

/// Deterministic in (spec, key). Throws Error(Input) for parameters or edits that the spec does not have or that are out of
/// range.
std::shared_ptr<const World> build_world(const EnvSpec& spec, const WorldKey& key);

/// Writes the world as an SQLite file (every entity a table). Refuses to overwrite. Throws Error(Store).
void dump_world(const EnvSpec& spec, const World& world, const std::string& path);
/// Canonical bytes of the whole world (for hashes: same seed, same bytes).
std::string world_fingerprint(const World& world);

}  // namespace gauntlet
