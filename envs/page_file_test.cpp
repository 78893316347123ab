#include "envs/page_file.h"

#include <doctest/doctest.h>

#include "envs/world_sql.h"

namespace gauntlet {
namespace {

/// A database with one table of numbers, and a statement on it that stays compiled.
struct Numbers {
  PageDatabase database = open_page_database();
  SqliteStatement sum;

  Numbers() {
    execute(database.db.get(), "CREATE TABLE number (value INTEGER)");
    sqlite3_stmt* raw = nullptr;
    check_sqlite(sqlite3_prepare_v2(database.db.get(), "SELECT coalesce(sum(value), 0) FROM number", -1, &raw, nullptr), database.db.get(), ErrorKind::Internal, "prepare");
    sum.reset(raw);
  }

  std::int64_t total() {
    CHECK(sqlite3_step(sum.get()) == SQLITE_ROW);
    const std::int64_t value = sqlite3_column_int64(sum.get(), 0);
    sqlite3_reset(sum.get());
    return value;
  }
  std::shared_ptr<const PageImage> image_with(int value, std::uint32_t stamp, const std::shared_ptr<const PageImage>& empty) {
    database.file->show(empty);
    execute(database.db.get(), "INSERT INTO number VALUES (" + std::to_string(value) + ")");
    return database.file->copy(stamp);
  }
  int recompilations() { return sqlite3_stmt_status(sum.get(), SQLITE_STMTSTATUS_REPREPARE, 0); }
};

}  // namespace

TEST_CASE("a compiled statement reads each image that is shown, without being compiled again") {
  Numbers numbers;
  const auto empty = numbers.database.file->copy(2);
  const auto three = numbers.image_with(3, 4, empty);
  const auto five = numbers.image_with(5, 6, empty);
  for (int round = 0; round < 3; ++round) {
    numbers.database.file->show(three);
    CHECK(numbers.total() == 3);
    numbers.database.file->show(five);
    CHECK(numbers.total() == 5);
    numbers.database.file->show(empty);
    CHECK(numbers.total() == 0);
  }
  CHECK(numbers.recompilations() == 0);
}

TEST_CASE("another connection with the same schema can show an image") {
  Numbers first;
  const auto seven = first.image_with(7, 4, first.database.file->copy(2));
  Numbers second;
  second.database.file->show(seven);
  CHECK(second.total() == 7);
  CHECK(second.recompilations() == 0);
}

TEST_CASE("writes leave a shown image as it is") {
  Numbers numbers;
  const auto three = numbers.image_with(3, 4, numbers.database.file->copy(2));
  const PageImage before = *three;
  numbers.database.file->show(three);
  execute(numbers.database.db.get(), "INSERT INTO number VALUES (4)");
  CHECK(numbers.total() == 7);
  CHECK(*three == before);
  numbers.database.file->show(three);
  CHECK(numbers.total() == 3);
}

TEST_CASE("an image is a sound database") {
  Numbers numbers;
  numbers.database.file->show(numbers.image_with(3, 10, numbers.database.file->copy(2)));
  sqlite3_stmt* raw = nullptr;
  REQUIRE(sqlite3_prepare_v2(numbers.database.db.get(), "PRAGMA integrity_check", -1, &raw, nullptr) == SQLITE_OK);
  const SqliteStatement check(raw);
  REQUIRE(sqlite3_step(raw) == SQLITE_ROW);
  CHECK(std::string(reinterpret_cast<const char*>(sqlite3_column_text(raw, 0))) == "ok");
}

}  // namespace gauntlet
