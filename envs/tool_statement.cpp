#include "envs/tool_statement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"

namespace gauntlet {
namespace {

using AccessMap = std::map<std::string, std::vector<std::string>>;

// Deterministic, and cheap for texts up to the length limit; random(), date('now'), load_extension() and the like are not among
// them.
constexpr std::array<std::string_view, 18> kFunctions = {"abs",    "avg",    "coalesce", "count", "ifnull", "iif",
                                                         "length", "like",   "lower",    "max",   "min",    "nullif",
                                                         "round",  "substr", "sum",      "total", "trim",   "upper"};

bool declares(const AccessMap& access, std::string_view table, std::string_view column) {
  const auto it = access.find(std::string(table));
  if (it == access.end()) return false;
  return column.empty() || column == "ROWID" || std::find(it->second.begin(), it->second.end(), column) != it->second.end();
}

std::string refusal(const std::string& refused) {
  const bool declarable = refused.rfind("reading", 0) == 0 || refused.rfind("writing", 0) == 0;
  if (declarable)
    return fmt::format("{} is not declared by the tool; declare it under \"{}\", or leave it out", refused,
                       refused[0] == 'r' ? "reads" : "writes");
  if (refused.rfind("the function", 0) == 0)
    return fmt::format("{} is not allowed; accepted: {}", refused, fmt::join(kFunctions, ", "));
  return refused + " is not allowed; accepted: SELECT, and in write tools INSERT, UPDATE, DELETE";
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

/// What the authorizer compares with.
struct StatementCompiler::Declared {
  const AccessMap* reads = nullptr;
  const AccessMap* writes = nullptr;
  std::string refused;  ///< the first refusal, for the message
  bool handles_data = false;  ///< something was selected or written; SQLite asks nothing about VACUUM, for one
};

StatementCompiler::StatementCompiler(sqlite3* db) : db_(db), declared_(std::make_unique<Declared>()) {
  sqlite3_set_authorizer(db_, authorize, declared_.get());
}

StatementCompiler::~StatementCompiler() { sqlite3_set_authorizer(db_, nullptr, nullptr); }

/// Denies by default; see sqlite3_set_authorizer for the meaning of the arguments of each action.
int StatementCompiler::authorize(void* context, int action, const char* first, const char* second, const char* /*database*/,
                                 const char* /*trigger*/) {
  auto& declared = *static_cast<Declared*>(context);
  const std::string_view a = first == nullptr ? "" : first;
  const std::string_view b = second == nullptr ? "" : second;
  bool allowed = false;
  std::string what;
  declared.handles_data |= action == SQLITE_SELECT || action == SQLITE_INSERT || action == SQLITE_DELETE || action == SQLITE_UPDATE;
  switch (action) {
    case SQLITE_SELECT:
      allowed = true;
      break;
    case SQLITE_READ:
      allowed = declares(*declared.reads, a, b);
      what = fmt::format("reading {}.{}", a, b);
      break;
    case SQLITE_INSERT:
    case SQLITE_DELETE:
      allowed = declared.writes->contains(std::string(a));
      what = fmt::format("writing {}", a);
      break;
    case SQLITE_UPDATE:
      allowed = !b.empty() && declares(*declared.writes, a, b);
      what = fmt::format("writing {}.{}", a, b);
      break;
    case SQLITE_FUNCTION:
      allowed = std::find(kFunctions.begin(), kFunctions.end(), b) != kFunctions.end();
      what = fmt::format("the function {}()", b);
      break;
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
      what = "ATTACH or DETACH";
      break;
    case SQLITE_PRAGMA:
      what = fmt::format("PRAGMA {}", a);
      break;
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      what = "a transaction statement";
      break;
    case SQLITE_RECURSIVE:
      what = "a recursive query";
      break;
    default:
      what = fmt::format("a change of the schema or the connection ({})", a);
      break;
  }
  if (allowed) return SQLITE_OK;
  if (declared.refused.empty()) declared.refused = what;
  return SQLITE_DENY;
}

ToolStatement StatementCompiler::compile(const std::string& sql, const ToolDefinition& tool, StatementRight right,
                                         const std::string& path) {
  const AccessMap none;
  *declared_ = {.reads = &tool.reads, .writes = right == StatementRight::Write ? &tool.writes : &none, .refused = {}, .handles_data = false};
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, &tail);
  ToolStatement compiled;
  compiled.statement.reset(raw);
  if (code != SQLITE_OK) {
    fail(ErrorKind::Input,
         declared_->refused.empty()
             ? fmt::format("{}: {}; accepted: one SQL statement over the entities' tables", path, sqlite3_errmsg(db_))
             : fmt::format("{}: {}", path, refusal(declared_->refused)));
  }
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
  constexpr std::array<std::pair<int, int>, 11> kLimits = {{{SQLITE_LIMIT_LENGTH, 250'000},
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
