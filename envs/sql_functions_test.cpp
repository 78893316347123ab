#include "envs/sql_functions.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "envs/tool_statement.h"

namespace gauntlet {

namespace {

struct Database {
  WorkBudget budget;
  SqliteDb db;
  std::unique_ptr<SqlFunctions> functions;

  Database() {
    sqlite3* raw = nullptr;
    REQUIRE(sqlite3_open(":memory:", &raw) == SQLITE_OK);
    db.reset(raw);
    restrict_connection(raw);
    functions = std::make_unique<SqlFunctions>(raw, budget);
    budget.attach(raw);
  }
  /// The first value, or "error: …".
  std::string value(const std::string& sql) {
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v2(db.get(), sql.c_str(), -1, &raw, nullptr);
    const SqliteStatement statement(raw);
    if (code != SQLITE_OK || sqlite3_step(raw) != SQLITE_ROW) return std::string("error: ") + sqlite3_errmsg(db.get());
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
    return text == nullptr ? "NULL" : text;
  }
};

}  // namespace

TEST_CASE("every allowed function exists and works") {
  Database db;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abs(-3)", "3"}, {"avg(x)", "2.0"}, {"coalesce(NULL, 2)", "2"}, {"count(*)", "3"}, {"date('2025-10-01', '+1 month')", "2025-11-01"},
      {"datetime('2025-10-01 12:00', '-1 day')", "2025-09-30 12:00:00"}, {"dense_rank() OVER (ORDER BY x)", "1"},
      {"first_value(x) OVER (ORDER BY x DESC)", "3"}, {"format('%s-%03d', 'a', 7)", "a-007"}, {"'Hotel' GLOB 'H*[l-m]'", "1"},
      {"group_concat(x)", "1,2,3"}, {"hex('a')", "61"}, {"ifnull(NULL, 4)", "4"}, {"iif(1, 2, 3)", "2"}, {"instr('杭州湖', '湖')", "3"},
      {"json_array_length('[1,2]')", "2"}, {"json_extract('{\"a\":[5,6]}', '$.a[1]')", "6"}, {"json_type('[]')", "array"},
      {"json_valid('{')", "0"}, {"julianday('2025-10-03') - julianday('2025-10-01')", "2.0"}, {"lag(x, 1, 9) OVER (ORDER BY x)", "9"},
      {"last_value(x) OVER (ORDER BY x)", "1"}, {"lead(x) OVER (ORDER BY x)", "2"}, {"length('杭州')", "2"}, {"'aBc' LIKE '_b%'", "1"},
      {"lower('AB')", "ab"}, {"ltrim('  a ')", "a "}, {"max(1, 2)", "2"}, {"min(x)", "1"}, {"nullif(1, 1)", "NULL"},
      {"printf('%.2f', 1.5)", "1.50"}, {"rank() OVER (ORDER BY x)", "1"}, {"replace('aXbX', 'X', '..')", "a..b.."},
      {"round(2.345, 2)", "2.35"}, {"row_number() OVER (ORDER BY x)", "1"}, {"rtrim('ab!!', '!')", "ab"}, {"sign(-2)", "-1"},
      {"strftime('%Y/%m', '2025-10-01')", "2025/10"}, {"substr('abc', 2)", "bc"}, {"substring('abc', 2, 1)", "b"}, {"sum(x)", "6"},
      {"time('2025-10-01 10:30')", "10:30:00"}, {"total(x)", "6.0"}, {"trim('杭a州杭', '杭州')", "a"}, {"typeof(1)", "integer"},
      {"unicode('a')", "97"}, {"unixepoch('1970-01-02')", "86400"}, {"upper('ab')", "AB"}};
  for (const auto& [expression, expected] : cases) {
    CAPTURE(expression);
    CHECK(db.value("SELECT " + expression + " FROM (SELECT 1 AS x UNION ALL SELECT 2 UNION ALL SELECT 3) ORDER BY x") == expected);
  }
  CHECK(cases.size() == allowed_functions().size());
  CHECK(std::is_sorted(allowed_functions().begin(), allowed_functions().end()));
}

TEST_CASE("dates are explicit: nothing depends on the clock or the machine's zone") {
  Database db;
  for (const char* sql : {"SELECT date()", "SELECT date('now')", "SELECT date('NOW', '+1 day')", "SELECT strftime('%Y')",
                          "SELECT strftime('%s', 'now')", "SELECT datetime('2025-10-01', 'localtime')", "SELECT julianday()",
                          "SELECT time('2025-10-01', 'utc')", "SELECT unixepoch('now')"}) {
    CAPTURE(std::string(sql));
    CHECK(db.value(sql).find("needs an explicit date, and no 'now', 'localtime' or 'utc'") != std::string::npos);
  }
}

TEST_CASE("group_concat joins in byte order, whatever the order of the rows") {
  Database db;
  CHECK(db.value("SELECT group_concat(x, '; ') FROM (SELECT 'b' AS x UNION ALL SELECT 'a' UNION ALL SELECT NULL UNION ALL SELECT 'c')") ==
        "a; b; c");
  CHECK(db.value("SELECT group_concat(DISTINCT x) FROM (SELECT 'b' AS x UNION ALL SELECT 'a' UNION ALL SELECT 'b')") == "a,b");
  CHECK(db.value("SELECT group_concat(1) WHERE 0") == "NULL");
}

TEST_CASE("rounding is plain arithmetic on doubles") {
  Database db;
  CHECK(db.value("SELECT round(-2.5)") == "-3.0");
  CHECK(db.value("SELECT round(1e300, 2)") == "1.0e+300");
  CHECK(db.value("SELECT round(NULL)") == "NULL");
  CHECK(db.value("SELECT round(12.3456, 99)") == "12.3456");
}

TEST_CASE("texts and widths beyond the bound are refused, and long patterns") {
  Database db;
  db.budget.start(kWorkTiers.front());
  for (const char* sql : {"SELECT replace(printf('%500s', ''), ' ', 'abc')", "SELECT printf('%900s', '') || printf('%900s', '')",
                          "SELECT hex(printf('%900s', ''))",
                          "SELECT group_concat(printf('%600s', x)) FROM (SELECT 1 AS x UNION ALL SELECT 2)"}) {
    CAPTURE(std::string(sql));
    CHECK(db.value(sql) == "error: string or blob too big");
  }
  CHECK(db.value("SELECT printf('%1000000000s', 'x')") == "NULL");
  CHECK(db.value("SELECT printf('%.100000000f', 1.0)") == "NULL");
  CHECK(db.value("SELECT 'x' LIKE printf('%201s', '%')") == "error: a LIKE or GLOB pattern is longer than 200 bytes");
}

TEST_CASE("sorting without regard to case is counted, and RTRIM does not exist") {
  Database db;
  CHECK(db.value("SELECT 'aB' = 'Ab' COLLATE NOCASE") == "1");
  CHECK(db.value("SELECT x FROM (SELECT 'b' AS x UNION ALL SELECT 'A') ORDER BY x COLLATE NOCASE") == "A");
  CHECK(db.value("SELECT 'a' = 'a ' COLLATE RTRIM") == "error: no such collation sequence: RTRIM");
}

}  // namespace gauntlet
