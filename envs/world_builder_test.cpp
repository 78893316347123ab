#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/sha256.h"
#include "envs/env_spec.h"
#include "envs/sqlite_handle.h"

namespace gauntlet {

namespace {

EnvSpec trip() { return load_builtin_domain("trip_planning"); }

std::string fingerprint(const EnvSpec& spec, std::uint64_t seed, const Json& parameters = Json::object()) {
  return world_fingerprint(*build_world(spec, {.seed = seed, .parameters = parameters}));
}

const WorldTable& table(const World& world, const char* name) {
  return world.tables[static_cast<std::size_t>(world.find_table(name))];
}

const std::vector<Cell>& cells(const World& world, const char* name, const char* column) {
  const WorldTable& found = table(world, name);
  return found.columns[static_cast<std::size_t>(found.find_column(column))].cells;
}

/// Of "sum of (x - mean x)(y - mean y)"; enough to see a correlation's direction.
double covariance(const std::vector<Cell>& x, const std::vector<Cell>& y) {
  double mean_x = 0;
  double mean_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += static_cast<double>(x[i]) / static_cast<double>(x.size());
    mean_y += static_cast<double>(y[i]) / static_cast<double>(y.size());
  }
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (static_cast<double>(x[i]) - mean_x) * (static_cast<double>(y[i]) - mean_y);
  return sum;
}

std::string query_text(const std::string& path, const char* sql) {
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK);
  const SqliteDb db(raw);
  sqlite3_stmt* statement = nullptr;
  REQUIRE(sqlite3_prepare_v2(raw, sql, -1, &statement, nullptr) == SQLITE_OK);
  const SqliteStatement guard(statement);
  REQUIRE(sqlite3_step(statement) == SQLITE_ROW);
  return reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
}

}  // namespace

TEST_CASE("a world's bytes are those of its seed on every machine") {
  CHECK(sha256_hex(fingerprint(trip(), 1)) == "7ad5afdd5cf1da887356424eb152e9e451f6c2b4a1e8af3c6a06fa607f213d95");
}

TEST_CASE("equal seeds give equal worlds, also in parallel; other seeds give others") {
  const EnvSpec spec = trip();
  const std::string first = fingerprint(spec, 7);
  std::vector<std::string> results(8);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = fingerprint(spec, 7); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) CHECK(result == first);
  CHECK(fingerprint(spec, 8) != first);
}

TEST_CASE("no name occurs twice in a world, however large") {
  const auto world = build_world(
      trip(),
      {.seed = 3,
       .parameters = {{"cities", 60}, {"hotels_per_city", 40}, {"restaurants_per_city", 40}, {"attractions_per_city", 40}}});
  std::set<Cell> names;
  std::size_t rows = 0;
  for (const char* entity : {"city", "hotel", "restaurant", "attraction"}) {
    for (const Cell name : cells(*world, entity, "name")) names.insert(name);
    rows += table(*world, entity).rows;
  }
  CHECK(rows == 60 + 3 * 60 * 40);
  CHECK(names.size() == rows);
}

TEST_CASE("a named start city is in every world") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const auto world = build_world(trip(), {.seed = seed, .parameters = {{"start_city", "Hangzhou"}, {"cities", 3}}});
    CHECK(world->find_row(world->find_table("city"), "Hangzhou") >= 0);
    CHECK(table(*world, "city").rows == 3);
  }
}

TEST_CASE("dear hotels are better rated") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const auto world = build_world(trip(), {.seed = seed, .parameters = {{"cities", 20}}});
    CHECK(covariance(cells(*world, "hotel", "price"), cells(*world, "hotel", "rating")) > 0);
  }
}

TEST_CASE("trip planning keeps its promises about prices and ratings") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const auto world = build_world(trip(), {.seed = seed});
    std::map<Cell, std::set<int>> brackets;
    for (std::size_t i = 0; i < table(*world, "hotel").rows; ++i) {
      const Cell price = cells(*world, "hotel", "price")[i];
      CHECK(price >= 200'000);
      CHECK(price % 10'000 == 0);
      brackets[cells(*world, "hotel", "city")[i]].insert(price < 500'000 ? 0 : price < 800'000 ? 1 : 2);
    }
    for (const auto& [city, found] : brackets) CHECK(found.size() == 3);
    for (const char* entity : {"hotel", "restaurant", "attraction"}) {
      for (const Cell rating : cells(*world, entity, "rating")) {
        CHECK(rating >= 2'800);
        CHECK(rating <= 5'000);
        CHECK(rating % 100 == 0);
      }
    }
  }
}

TEST_CASE("a connection between two cities appears once for each mode, and not everywhere by train") {
  const auto world = build_world(trip(), {.seed = 5});
  const auto& from = cells(*world, "inter_city_transport", "from_city");
  const auto& to = cells(*world, "inter_city_transport", "to_city");
  const auto& mode = cells(*world, "inter_city_transport", "mode");
  std::set<std::array<Cell, 3>> seen;
  std::size_t trains = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    CHECK(from[i] != to[i]);
    seen.insert({from[i], to[i], mode[i]});
    trains += world->symbols.text(static_cast<std::int32_t>(mode[i])) == "train" ? 1 : 0;
  }
  CHECK(seen.size() == from.size());
  CHECK(trains > 0);
  CHECK(trains < 8 * 7);
}

TEST_CASE("a column added to an entity leaves the others' values as they are") {
  Json document = trip().source;
  document["entities"][1]["columns"].push_back(
      {{"name", "stars"}, {"type", "integer"}, {"generator", {{"kind", "range"}, {"min", 1}, {"max", 5}}}});
  const EnvSpec wider = parse_env_spec(document, "test");
  const auto before = build_world(trip(), {.seed = 4});
  const auto after = build_world(wider, {.seed = 4});
  CHECK(cells(*before, "hotel", "price") == cells(*after, "hotel", "price"));
  CHECK(cells(*before, "weather", "high_c") == cells(*after, "weather", "high_c"));
  CHECK(cells(*after, "hotel", "stars").size() == cells(*after, "hotel", "price").size());
}

TEST_CASE("it snows in the cold only, and sunny days warm up most") {
  int snow = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto world = build_world(trip(), {.seed = seed});
    const auto condition = cells(*world, "weather", "condition");
    const auto low = cells(*world, "weather", "low_c");
    const auto high = cells(*world, "weather", "high_c");
    for (std::size_t i = 0; i < condition.size(); ++i) {
      const std::string& text = world->symbols.text(static_cast<std::int32_t>(condition[i]));
      const Cell rise = high[i] - low[i];
      if (text == "snow") CHECK(high[i] <= 2 * kCellScale);
      if (text == "rain") CHECK(low[i] > 0);
      if (text == "sunny") CHECK(rise >= 5 * kCellScale);
      CHECK(rise > 0);
      snow += text == "snow" ? 1 : 0;
    }
  }
  CHECK(snow > 0);
}

TEST_CASE("counts: a range for each parent, a chance for each pair") {
  Json document = load_builtin_domain("bookings").source;
  document["entities"][2]["count"] = {{"cross", {"room", "guest"}}, {"per_million", 500'000}};
  document["entities"].push_back(
      {{"name", "note"},
       {"count", {{"per", "room"}, {"range", {1, 3}}}},
       {"columns", {{{"name", "room"}, {"type", "reference"}, {"references", "room"}, {"generator", {{"kind", "parent"}}}}}}});
  const auto world = build_world(parse_env_spec(document, "test"), {.seed = 1, .parameters = {{"rooms", 50}, {"guests", 10}}});
  CHECK(table(*world, "booking").rows > 150);
  CHECK(table(*world, "booking").rows < 350);
  std::map<Cell, int> notes;
  for (const Cell room : cells(*world, "note", "room")) ++notes[room];
  CHECK(notes.size() == 50);
  std::set<int> sizes;
  for (const auto& [room, count] : notes) sizes.insert(count);
  CHECK(sizes == std::set<int>{1, 2, 3});
}

TEST_CASE("edits are applied last and change nothing else") {
  const EnvSpec spec = trip();
  const auto plain = build_world(spec, {.seed = 2});
  const std::string hotel = plain->symbols.text(static_cast<std::int32_t>(cells(*plain, "hotel", "name")[5]));
  const auto edited = build_world(spec, {.seed = 2,
                                         .parameters = Json::object(),
                                         .edits = {{{"table", "hotel"}, {"key", hotel}, {"column", "price"}, {"value", 990}}}});
  CHECK(cells(*edited, "hotel", "price")[5] == 990'000);
  CHECK(cells(*edited, "hotel", "rating") == cells(*plain, "hotel", "rating"));
}

TEST_CASE("edits that fit nothing are refused with their place") {
  const EnvSpec spec = trip();
  const auto attempt = [&](const Json& edit) {
    try {
      build_world(spec, {.seed = 2, .parameters = Json::object(), .edits = Json::array({edit})});
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::Input);
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto world = build_world(spec, {.seed = 2});
  const std::string hotel = world->symbols.text(static_cast<std::int32_t>(cells(*world, "hotel", "name")[0]));
  CHECK(attempt({{"table", "motel"}, {"key", hotel}, {"column", "price"}, {"value", 1}})
            .rfind("/edits/0/table: found \"motel\"", 0) == 0);
  CHECK(attempt({{"table", "hotel"}, {"key", "Nowhere"}, {"column", "price"}, {"value", 1}}).rfind("/edits/0/key:", 0) == 0);
  CHECK(attempt({{"table", "hotel"}, {"key", hotel}, {"column", "name"}, {"value", "x"}}).rfind("/edits/0/column:", 0) == 0);
  CHECK(attempt({{"table", "hotel"}, {"key", hotel}, {"column", "price"}, {"value", "x"}}).rfind("/edits/0/value:", 0) == 0);
  CHECK(attempt({{"table", "hotel"}, {"key", hotel}, {"column", "price"}, {"value", 99.5}}).rfind("/edits/0/value:", 0) == 0);
  CHECK(attempt({{"table", "hotel"}, {"key", hotel}, {"column", "city"}, {"value", "Atlantis"}}).rfind("/edits/0/value:", 0) ==
        0);
}

TEST_CASE("parameters outside the spec are refused") {
  const EnvSpec spec = trip();
  CHECK_THROWS_WITH_AS(build_world(spec, {.seed = 1, .parameters = {{"citys", 4}}}),
                       doctest::Contains("no world parameter \"citys\" (did you mean \"cities\"?)"), Error);
  CHECK_THROWS_WITH_AS(build_world(spec, {.seed = 1, .parameters = {{"cities", 1000}}}),
                       "world parameter cities: found 1000; accepted: an integer from 2 to 60", Error);
  CHECK_THROWS_AS(build_world(spec, {.seed = 1, .parameters = {{"cities", "8"}}}), Error);
  CHECK_THROWS_AS(build_world(spec, {.seed = 1, .parameters = {{"start_date", "2025-02-30"}}}), Error);
}

TEST_CASE("a dumped world opens as SQLite with the documented tables and values") {
  const EnvSpec spec = trip();
  const auto world = build_world(spec, {.seed = 1});
  const auto path = std::filesystem::temp_directory_path() / "gauntlet_world_builder_test.db";
  std::filesystem::remove(path);
  dump_world(spec, *world, path.string());
  CHECK(query_text(path.string(), "PRAGMA integrity_check") == "ok");
  for (const char* sql : {"SELECT count(name) FROM city", "SELECT count(name || city || price || rating) FROM hotel",
                          "SELECT count(name || city || price || rating) FROM restaurant",
                          "SELECT count(name || city || price || rating) FROM attraction",
                          "SELECT count(from_city || to_city || mode || price || duration_minutes) FROM inter_city_transport",
                          "SELECT count(city || mode || price) FROM city_transport",
                          "SELECT count(city || date || condition || high_c || low_c) FROM weather"}) {
    CAPTURE(std::string(sql));
    CHECK(std::stoi(query_text(path.string(), sql)) > 0);
  }
  const std::string hotel = world->symbols.text(static_cast<std::int32_t>(cells(*world, "hotel", "name")[0]));
  const std::string price = std::to_string(cells(*world, "hotel", "price")[0] / kCellScale);
  CHECK(query_text(path.string(), ("SELECT price FROM hotel WHERE name = '" + hotel + "'").c_str()) == price);
  CHECK_THROWS_WITH_AS(dump_world(spec, *world, path.string()), doctest::Contains("will not overwrite"), Error);
  std::filesystem::remove(path);
}

TEST_CASE("a dump to a place that cannot be written says so") {
  const EnvSpec spec = trip();
  CHECK_THROWS_AS(dump_world(spec, *build_world(spec, {.seed = 1}), "/nonexistent/world.db"), Error);
}

}  // namespace gauntlet
