#include "synth/seen_world.h"

#include <doctest/doctest.h>

namespace gauntlet {

namespace {

struct Seen {
  EnvSpec spec = load_builtin_domain("trip_planning");
  Planner planner{spec};
  SeenWorld world{planner};

  void record(const std::string& tool, const std::string& arguments, const std::string& result) {
    world.record(
        {.tool = static_cast<int>(spec.find_tool(tool) - spec.tools.data()), .arguments = parse_json(arguments, "test")},
        parse_json(result, "test"));
  }
  int table(const std::string& name) const { return world.world().find_table(name); }
  std::size_t rows(const std::string& name) const { return world.world().tables[static_cast<std::size_t>(table(name))].rows; }
  /// A cell as JSON, "?" if it is not known.
  Json cell(const std::string& name, int row, const std::string& column) const {
    const WorldTable& data = world.world().tables[static_cast<std::size_t>(table(name))];
    const WorldColumn& cells = data.columns[static_cast<std::size_t>(data.find_column(column))];
    const Cell found = cells.cells[static_cast<std::size_t>(row)];
    return found == kUnknownCell ? Json("?") : cell_to_json(world.world(), cells, found);
  }
  bool known(const std::string& name, const std::vector<std::pair<std::string, std::string>>& given) const {
    const WorldTable& data = world.world().tables[static_cast<std::size_t>(table(name))];
    std::vector<int> columns;
    std::vector<Cell> values;
    for (const auto& [column, text] : given) {
      columns.push_back(data.find_column(column));
      const auto date = parse_date(text);
      values.push_back(date ? *date * kCellScale : world.world().symbols.find(text));
    }
    return world.rows_known(table(name), columns, values);
  }
};

}  // namespace

TEST_CASE("nothing is known at first, and a list shows names and where they lie, but nothing else") {
  Seen seen;
  CHECK(seen.rows("city") == 0);
  seen.record("get_all_hotels_by_city", R"({"city": "Leshan"})", R"(["Moon Inn", "Sun Inn"])");
  REQUIRE(seen.rows("hotel") == 2);
  CHECK(seen.cell("hotel", 1, "name") == "Sun Inn");
  CHECK(seen.cell("hotel", 1, "city") == "Leshan");
  CHECK(seen.cell("hotel", 1, "price") == "?");
  CHECK(seen.rows("city") == 0);
}

TEST_CASE("information is added to the row that it is about") {
  Seen seen;
  seen.record("get_all_hotels_by_city", R"({"city": "Leshan"})", R"(["Moon Inn", "Sun Inn"])");
  seen.record("get_infos_by_hotel", R"({"info_keywords": ["price", "rating"], "hotel": "Sun Inn"})",
              R"({"price": 340, "rating": 4.3})");
  CHECK(seen.rows("hotel") == 2);
  CHECK(seen.cell("hotel", 1, "price") == 340);
  CHECK(seen.cell("hotel", 1, "rating") == 4.3);
  CHECK(seen.cell("hotel", 0, "price") == "?");
  seen.record("get_city_by_hotel", R"({"hotel": "Star Inn"})", R"("Emei")");
  CHECK(seen.cell("hotel", 2, "city") == "Emei");
}

TEST_CASE("names that the task states are rows of which nothing else is known") {
  Seen seen;
  seen.world.learn_name(seen.table("city"), "Leshan");
  seen.world.learn_name(seen.table("city"), "Leshan");
  CHECK(seen.rows("city") == 1);
  seen.record("get_all_cities", "{}", R"(["Emei", "Leshan"])");
  CHECK(seen.rows("city") == 2);
}

TEST_CASE("a look-up is settled once all its rows were shown, also when there were none") {
  Seen seen;
  CHECK_FALSE(seen.known("inter_city_transport", {{"from_city", "Leshan"}, {"to_city", "Emei"}}));
  seen.record("get_inter_city_transport", R"({"from_city": "Leshan", "to_city": "Emei"})",
              R"([{"mode": "train", "price": 60, "duration_minutes": 45}])");
  CHECK(seen.known("inter_city_transport", {{"to_city", "Emei"}, {"from_city", "Leshan"}}));
  CHECK(seen.known("inter_city_transport", {{"from_city", "Leshan"}, {"to_city", "Emei"}, {"mode", "train"}}));
  CHECK_FALSE(seen.known("inter_city_transport", {{"from_city", "Leshan"}}));
  CHECK_FALSE(seen.known("inter_city_transport", {{"from_city", "Emei"}, {"to_city", "Leshan"}}));
  seen.record("get_inter_city_transport", R"({"from_city": "Emei", "to_city": "Leshan"})", "[]");
  CHECK(seen.known("inter_city_transport", {{"from_city", "Emei"}, {"to_city", "Leshan"}}));
  CHECK(seen.rows("inter_city_transport") == 1);
}

TEST_CASE("one result about a pair of arguments is one row with a date") {
  Seen seen;
  seen.record("get_weather_by_city_date", R"({"city": "Leshan", "date": "2025-10-02"})",
              R"({"condition": "rain", "high_c": -1, "low_c": -4})");
  REQUIRE(seen.rows("weather") == 1);
  CHECK(seen.cell("weather", 0, "date") == "2025-10-02");
  CHECK(seen.cell("weather", 0, "high_c") == -1);
  CHECK(seen.known("weather", {{"city", "Leshan"}, {"date", "2025-10-02"}}));
  CHECK_FALSE(seen.known("weather", {{"city", "Leshan"}, {"date", "2025-10-03"}}));
}

TEST_CASE("the same rows shown again are not counted twice") {
  Seen seen;
  const std::string rows = R"([{"mode": "bus", "price": 2}, {"mode": "bus", "price": 2}])";
  seen.record("get_city_transport", R"({"city": "Leshan"})", rows);
  seen.record("get_city_transport", R"({"city": "Leshan"})", rows);
  CHECK(seen.rows("city_transport") == 2);  // two equal rows in one result are two rows
}

TEST_CASE("relations shown by two tools, the narrower first, keep each row once") {
  Json document = load_builtin_domain("trip_planning").source;
  for (auto tool : Json(document["tools"])) {
    if (tool["name"] != "get_inter_city_transport") continue;
    tool["name"] = "get_departures";
    tool["parameters"]["properties"].erase("to_city");
    tool["parameters"]["required"] = {"from_city"};
    tool["checks"].erase(1);
    tool["statements"][0] =
        "SELECT to_city, mode, price, duration_minutes FROM inter_city_transport WHERE from_city = :from_city ORDER BY rowid";
    tool["result"]["columns"] = {"to_city", "mode", "price", "duration_minutes"};
    tool["reveals"]["given"].erase("to_city");
    document["tools"].push_back(tool);
  }
  Seen seen;
  seen.spec = parse_env_spec(document, "test");
  seen.planner = Planner(seen.spec);
  SeenWorld world(seen.planner);
  const auto tool = [&](const std::string& name) {
    return static_cast<int>(seen.spec.find_tool(name) - seen.spec.tools.data());
  };
  world.record({.tool = tool("get_inter_city_transport"), .arguments = {{"from_city", "A"}, {"to_city", "B"}}},
               parse_json(R"([{"mode": "train", "price": 60, "duration_minutes": 45}])", "test"));
  world.record(
      {.tool = tool("get_departures"), .arguments = {{"from_city", "A"}}},
      parse_json(
          R"([{"to_city": "B", "mode": "train", "price": 60, "duration_minutes": 45}, {"to_city": "C", "mode": "coach", "price": 50, "duration_minutes": 90}])",
          "test"));
  CHECK(world.world().tables[static_cast<std::size_t>(world.world().find_table("inter_city_transport"))].rows == 2);
}

TEST_CASE("results of tools that declare nothing teach nothing") {
  Seen seen;
  seen.record("submit_result", R"({"answer_text": "x"})", R"({"submitted": true})");
  for (const auto& table : seen.world.world().tables) CHECK(table.rows == 0);
}

}  // namespace gauntlet
