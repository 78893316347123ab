#include "envs/tool_statement.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {

namespace {

/// Compiles against "secret(id, flag)" and "room(name, price)"; the tool may read room.name and do to room what `access` says.
std::string refusal(const std::string& sql, StatementRight right = StatementRight::Read,
                    const WriteAccess& access = {.insert = false, .remove = false, .update = {"price"}}) {
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open_v2(":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MEMORY, nullptr) ==
          SQLITE_OK);
  const SqliteDb db(raw);
  REQUIRE(sqlite3_exec(raw, "CREATE TABLE room (name TEXT, price INTEGER); CREATE TABLE secret (id INTEGER, flag TEXT)",
                       nullptr, nullptr, nullptr) == SQLITE_OK);
  restrict_connection(raw);
  ToolDefinition tool;
  tool.parameters = {{.name = "room", .type = ToolParameter::Type::String}};
  tool.reads = {{"room", {"name"}}};
  tool.writes = {{"room", access}};
  StatementCompiler compiler(raw);
  try {
    compiler.compile(sql, tool, right, "/at");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("what a tool declares compiles") {
  CHECK(refusal("SELECT name FROM room WHERE name = :room ORDER BY rowid") == "");
  CHECK(refusal("SELECT count(*), upper(max(name)) FROM room") == "");
  CHECK(refusal("UPDATE room SET price = 3 WHERE name = :room", StatementRight::Write) == "");
  CHECK(refusal("WITH x AS (SELECT name FROM room) SELECT count(*) FROM x") == "");
  CHECK(refusal("SELECT name FROM room;  ") == "");
}

TEST_CASE("undeclared columns and tables cannot be read or written, however they are reached") {
  CHECK(refusal("SELECT price FROM room") ==
        "/at: reading room.price is not declared by the tool; declare it under \"reads\", or leave it out");
  for (const char* sql :
       {"SELECT * FROM room", "SELECT name FROM room ORDER BY price", "SELECT name FROM room WHERE price > 3",
        "SELECT flag FROM secret", "SELECT count(*) FROM secret", "SELECT (SELECT flag FROM secret) FROM room",
        "SELECT name FROM room UNION SELECT flag FROM secret", "WITH x AS (SELECT flag FROM secret) SELECT * FROM x",
        "SELECT sql FROM sqlite_schema", "SELECT name FROM room GROUP BY price"}) {
    CAPTURE(std::string(sql));
    CHECK(refusal(sql) != "");
  }
  for (const char* sql : {"UPDATE room SET name = 'x'", "DELETE FROM secret", "INSERT INTO secret VALUES (1, 'x')",
                          "UPDATE room SET price = price + 1", "REPLACE INTO secret VALUES (1, 'x')"}) {
    CAPTURE(std::string(sql));
    CHECK(refusal(sql, StatementRight::Write) != "");
  }
}

TEST_CASE("writes are allowed operation by operation") {
  const WriteAccess insert{.insert = true, .remove = false, .update = {}};
  const WriteAccess remove{.insert = false, .remove = true, .update = {}};
  const WriteAccess both{.insert = true, .remove = true, .update = {}};
  const auto write = [](const char* sql, const WriteAccess& access) { return refusal(sql, StatementRight::Write, access); };
  const WriteAccess update{.insert = false, .remove = false, .update = {"price"}};
  CHECK(write("DELETE FROM room", update) ==
        "/at: deleting from room is not declared by the tool; declare it under \"writes\", or leave it out");
  CHECK(write("INSERT INTO room (name) VALUES ('x')", update) ==
        "/at: inserting into room is not declared by the tool; declare it under \"writes\", or leave it out");
  CHECK(write("REPLACE INTO room (name) VALUES ('x')", update) != "");
  CHECK(write("UPDATE room SET name = 'x'", update) ==
        "/at: updating room.name is not declared by the tool; declare it under \"writes\", or leave it out");
  CHECK(write("INSERT INTO room (name) VALUES ('x')", insert) == "");
  CHECK(write("INSERT INTO room (name) VALUES ('x') ON CONFLICT DO NOTHING", insert) == "");
  CHECK(write("INSERT OR IGNORE INTO room (name) VALUES ('x')", insert) == "");
  CHECK(write("UPDATE room SET price = 1", insert) != "");
  CHECK(write("DELETE FROM room", insert) != "");
  CHECK(write("DELETE FROM room WHERE name = :room", remove) == "");
  CHECK(write("INSERT INTO room (name) VALUES ('x')", remove) != "");
  for (const char* sql : {"REPLACE INTO room (name) VALUES ('x')", "INSERT OR REPLACE INTO room (name) VALUES ('x')"}) {
    CHECK(write(sql, insert) == "/at: replacing rows of room (insert and delete) is not declared by the tool; declare it under \"writes\", or leave it out");
    CHECK(write(sql, both) == "");
  }
  CHECK(write("UPDATE OR REPLACE room SET price = 1", update) != "");
}

TEST_CASE("conflict clauses that undo more or less than the statement are refused") {
  const WriteAccess all{.insert = true, .remove = true, .update = {"name", "price"}};
  for (const char* sql : {"UPDATE OR ROLLBACK room SET price = 1", "INSERT OR ROLLBACK INTO room (name) VALUES ('x')"}) {
    CHECK(refusal(sql, StatementRight::Write, all) ==
          "/at: OR ROLLBACK is not allowed: a statement that fails is undone as a whole; leave it out");
  }
  CHECK(refusal("UPDATE OR FAIL room SET price = 1", StatementRight::Write, all) ==
        "/at: OR FAIL is not allowed: a statement that fails is undone as a whole; leave it out");
}

TEST_CASE("refusals name the real reason") {
  const std::string accepted = " is not allowed; accepted: SELECT, and in write tools INSERT, UPDATE, DELETE";
  for (const char* sql : {"SELECT value FROM json_each('[1]')", "SELECT * FROM pragma_table_info('room')", "SELECT * FROM json_tree('[]')"})
    CHECK(refusal(sql) == "/at: a table-valued function (such as json_each or pragma_table_info)" + accepted);
  CHECK(refusal("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c") == "/at: a recursive query" + accepted);
  CHECK(refusal("SELECT count(*) FROM secret") ==
        "/at: reading secret is not declared by the tool; declare it under \"reads\", or leave it out");
  CHECK(refusal("CREATE TABLE t (a)") == "/at: CREATE, which changes the schema," + accepted);
  CHECK(refusal("PRAGMA table_info(room)") == "/at: PRAGMA table_info" + accepted);
}

TEST_CASE("a read tool cannot write even what it declares") {
  CHECK(refusal("UPDATE room SET price = 3") != "");
  CHECK(refusal("DELETE FROM room") != "");
}

TEST_CASE("statements that reach outside the data are refused for read and write tools") {
  for (const char* sql : {"ATTACH 'x.db' AS x",
                          "DETACH main",
                          "PRAGMA table_info(room)",
                          "SELECT * FROM pragma_table_info('room')",
                          "CREATE TABLE t (a)",
                          "CREATE TEMP TABLE t (a)",
                          "CREATE VIEW v AS SELECT name FROM room",
                          "DROP TABLE room",
                          "ALTER TABLE room ADD COLUMN x",
                          "VACUUM INTO 'x.db'",
                          "BEGIN",
                          "COMMIT",
                          "ROLLBACK",
                          "SAVEPOINT s",
                          "REINDEX",
                          "ANALYZE",
                          "EXPLAIN SELECT name FROM room",
                          "CREATE TRIGGER t AFTER INSERT ON room BEGIN SELECT 1; END",
                          "CREATE VIRTUAL TABLE v USING fts5(a)",
                          "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"}) {
    CAPTURE(std::string(sql));
    CHECK(refusal(sql) != "");
    CHECK(refusal(sql, StatementRight::Write) != "");
  }
}

TEST_CASE("functions that are not deterministic or touch the outside are refused") {
  for (const char* sql :
       {"SELECT random()", "SELECT randomblob(9)", "SELECT changes()", "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')", "SELECT sqlite_version()", "SELECT current_date",
        "SELECT zeroblob(1000000000)", "SELECT last_insert_rowid()", "SELECT current_timestamp"}) {
    CAPTURE(std::string(sql));
    CHECK(refusal(sql) != "");
  }
  CHECK(refusal("SELECT random()").rfind("/at: the function random() is not allowed; accepted: abs, avg", 0) == 0);
}

TEST_CASE("exactly one statement is accepted") {
  CHECK(refusal("SELECT name FROM room; DELETE FROM room") ==
        "/at: found \"SELECT name FROM room; DELETE FROM room\"; accepted: exactly one statement");
  CHECK(refusal("") != "");
  CHECK(refusal("-- nothing") != "");
  CHECK(refusal(std::string("SELECT name FROM room\0; DELETE FROM room", 41)) != "");
}

TEST_CASE("every variable must be an argument of the tool") {
  CHECK(refusal("SELECT name FROM room WHERE name = :rom") == "/at: found the variable \":rom\"; accepted: :room");
  CHECK(refusal("SELECT name FROM room WHERE name = ?") != "");
  CHECK(refusal("SELECT name FROM room WHERE name = ?1") != "");
}

TEST_CASE("a deep expression and a very long statement are refused") {
  std::string deep = "SELECT " + std::string(500, '(') + "1" + std::string(500, ')');
  for (int i = 0; i < 200; ++i) deep += " + 1";
  CHECK(refusal(deep) != "");
  CHECK(refusal("SELECT name FROM room -- " + std::string(200'000, 'x')) != "");
}

}  // namespace gauntlet
