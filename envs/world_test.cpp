#include "envs/world.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {

TEST_CASE("dates convert to days and back, across leap years and centuries") {
  CHECK(parse_date("1970-01-01") == 0);
  CHECK(parse_date("1969-12-31") == -1);
  CHECK(parse_date("2000-03-01") == 11017);
  CHECK(parse_date("2025-10-01") == 20362);
  for (std::int64_t day = -200'000; day < 200'000; day += 7) CHECK(parse_date(format_date(day)) == day);
}

TEST_CASE("what is no date is refused") {
  for (const char* text :
       {"", "2025-2-01", "2025-02-29", "2025-13-01", "2025-00-10", "2025-01-32", "2025/01/01", "2025-01-0x", "2025-01-01 "}) {
    CAPTURE(std::string(text));
    CHECK_FALSE(parse_date(text).has_value());
  }
}

TEST_CASE("cells are shown with exact decimals") {
  World world;
  const WorldColumn number{.name = "rating", .type = ColumnType::Number, .decimals = 1, .references = {}, .cells = {}};
  CHECK(cell_text(world, number, 4300) == "4.3");
  CHECK(cell_text(world, number, 4000) == "4.0");
  CHECK(cell_text(world, number, -50) == "-0.05");
  CHECK(cell_text(world, number, kUnknownCell) == "null");
  CHECK(dump_json(cell_to_json(world, number, 4300)) == "4.3");
  const WorldColumn integer{.name = "price", .type = ColumnType::Integer, .decimals = 0, .references = {}, .cells = {}};
  CHECK(cell_text(world, integer, 320'000) == "320");
  const WorldColumn date{.name = "date", .type = ColumnType::Date, .decimals = 0, .references = {}, .cells = {}};
  CHECK(cell_text(world, date, 20'362'000) == "\"2025-10-01\"");
  const WorldColumn text{.name = "name", .type = ColumnType::Text, .decimals = 0, .references = {}, .cells = {}};
  CHECK(cell_text(world, text, world.symbols.intern("a \"b\"")) == R"("a \"b\"")");
}

TEST_CASE("symbols are dense, stable and found again") {
  Symbols symbols;
  CHECK(symbols.intern("Hangzhou") == 0);
  CHECK(symbols.intern("Suzhou") == 1);
  CHECK(symbols.intern("Hangzhou") == 0);
  CHECK(symbols.find("Suzhou") == 1);
  CHECK(symbols.find("Wuxi") == -1);
  CHECK(symbols.text(1) == "Suzhou");
}

TEST_CASE("two rows with one key are refused, naming both tables") {
  World world;
  const std::int32_t name = world.symbols.intern("Lotus");
  for (const char* table : {"hotel", "restaurant"}) {
    world.tables.push_back(
        {.name = table,
         .key_column = 0,
         .rows = 1,
         .columns = {{.name = "name", .type = ColumnType::Text, .decimals = 0, .references = {}, .cells = {name}}}});
  }
  CHECK_THROWS_WITH_AS(world.index_keys(),
                       "the world has two rows named \"Lotus\" (in hotel and restaurant); names must be unique", Error);
}

}  // namespace gauntlet
