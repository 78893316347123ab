#include "envs/tool_connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "envs/json_text.h"
#include "envs/tool_arguments.h"
#include "envs/tool_program.h"
#include "envs/world_database.h"
#include "envs/world_sql.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxResultBytes = 250'000;

/// Why a statement stopped, as the agent is told; empty code: it did not.
struct StatementProblem {
  std::string_view code;
  std::string message;
};

bool is_many(ResultShape shape) { return shape == ResultShape::List || shape == ResultShape::Rows; }

void append_cell(const ToolStatement& tool, int column, std::string& out) {
  sqlite3_stmt* statement = tool.statement.get();
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER: {
      const std::int64_t value = sqlite3_column_int64(statement, column);
      if (tool.boolean_columns[static_cast<std::size_t>(column)]) {
        out += value != 0 ? "true" : "false";
      } else {
        const fmt::format_int text(value);
        out.append(text.data(), text.size());
      }
      break;
    }
    case SQLITE_FLOAT:
      append_json_number(out, sqlite3_column_double(statement, column));
      break;
    case SQLITE_NULL:
      out += "null";
      break;
    default: {
      const auto* text = static_cast<const char*>(sqlite3_column_blob(statement, column));
      append_json_string(out, {text == nullptr ? "" : text, static_cast<std::size_t>(sqlite3_column_bytes(statement, column))});
    }
  }
}

}  // namespace

ToolOutcome tool_error(std::string_view code, std::string_view message) {
  std::string content = "{\"error\":{\"code\":";
  append_json_string(content, code);
  content += ",\"message\":";
  append_json_string(content, message);
  content += "}}";
  return {.content = std::move(content), .is_error = true, .ends_episode = false};
}

struct ToolConnection::Impl {
  const EnvSpec* spec;
  WorldDatabase database;
  std::vector<PreparedTool> tools;
  std::vector<SqliteStatement> read_all;  ///< [entities], prepared when first needed
  SqliteStatement begin_tool, release_tool, rollback_tool;
  std::shared_ptr<const World> world;     ///< shared with the sessions
  std::shared_ptr<const WriteLog> state;  ///< shared with the sessions and their forks
  ToolArgumentParser parser;
  std::vector<int> columns;  ///< of the result being written
  bool value_too_large = false;  ///< for the tier that the call runs in

  Impl(const EnvSpec& given, WorldImages& images) : spec(&given), database(given, images) {}

  sqlite3* db() const { return database.db(); }
  WorkBudget& budget() { return database.budget(); }
  void load(const std::shared_ptr<const World>& target);
  bool start(const ToolStatement& prepared, const ToolDefinition& tool);
  StatementProblem explain(int code);
  StatementProblem select_columns(const ToolDefinition& tool, const PreparedTool& compiled);
  StatementProblem write_result(const ToolDefinition& tool, const ToolStatement& prepared, std::string& out);
  void append_object(const ToolDefinition& tool, const ToolStatement& prepared, std::string& out) const;
  ToolOutcome run(const ToolDefinition& tool, const PreparedTool& compiled);
  ToolOutcome run_write(const ToolDefinition& tool, const PreparedTool& compiled);
};

ToolConnection::ToolConnection(const EnvSpec& spec, WorldImages& images) : impl_(std::make_unique<Impl>(spec, images)) {
  Impl& impl = *impl_;
  {
    StatementCompiler compiler(impl.db());
    for (std::size_t i = 0; i < spec.tools.size(); ++i)
      impl.tools.push_back(compile_tool(compiler, spec.tools[i], fmt::format("/tools/{}", i)));
  }
  impl.begin_tool = impl.database.prepare("SAVEPOINT tool");
  impl.release_tool = impl.database.prepare("RELEASE tool");
  impl.rollback_tool = impl.database.prepare("ROLLBACK TO tool");
}

ToolConnection::~ToolConnection() = default;
const World* ToolConnection::world() const { return impl_->world.get(); }
const WriteLog* ToolConnection::state() const { return impl_->state.get(); }
bool ToolConnection::world_is_unused() const { return impl_->world.use_count() == 1; }
void ToolConnection::stop_when(const CancelFlag* cancel) { impl_->budget().stop_when(cancel); }
void ToolConnection::advance(std::shared_ptr<const WriteLog> log) { impl_->state = std::move(log); }

void ToolConnection::Impl::load(const std::shared_ptr<const World>& target) {
  world.reset();
  state.reset();
  database.show(target);
  world = target;
}

void ToolConnection::move_to(const std::shared_ptr<const World>& world, const std::shared_ptr<const WriteLog>& log) {
  Impl& impl = *impl_;
  if (impl.world != world) impl.load(world);
  if (impl.state == log) return;
  std::vector<const WriteLog*> pending;
  const WriteLog* at = log.get();
  while (at != nullptr && at != impl.state.get()) {
    pending.push_back(at);
    at = at->previous.get();
  }
  if (at != impl.state.get()) impl.database.undo_writes();
  impl.state.reset();
  for (auto it = pending.rbegin(); it != pending.rend(); ++it) {
    const ToolOutcome outcome = call((*it)->tool, (*it)->arguments);
    require(!outcome.is_error, ErrorKind::Infrastructure,
            fmt::format("a recorded write no longer succeeds: {}", outcome.content));
  }
  impl.state = log;
}

/// Binds the arguments; false if one is larger than the tier allows.
bool ToolConnection::Impl::start(const ToolStatement& prepared, const ToolDefinition& tool) {
  using Type = ToolParameter::Type;
  sqlite3_stmt* statement = prepared.statement.get();
  budget().start_statement(statement);
  int code = SQLITE_OK;
  for (std::size_t i = 0; i < prepared.parameters.size() && code == SQLITE_OK; ++i) {
    const auto number = static_cast<std::size_t>(prepared.parameters[i]);
    const ToolArgument& argument = parser.values()[number];
    const int at = static_cast<int>(i) + 1;
    if (!argument.given) {
      code = sqlite3_bind_null(statement, at);
    } else if (tool.parameters[number].type == Type::String) {
      code = sqlite3_bind_text(statement, at, argument.text.data(), static_cast<int>(argument.text.size()), SQLITE_STATIC);
    } else if (tool.parameters[number].type == Type::Number) {
      code = sqlite3_bind_double(statement, at, argument.number);
    } else {
      code = sqlite3_bind_int64(statement, at, argument.integer);
    }
  }
  value_too_large |= code == SQLITE_TOOBIG;
  require(code == SQLITE_OK || code == SQLITE_TOOBIG, ErrorKind::Infrastructure,
          fmt::format("could not bind a tool's arguments: {}", sqlite3_errmsg(db())));
  return code == SQLITE_OK;
}

/// Refusals by the data are the agent's business; a lack of memory or a damaged connection is not.
StatementProblem ToolConnection::Impl::explain(int code) {
  switch (budget().stopped()) {
    case WorkStop::TooMuch:
      return {"too_expensive", "the call needs more work than one call may do; ask for less"};
    case WorkStop::Late:
      fail(ErrorKind::Infrastructure, "a tool's statement took too long on this machine, within its budget of work");
    case WorkStop::Cancelled:
      fail(ErrorKind::Infrastructure, "a tool's statement was cancelled by the caller");
    case WorkStop::None:
      break;
  }
  switch (code & 0xFF) {
    case SQLITE_TOOBIG:
      value_too_large = true;
      return {"result_too_large", fmt::format("a value is larger than {} bytes", budget().value_bytes())};
    case SQLITE_CONSTRAINT:
      return {"constraint_failed", sqlite3_errmsg(db())};
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
      return {"failed", sqlite3_errmsg(db())};
    default:
      fail(ErrorKind::Infrastructure, fmt::format("could not run a tool's statement: {}", sqlite3_errmsg(db())));
  }
}

/// Fills `columns` with those that the call asked for.
StatementProblem ToolConnection::Impl::select_columns(const ToolDefinition& tool, const PreparedTool& compiled) {
  columns.clear();
  const bool all = compiled.keywords < 0 || !parser.values()[static_cast<std::size_t>(compiled.keywords)].given;
  if (all) {
    for (int i = 0; i < static_cast<int>(tool.result_columns.size()); ++i) columns.push_back(i);
    return {};
  }
  for (const auto& item : parser.values()[static_cast<std::size_t>(compiled.keywords)].items) {
    const auto it = std::find(tool.result_columns.begin(), tool.result_columns.end(), item);
    if (it == tool.result_columns.end()) {
      return {"unknown_keyword",
              fmt::format("unknown keyword \"{}\"; accepted: {}", clip_text(item, 100), fmt::join(tool.result_columns, ", "))};
    }
    const int column = static_cast<int>(it - tool.result_columns.begin());
    if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
  }
  return {};
}

void ToolConnection::Impl::append_object(const ToolDefinition& tool, const ToolStatement& prepared, std::string& out) const {
  out += '{';
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, tool.result_columns[static_cast<std::size_t>(columns[i])]);
    out += ':';
    append_cell(prepared, columns[i], out);
  }
  out += '}';
}

StatementProblem ToolConnection::Impl::write_result(const ToolDefinition& tool, const ToolStatement& prepared,
                                                    std::string& out) {
  sqlite3_stmt* statement = prepared.statement.get();
  const bool many = is_many(tool.shape);
  const bool bare = tool.shape == ResultShape::List || tool.shape == ResultShape::Scalar;
  if (many) out += '[';
  int rows = 0;
  int code = sqlite3_step(statement);
  for (; code == SQLITE_ROW && budget().stopped() == WorkStop::None; code = sqlite3_step(statement)) {
    if (rows++ > 0) {
      if (!many) break;
      out += ',';
    }
    if (bare) {
      append_cell(prepared, 0, out);
    } else {
      append_object(tool, prepared, out);
    }
    if (out.size() > kMaxResultBytes) {
      return {"result_too_large", fmt::format("the result is larger than {} bytes; ask for less", kMaxResultBytes)};
    }
  }
  const bool spent = budget().stopped() != WorkStop::None;
  if (spent || (code != SQLITE_DONE && code != SQLITE_ROW)) return explain(code);
  if (many) out += ']';
  if (!many && rows == 0) out += prepared.columns == 0 ? "{\"ok\":true}" : "null";
  return {};
}

ToolOutcome ToolConnection::Impl::run(const ToolDefinition& tool, const PreparedTool& compiled) {
  if (const StatementProblem problem = select_columns(tool, compiled); !problem.code.empty())
    return tool_error(problem.code, problem.message);
  for (std::size_t i = 0; i < compiled.checks.size(); ++i) {
    const ToolStatement& check = compiled.checks[i];
    const int code = start(check, tool) ? sqlite3_step(check.statement.get()) : SQLITE_TOOBIG;
    sqlite3_reset(check.statement.get());
    const bool spent = budget().stopped() != WorkStop::None;
    if (code == SQLITE_ROW && !spent) continue;
    if (code == SQLITE_DONE && !spent)
      return tool_error(tool.checks[i].error_code, fill_message(tool.checks[i].message, tool, parser.values()));
    const StatementProblem problem = explain(code);
    return tool_error(problem.code, problem.message);
  }
  std::string content;
  for (std::size_t i = 0; i < compiled.statements.size(); ++i) {
    const ToolStatement& prepared = compiled.statements[i];
    StatementProblem problem;
    if (!start(prepared, tool)) {
      problem = explain(SQLITE_TOOBIG);
    } else if (i + 1 == compiled.statements.size()) {
      problem = write_result(tool, prepared, content);
    } else {
      int code = sqlite3_step(prepared.statement.get());
      while (code == SQLITE_ROW) code = sqlite3_step(prepared.statement.get());
      if (code != SQLITE_DONE || budget().stopped() != WorkStop::None) problem = explain(code);
    }
    sqlite3_reset(prepared.statement.get());
    if (!problem.code.empty()) return tool_error(problem.code, problem.message);
  }
  return {.content = std::move(content), .is_error = false, .ends_episode = false};
}

ToolOutcome ToolConnection::call(int number, std::string_view arguments) {
  Impl& impl = *impl_;
  const ToolDefinition& tool = impl.spec->tools[static_cast<std::size_t>(number)];
  const PreparedTool& compiled = impl.tools[static_cast<std::size_t>(number)];
  if (const auto problem = impl.parser.parse(tool, arguments)) return tool_error(problem->code, problem->message);
  ToolOutcome outcome;
  for (const auto& tier : kWorkTiers) {
    impl.budget().start(tier);
    impl.value_too_large = false;
    outcome = tool.effect == ToolEffect::Write ? impl.run_write(tool, compiled) : impl.run(tool, compiled);
    if (!impl.value_too_large) break;
  }
  return outcome;
}

/// A write that runs out of its budget makes SQLite give up the whole transaction, and the savepoints with it. What was loaded
/// is committed, so the fresh world is there again, and the next call makes the session's writes anew.
ToolOutcome ToolConnection::Impl::run_write(const ToolDefinition& tool, const PreparedTool& compiled) {
  database.run(begin_tool, "begin a write");
  ToolOutcome outcome = run(tool, compiled);
  if (sqlite3_get_autocommit(db()) != 0) {
    require(outcome.is_error, ErrorKind::Infrastructure, "a tool's write ended the transaction");
    state.reset();
    database.begin_again();
    return outcome;
  }
  if (outcome.is_error) database.run(rollback_tool, "undo a write");
  database.run(release_tool, "end a write");
  return outcome;
}

std::string ToolConnection::fingerprint() {
  Impl& impl = *impl_;
  std::string text;
  for (std::size_t i = 0; i < impl.spec->entities.size(); ++i) {
    const EntitySpec& entity = impl.spec->entities[i];
    if (impl.read_all.size() == i) impl.read_all.push_back(impl.database.prepare(fmt::format("SELECT * FROM \"{}\"", entity.name)));
    ToolStatement all;
    for (const auto& column : entity.columns) all.boolean_columns.push_back(column.type == ColumnType::Boolean);
    all.statement = std::move(impl.read_all[i]);
    impl.budget().lift();
    std::vector<std::string> rows;
    int code = sqlite3_step(all.statement.get());
    for (; code == SQLITE_ROW; code = sqlite3_step(all.statement.get())) {
      std::string row = "[";
      for (int column = 0; column < static_cast<int>(entity.columns.size()); ++column) {
        if (column > 0) row += ',';
        append_cell(all, column, row);
      }
      rows.push_back(row + "]");
    }
    sqlite3_reset(all.statement.get());
    impl.read_all[i] = std::move(all.statement);
    check_sqlite(code, impl.db(), ErrorKind::Infrastructure, "read a table");
    std::sort(rows.begin(), rows.end());
    text += entity.name + "\n";
    for (const auto& row : rows) text += row + "\n";
  }
  return text;
}

}  // namespace gauntlet
