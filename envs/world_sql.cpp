#include "envs/world_sql.h"

#include <fmt/format.h>

#include <filesystem>

namespace gauntlet {

void check_sqlite(int code, sqlite3* db, ErrorKind kind, std::string_view attempted) {
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE) return;
  fail(kind, fmt::format("could not {}: {}", attempted, db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code)));
}

void execute(sqlite3* db, const std::string& sql) {
  check_sqlite(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), db, ErrorKind::Infrastructure,
               fmt::format("run {}", sql.substr(0, 60)));
}

namespace {

/// BOOLEAN has numeric affinity; its name lets tool results show true and false.
std::string_view sql_type(ColumnType type) {
  switch (type) {
    case ColumnType::Integer:
      return "INTEGER";
    case ColumnType::Boolean:
      return "BOOLEAN";
    case ColumnType::Number:
      return "REAL";
    default:
      return "TEXT";
  }
}

}  // namespace

std::string create_table_sql(const EntitySpec& entity) {
  std::string columns;
  std::string hooks;
  for (const auto& column : entity.columns) {
    const std::string_view type = sql_type(column.type);
    columns += fmt::format("{}\"{}\" {}{}", columns.empty() ? "" : ", ", column.name, type,
                           column.name == entity.key ? " NOT NULL UNIQUE" : "");
    const bool hook = column.type == ColumnType::Reference || (entity.key.empty() && column.type == ColumnType::Date);
    if (hook) hooks += fmt::format("{}\"{}\"", hooks.empty() ? "" : ", ", column.name);
  }
  std::string sql = fmt::format("CREATE TABLE \"{}\" ({});", entity.name, columns);
  if (!hooks.empty()) sql += fmt::format("CREATE INDEX \"index_{0}\" ON \"{0}\" ({1});", entity.name, hooks);
  return sql;
}

std::string insert_sql(const EntitySpec& entity) {
  std::string marks;
  for (std::size_t i = 0; i < entity.columns.size(); ++i) marks += i == 0 ? "?" : ", ?";
  return fmt::format("INSERT INTO \"{}\" VALUES ({})", entity.name, marks);
}

void insert_rows(sqlite3* db, sqlite3_stmt* insert, const World& world, const WorldTable& table) {
  for (std::size_t row = 0; row < table.rows; ++row) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const WorldColumn& column = table.columns[i];
      const Cell cell = column.cells[row];
      const int at = static_cast<int>(i) + 1;
      if (cell == kUnknownCell) {
        sqlite3_bind_null(insert, at);
      } else if (is_symbolic(column.type)) {
        const std::string& text = world.symbols.text(static_cast<std::int32_t>(cell));
        sqlite3_bind_text(insert, at, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
      } else if (column.type == ColumnType::Date) {
        const std::string text = format_date(cell / kCellScale);
        sqlite3_bind_text(insert, at, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
      } else if (column.type == ColumnType::Number) {
        sqlite3_bind_double(insert, at, static_cast<double>(cell) / static_cast<double>(kCellScale));
      } else {
        sqlite3_bind_int64(insert, at, cell / kCellScale);
      }
    }
    check_sqlite(sqlite3_step(insert), db, ErrorKind::Infrastructure, table.name);
    sqlite3_reset(insert);
  }
}

void dump_world(const EnvSpec& spec, const World& world, const std::string& path) {
  require(!std::filesystem::exists(path), ErrorKind::Usage,
          fmt::format("will not overwrite {}; name a file that does not exist", path));
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  SqliteDb db(raw);
  check_sqlite(opened, raw, ErrorKind::Store, fmt::format("create {}", path));
  try {
    execute(raw, "BEGIN");
    for (const auto& entity : spec.entities) {
      execute(raw, create_table_sql(entity));
      sqlite3_stmt* statement = nullptr;
      check_sqlite(sqlite3_prepare_v2(raw, insert_sql(entity).c_str(), -1, &statement, nullptr), raw, ErrorKind::Store,
                   "prepare an insert");
      const SqliteStatement insert(statement);
      insert_rows(raw, statement, world, world.tables[static_cast<std::size_t>(world.find_table(entity.name))]);
    }
    execute(raw, "COMMIT");
  } catch (const Error& error) {
    db.reset();
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    throw Error(ErrorKind::Store, fmt::format("could not write the world to {}: {}", path, error.what()), error.where());
  }
}

}  // namespace gauntlet
