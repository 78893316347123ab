#include "datasets/sqlite.h"

#include <doctest/doctest.h>

#include "datasets/sample_store.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

TEST_CASE("values come back as they were bound, and absent ones as NULL") {
  const sample::TemporaryFolder folder;
  Database database(folder.file("x.db"), DatabaseAccess::Create, std::chrono::seconds(1));
  database.execute("CREATE TABLE x (a, b, c, d, e)", "make a table");
  database.prepare("INSERT INTO x VALUES (?, ?, ?, ?, ?)", "insert")
      .run(std::int64_t{-7}, 0.5, std::string_view(), std::optional<std::string>(), Blob());
  Statement query = database.prepare("SELECT a, b, c, d, e, typeof(c), typeof(e) FROM x WHERE a = ?", "select");
  query.start(-7);
  REQUIRE(query.next());
  CHECK(query.integer(0) == -7);
  CHECK(query.real(1) == 0.5);
  CHECK(query.text(2) == "");
  CHECK(query.is_null(3));
  CHECK(query.blob(4).empty());
  CHECK(query.text(5) == "text");
  CHECK(query.text(6) == "blob");
  CHECK_FALSE(query.next());
}

TEST_CASE("a transaction that is not committed leaves nothing") {
  const sample::TemporaryFolder folder;
  Database database(folder.file("x.db"), DatabaseAccess::Create, std::chrono::seconds(1));
  database.execute("CREATE TABLE x (a)", "make a table");
  {
    Transaction transaction(database, "insert");
    database.execute("INSERT INTO x VALUES (1)", "insert");
  }
  CHECK(database.query_integer("SELECT count(*) FROM x", "count") == 0);
  Transaction transaction(database, "insert");
  database.execute("INSERT INTO x VALUES (1)", "insert");
  transaction.commit();
  CHECK(database.query_integer("SELECT count(*) FROM x", "count") == 1);
}

TEST_CASE("a full database says so, keeps what it has and goes on when there is room") {
  const sample::TemporaryFolder folder;
  Database database(folder.file("x.db"), DatabaseAccess::Create, std::chrono::seconds(1));
  database.execute("CREATE TABLE x (a); INSERT INTO x VALUES (1); PRAGMA max_page_count = 4", "fill");
  const auto write = [&] {
    Transaction transaction(database, "store a large row");
    database.prepare("INSERT INTO x VALUES (?)", "store a large row").run(std::string(100'000, 'x'));
    transaction.commit();
  };
  const std::string message = error_of(write);
  CHECK(contains(message, "could not store a large row"));
  CHECK(contains(message, "is full; nothing that was stored before is lost"));
  CHECK(database.query_integer("SELECT count(*) FROM x", "count") == 1);
  database.execute("PRAGMA max_page_count = 1000", "make room");
  CHECK(error_of(write) == "");
  CHECK(database.query_text("PRAGMA integrity_check", "check") == "ok");
}

TEST_CASE("an error names what was attempted and what SQLite found") {
  const sample::TemporaryFolder folder;
  const Database database(folder.file("x.db"), DatabaseAccess::Create, std::chrono::seconds(1));
  CHECK(error_of([&] { database.prepare("SELECT * FROM missing", "read the missing"); }) ==
        "could not read the missing: " + folder.file("x.db") + ": no such table: missing");
}

}  // namespace
}  // namespace gauntlet
