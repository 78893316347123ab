#include "synth/planner.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "synth/solver.h"

namespace gauntlet {

namespace {

EnvSpec trip_without(const std::vector<std::string>& tools) {
  Json document = load_builtin_domain("trip_planning").source;
  Json kept = Json::array();
  for (const auto& tool : document["tools"]) {
    if (std::find(tools.begin(), tools.end(), tool["name"].get<std::string>()) == tools.end()) kept.push_back(tool);
  }
  document["tools"] = kept;
  return parse_env_spec(document, "test");
}

/// Two cities with two hotels, two restaurants and one attraction each.
struct Small {
  EnvSpec spec;
  std::shared_ptr<const World> world;
  Planner planner;

  explicit Small(EnvSpec given = load_builtin_domain("trip_planning"))
      : spec(std::move(given)),
        world(build_world(
            spec,
            {.seed = 3,
             .parameters = {{"cities", 2}, {"hotels_per_city", 2}, {"restaurants_per_city", 2}, {"attractions_per_city", 1}},
             .edits = Json::array()})),
        planner(spec) {}

  std::string name(const std::string& table, std::size_t row) const {
    const WorldTable& data = world->tables[static_cast<std::size_t>(world->find_table(table))];
    return world->symbols.text(static_cast<std::int32_t>(data.columns[static_cast<std::size_t>(data.key_column)].cells[row]));
  }

  /// The least calls over the first answer found; "$0" and "$1" stand for the names of the cities.
  std::optional<int> calls(const std::string& slots, std::string constraints, const std::string& objective = "") const {
    for (const std::size_t city : {0, 1}) {
      const std::string mark = "$" + std::to_string(city);
      for (auto at = constraints.find(mark); at != std::string::npos; at = constraints.find(mark))
        constraints.replace(at, 2, name("city", city));
    }
    const Problem problem = parse_problem(
        parse_json(R"({"slots": [)" + slots + R"(], "constraints": [)" + constraints + "]" + objective + "}", "test"), "");
    const CompiledProblem compiled(problem, *world);
    Rng rng(1);
    SearchOptions options;
    if (compiled.objective() >= 0) options.optimum = solve(compiled).optimum;
    const auto answer = find_answer(compiled, rng, options).answer;
    REQUIRE(answer.has_value());
    return planner.count_calls(compiled, *answer, told_names(problem, *world));
  }
};

constexpr const char* kCity = R"({"id": "c", "path": "/c", "noun": "city", "entity": "city"})";
constexpr const char* kHotel = R"({"id": "h", "path": "/h", "noun": "hotel", "entity": "hotel", "within": {"city": "c"}})";
constexpr const char* kMeals = R"({"id": "a", "path": "/a", "noun": "lunch", "entity": "restaurant", "within": {"city": "c"}},
                                  {"id": "b", "path": "/b", "noun": "dinner", "entity": "restaurant", "within": {"city": "c"}})";

std::string both(const char* a, const char* b) { return std::string(a) + ", " + b; }

}  // namespace

TEST_CASE("the least calls of a hand-made task are those that a person would count") {
  const Small small;
  // List the cities; submit.
  CHECK(small.calls(kCity, "") == 2);
  // The city is named by the task: only submit.
  CHECK(small.calls(kCity, R"({"==": [{"slot": "c"}, {"const": "$0"}]})") == 1);
  // Its hotels; submit. And with the city unknown one more.
  CHECK(small.calls(both(kCity, kHotel), R"({"==": [{"slot": "c"}, {"const": "$0"}]})") == 2);
  CHECK(small.calls(both(kCity, kHotel), "") == 3);
  // Two facts of one hotel cost one call.
  const std::string price = R"({">=": [{"attr": "price", "of": "h"}, {"const": 200}]})";
  const std::string rating = R"({">=": [{"attr": "rating", "of": "h"}, {"const": 1}]})";
  CHECK(small.calls(both(kCity, kHotel), price) == 4);
  CHECK(small.calls(both(kCity, kHotel), price + ", " + rating) == 4);
}

TEST_CASE("of alternatives only the cheapest that is enough is looked up") {
  const Small small;
  const std::string different = R"({"all_different": [{"slot": "a"}, {"slot": "b"}]})";
  const std::string lunch = R"({">=": [{"attr": "rating", "of": "a"}, {"const": 1}]})";
  const std::string dinner = R"({">=": [{"attr": "rating", "of": "b"}, {"const": 1}]})";
  CHECK(small.calls(both(kCity, kMeals), different) == 3);
  CHECK(small.calls(both(kCity, kMeals), different + R"(, {"at_least": 1, "of": [)" + lunch + ", " + dinner + "]}") == 4);
  CHECK(small.calls(both(kCity, kMeals), different + R"(, {"all": [)" + lunch + ", " + dinner + "]}") == 5);
  // A conditional rests on its condition and the branch that applies; the other branch costs nothing.
  const std::string condition = R"({"<": [{"attr": "price", "of": "h"}, {"const": 0}]})";
  const std::string slots = std::string(kCity) + ", " + kHotel + ", " + kMeals;
  CHECK(small.calls(slots, different + R"(, {"if": )" + condition + R"(, "then": {"all": [)" + lunch + ", " + dinner +
                               R"(]}, "else": )" + lunch + "}") == 6);
}

TEST_CASE("look-ups in relations cost one call for each pair") {
  const Small small;
  const std::string two = both(kCity, R"({"id": "e", "path": "/e", "noun": "second city", "entity": "city"})");
  const std::string fixed = R"({"==": [{"slot": "c"}, {"const": "$0"}]}, {"==": [{"slot": "e"}, {"const": "$1"}]})";
  const std::string link =
      R"({"not": {"linked": "inter_city_transport", "match": {"from_city": {"slot": "c"}, "to_city": {"slot": "e"}, "mode": {"const": "ferry"}}}})";
  CHECK(small.calls(two, fixed) == 1);
  CHECK(small.calls(two, fixed + ", " + link) == 2);
  const std::string weather =
      R"({">=": [{"link": "weather", "match": {"city": {"slot": "c"}, "date": {"const": "2025-10-01", "type": "date"}}, "attr": "high_c", "agg": "max"}, {"const": -50}]})";
  CHECK(small.calls(two, fixed + ", " + link + ", " + weather) == 3);
}

TEST_CASE("an optimum rests on everything that could be better") {
  const Small small;
  // Cities, hotels of both, prices of all four, submit.
  CHECK(small.calls(both(kCity, kHotel), "", R"(, "objective": {"minimise": {"attr": "price", "of": "h"}})") == 1 + 2 + 4 + 1);
}

TEST_CASE("what no tool shows cannot be counted") {
  const Small blind(trip_without({"get_infos_by_hotel"}));
  CHECK(blind.calls(both(kCity, kHotel), "") == 3);
  CHECK(blind.calls(both(kCity, kHotel), R"({">=": [{"attr": "price", "of": "h"}, {"const": 200}]})") == std::nullopt);
  const Small lost(trip_without({"get_all_hotels_by_city"}));
  CHECK(lost.calls(both(kCity, kHotel), "") == std::nullopt);
}

TEST_CASE("calls are planned from the declared reveals") {
  const Small small;
  const int hotel = small.world->find_table("hotel");
  const auto& columns = small.spec.entities[static_cast<std::size_t>(hotel)].columns;
  const auto column = [&](const std::string& name) {
    return static_cast<int>(small.spec.entities[static_cast<std::size_t>(hotel)].find_column(name) - columns.data());
  };
  const auto told = small.planner.tell(hotel, "Some Inn", {column("price"), column("rating")});
  REQUIRE(told.has_value());
  CHECK(small.spec.tools[static_cast<std::size_t>(told->tool)].spec.name == "get_infos_by_hotel");
  CHECK(told->arguments == parse_json(R"({"info_keywords": ["price", "rating"], "hotel": "Some Inn"})", "test"));
  const auto listed = small.planner.list(hotel, {{column("city"), "Leshan"}});
  REQUIRE(listed.has_value());
  CHECK(listed->text() == R"({"city":"Leshan"})");
  CHECK_FALSE(small.planner.list(hotel, {}).has_value());
  CHECK(small.planner.lister(small.world->find_table("city"))->given.empty());
  CHECK(small.planner.lister(small.world->find_table("weather")) == nullptr);
  const int weather = small.world->find_table("weather");
  CHECK_FALSE(small.planner.look_up(weather, {0}, {"Leshan"}).has_value());  // the date is missing
  CHECK(small.planner.look_up(weather, {1, 0}, {"2025-10-01", "Leshan"})->text() == R"({"city":"Leshan","date":"2025-10-01"})");
}

TEST_CASE("names that a task's text gives away are the constants that name rows, wherever they stand") {
  const Small small;
  const std::string city = small.name("city", 0);
  const std::string hotel = small.name("hotel", 1);
  Json constraints = parse_json(
      R"([{"if": {"==": [{"slot": "c"}, {"const": "X"}]}, "then": {"in": [{"slot": "h"}, ["Y", "No Such Inn"]]}}])", "test");
  constraints[0]["if"]["=="][1]["const"] = city;
  constraints[0]["then"]["in"][1][0] = hotel;
  const Json slots = parse_json(std::string("[") + kCity + ", " + kHotel + "]", "test");
  CHECK(told_names(parse_problem({{"slots", slots}, {"constraints", constraints}}, ""), *small.world) ==
        std::set<std::string>{city, hotel});
}

}  // namespace gauntlet
