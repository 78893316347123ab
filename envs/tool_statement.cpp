#include "envs/tool_statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "envs/sql_functions.h"
#include "envs/sql_words.h"

namespace gauntlet {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> starts) {
  return std::any_of(starts.begin(), starts.end(), [&](std::string_view start) { return text.rfind(start, 0) == 0; });
}

std::string undeclared(std::string_view what, std::string_view under) {
  return fmt::format("{} is not declared by the tool; declare it under \"{}\", or leave it out", what, under);
}

std::string not_allowed(std::string_view what) {
  return fmt::format("{} is not allowed; accepted: SELECT, and in write tools INSERT, UPDATE, DELETE", what);
}

std::string column_name(std::string_view table, std::string_view column) {
  return column.empty() ? std::string(table) : fmt::format("{}.{}", table, column);
}

std::vector<int> match_variables(sqlite3_stmt* statement, const ToolDefinition& tool, const std::string& path) {
  std::vector<int> numbers;
  for (int i = 1; i <= sqlite3_bind_parameter_count(statement); ++i) {
    const char* variable = sqlite3_bind_parameter_name(statement, i);
    const std::string_view name = variable == nullptr ? "?" : variable;
    const auto it =
        std::find_if(tool.parameters.begin(), tool.parameters.end(), [&](const auto& p) { return name.substr(1) == p.name; });
    const bool usable = it != tool.parameters.end() && it->type != ToolParameter::Type::Strings;
    std::vector<std::string> accepted;
    for (const auto& parameter : tool.parameters) {
      if (parameter.type != ToolParameter::Type::Strings) accepted.push_back(":" + parameter.name);
    }
    require(usable, ErrorKind::Input,
            fmt::format("{}: found the variable \"{}\"; accepted: {}", path, name,
                        accepted.empty() ? "none" : fmt::format("{}", fmt::join(accepted, ", "))));
    numbers.push_back(static_cast<int>(it - tool.parameters.begin()));
  }
  return numbers;
}

}  // namespace

/// What the authorizer compares with, and what it found.
struct StatementCompiler::Declared {
  const ToolDefinition* tool = nullptr;
  StatementRight right = StatementRight::Read;
  std::vector<std::string> words;   ///< of the statement
  std::vector<std::string> tables;  ///< of the connection
  std::string refused;              ///< the first refusal, for the message
  std::vector<std::string> written;  ///< tables
  bool handles_data = false;         ///< something was selected or written; SQLite asks nothing about VACUUM, for one

  const WriteAccess* writes(std::string_view table) const {
    if (right == StatementRight::Read) return nullptr;
    const auto it = tool->writes.find(std::string(table));
    return it == tool->writes.end() ? nullptr : &it->second;
  }
  std::string refuse_read(std::string_view table, std::string_view column) const;
  std::string refuse_write(int action, std::string_view table, std::string_view column);
  std::string refuse_schema() const;
  std::string refuse(int action, std::string_view first, std::string_view second);
};

/// Empty if it is declared.
std::string StatementCompiler::Declared::refuse_read(std::string_view table, std::string_view column) const {
  if (starts_with_any(table, {"sqlite_", "json_", "pragma_", "fts", "dbstat"})) return not_allowed(fmt::format("reading {}", table));
  // A name that is no table belongs to a WITH clause or a subquery, whose own reads are asked about one by one.
  if (column.empty() && !contains(tables, table)) return "";
  const auto it = tool->reads.find(std::string(table));
  const bool declared = it != tool->reads.end() && (column.empty() || column == "ROWID" || contains(it->second, column));
  return declared ? "" : undeclared("reading " + column_name(table, column), "reads");
}

/// SQLite asks for leave to write its schema table before it says what for.
std::string StatementCompiler::Declared::refuse_schema() const {
  const std::string_view first = words.empty() ? "" : std::string_view(words[0]);
  if (starts_with_any(first, {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES"}))
    return not_allowed("a table-valued function (such as json_each or pragma_table_info)");
  return not_allowed(fmt::format("{}, which changes the schema,", first));
}

std::string StatementCompiler::Declared::refuse_write(int action, std::string_view table, std::string_view column) {
  if (table.rfind("sqlite_", 0) == 0) return refuse_schema();
  if (right == StatementRight::Read) return "the statement writes; accepted: a SELECT";
  if (!contains(written, table)) written.emplace_back(table);
  const WriteAccess* access = writes(table);
  if (action == SQLITE_INSERT)
    return access != nullptr && access->insert ? "" : undeclared(fmt::format("inserting into {}", table), "writes");
  if (action == SQLITE_DELETE)
    return access != nullptr && access->remove ? "" : undeclared(fmt::format("deleting from {}", table), "writes");
  const bool declared = access != nullptr && !column.empty() && contains(access->update, column);
  return declared ? "" : undeclared("updating " + column_name(table, column), "writes");
}

std::string StatementCompiler::Declared::refuse(int action, std::string_view first, std::string_view second) {
  switch (action) {
    case SQLITE_SELECT:
      return "";
    case SQLITE_READ:
      return refuse_read(first, second);
    case SQLITE_INSERT:
    case SQLITE_DELETE:
    case SQLITE_UPDATE:
      return refuse_write(action, first, second);
    case SQLITE_FUNCTION: {
      const auto names = allowed_functions();
      const bool allowed = std::find(names.begin(), names.end(), second) != names.end();
      return allowed ? "" : fmt::format("the function {}() is not allowed; accepted: {}", second, fmt::join(names, ", "));
    }
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      return not_allowed("ATTACH or DETACH");
    case SQLITE_PRAGMA:
      return not_allowed(fmt::format("PRAGMA {}", first));
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return not_allowed("a transaction statement");
    case SQLITE_RECURSIVE:
      return not_allowed("a recursive query");
    default:
      return refuse_schema();
  }
}

StatementCompiler::StatementCompiler(sqlite3* db) : db_(db), declared_(std::make_unique<Declared>()) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type = 'table'", -1, &raw, nullptr);
  const SqliteStatement tables(raw);
  require(code == SQLITE_OK, ErrorKind::Infrastructure, fmt::format("could not list the tables: {}", sqlite3_errmsg(db)));
  while (sqlite3_step(raw) == SQLITE_ROW)
    declared_->tables.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(raw, 0)));
  sqlite3_set_authorizer(db_, authorize, declared_.get());
}

StatementCompiler::~StatementCompiler() { sqlite3_set_authorizer(db_, nullptr, nullptr); }

/// Denies by default; see sqlite3_set_authorizer for the meaning of the arguments of each action.
int StatementCompiler::authorize(void* context, int action, const char* first, const char* second, const char* /*database*/,
                                 const char* /*trigger*/) {
  auto& declared = *static_cast<Declared*>(context);
  declared.handles_data |=
      action == SQLITE_SELECT || action == SQLITE_INSERT || action == SQLITE_DELETE || action == SQLITE_UPDATE;
  const std::string refused =
      declared.refuse(action, first == nullptr ? "" : first, second == nullptr ? "" : second);
  if (refused.empty()) return SQLITE_OK;
  if (declared.refused.empty()) declared.refused = refused;
  return SQLITE_DENY;
}

/// SQLite asks nothing about conflict clauses. ROLLBACK would undo more than the statement, and FAIL would leave half of it.
std::string StatementCompiler::refuse_conflict_clause() const {
  const std::string clause = conflict_clause(declared_->words);
  if (clause == "ROLLBACK" || clause == "FAIL")
    return fmt::format("OR {} is not allowed: a statement that fails is undone as a whole; leave it out", clause);
  if (clause != "REPLACE") return "";
  for (const auto& table : declared_->written) {
    const WriteAccess* access = declared_->writes(table);
    if (access == nullptr || !access->insert || !access->remove)
      return undeclared(fmt::format("replacing rows of {} (insert and delete)", table), "writes");
  }
  return "";
}

ToolStatement StatementCompiler::compile(const std::string& sql, const ToolDefinition& tool, StatementRight right,
                                         const std::string& path) {
  declared_->tool = &tool;
  declared_->right = right;
  declared_->words = sql_words(sql);
  declared_->refused.clear();
  declared_->written.clear();
  declared_->handles_data = false;
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, &tail);
  ToolStatement compiled;
  compiled.statement.reset(raw);
  if (code != SQLITE_OK) {
    fail(ErrorKind::Input,
         declared_->refused.empty()
             ? fmt::format("{}: {}; accepted: one SQL statement over the entities' tables", path, sqlite3_errmsg(db_))
             : fmt::format("{}: {}", path, declared_->refused));
  }
  const std::string conflict = refuse_conflict_clause();
  require(conflict.empty(), ErrorKind::Input, fmt::format("{}: {}", path, conflict));
  const std::string_view rest(tail, static_cast<std::size_t>(sql.data() + sql.size() - tail));
  require(raw != nullptr && rest.find_first_not_of(" \t\r\n;") == std::string_view::npos, ErrorKind::Input,
          fmt::format("{}: found \"{}\"; accepted: exactly one statement", path, sql));
  require(declared_->handles_data, ErrorKind::Input,
          fmt::format("{}: found \"{}\"; accepted: SELECT, and in write tools INSERT, UPDATE, DELETE", path, sql));
  require(sqlite3_stmt_isexplain(raw) == 0, ErrorKind::Input,
          fmt::format("{}: found EXPLAIN; accepted: a statement that gives data", path));
  require(right == StatementRight::Write || sqlite3_stmt_readonly(raw) != 0, ErrorKind::Input,
          fmt::format("{}: the statement writes; accepted: a SELECT", path));
  compiled.parameters = match_variables(raw, tool, path);
  compiled.columns = sqlite3_column_count(raw);
  for (int i = 0; i < compiled.columns; ++i) {
    const char* type = sqlite3_column_decltype(raw, i);
    compiled.boolean_columns.push_back(type != nullptr && std::string_view(type) == "BOOLEAN");
  }
  return compiled;
}

void restrict_connection(sqlite3* db) {
  for (const int option :
       {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_DQS_DML, SQLITE_DBCONFIG_DQS_DDL, SQLITE_DBCONFIG_ENABLE_TRIGGER,
        SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION}) {
    sqlite3_db_config(db, option, 0, nullptr);
  }
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  constexpr std::array<std::pair<int, int>, 11> kLimits = {{{SQLITE_LIMIT_LENGTH, kMaxValueBytes},
                                                            {SQLITE_LIMIT_SQL_LENGTH, 100'000},
                                                            {SQLITE_LIMIT_COLUMN, 200},
                                                            {SQLITE_LIMIT_EXPR_DEPTH, 100},
                                                            {SQLITE_LIMIT_COMPOUND_SELECT, 50},
                                                            {SQLITE_LIMIT_VDBE_OP, 250'000},
                                                            {SQLITE_LIMIT_FUNCTION_ARG, 100},
                                                            {SQLITE_LIMIT_ATTACHED, 0},
                                                            {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200},
                                                            {SQLITE_LIMIT_VARIABLE_NUMBER, 1000},
                                                            {SQLITE_LIMIT_WORKER_THREADS, 0}}};
  for (const auto& [id, value] : kLimits) sqlite3_limit(db, id, value);
}

}  // namespace gauntlet
