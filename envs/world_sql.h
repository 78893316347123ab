#pragma once

// A world as SQLite tables: for tools in memory, and for `gauntlet env dump`.

#include "core/error.h"
#include "envs/env_spec.h"
#include "envs/sqlite_handle.h"

namespace gauntlet {

/// CREATE TABLE and the indexes that look-ups by key and by reference need.
std::string create_table_sql(const EntitySpec& entity);

/// INSERT with one parameter for each column.
std::string insert_sql(const EntitySpec& entity);

/// Inserts all rows through the prepared `insert`. Throws Error(Infrastructure).
void insert_rows(sqlite3* db, sqlite3_stmt* insert, const World& world, const WorldTable& table);

/// Throws Error(kind) with SQLite's message when `code` is no success.
void check_sqlite(int code, sqlite3* db, ErrorKind kind, std::string_view attempted);

void execute(sqlite3* db, const std::string& sql);

}  // namespace gauntlet
