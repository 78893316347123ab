#include "envs/env_spec.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {

namespace {

/// The problem that parsing the bookings environment gives after `change`, or "accepted".
template <class Change>
std::string problem_after(Change&& change) {
  Json document = load_builtin_domain("bookings").source;
  change(document);
  try {
    parse_env_spec(document, "spec");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Input);
    return error.what();
  }
  return "accepted";
}

bool starts(const std::string& text, const std::string& with) {
  INFO(text);
  return text.rfind(with, 0) == 0;
}

}  // namespace

TEST_CASE("the built-in domains load, and their hashes differ") {
  CHECK(builtin_domains() == std::vector<std::string>{"bookings", "trip_planning"});
  CHECK(load_builtin_domain("bookings").sha256 != load_builtin_domain("trip_planning").sha256);
}

TEST_CASE("trip planning has the paper's fifteen tools and arguments") {
  const EnvSpec spec = load_builtin_domain("trip_planning");
  const std::vector<std::pair<std::string, std::vector<std::string>>> expected = {
      {"get_all_cities", {}},
      {"get_all_attractions_by_city", {"city"}},
      {"get_all_hotels_by_city", {"city"}},
      {"get_all_restaurants_by_city", {"city"}},
      {"get_city_by_attraction", {"attraction"}},
      {"get_city_by_hotel", {"hotel"}},
      {"get_city_by_restaurant", {"restaurant"}},
      {"get_city_transport", {"city"}},
      {"get_inter_city_transport", {"from_city", "to_city"}},
      {"get_weather_by_city_date", {"city", "date"}},
      {"get_infos_by_attraction", {"info_keywords", "attraction"}},
      {"get_infos_by_city", {"info_keywords", "city"}},
      {"get_infos_by_hotel", {"info_keywords", "hotel"}},
      {"get_infos_by_restaurant", {"info_keywords", "restaurant"}},
      {"submit_result", {"answer_text"}}};
  REQUIRE(spec.tools.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(spec.tools[i].spec.name == expected[i].first);
    std::vector<std::string> names;
    for (const auto& parameter : spec.tools[i].parameters) names.push_back(parameter.name);
    CHECK(names == expected[i].second);
    CHECK(spec.tools[i].reveals.has_value() == (i < 14));
  }
  CHECK_FALSE(spec.tasks.is_null());
  CHECK(spec.tool_specs().size() == 15);
}

TEST_CASE("an unknown domain is a usage error that suggests the nearest") {
  try {
    load_env_spec("trip_planing");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    CHECK(starts(error.what(),
                 "unknown domain \"trip_planing\" (did you mean \"trip_planning\"?); accepted: bookings, trip_planning"));
  }
}

TEST_CASE("a spec file is recognised by its path") {
  CHECK_THROWS_WITH_AS(load_env_spec("./no_such_spec.json"), doctest::Contains("could not open ./no_such_spec.json"), Error);
}

TEST_CASE("shape problems are all reported, each with its path") {
  const std::string problem = problem_after([](Json& document) {
    document["tools"][0]["efect"] = "read";
    document["entities"][1]["columns"][0]["type"] = "string";
    document.erase("family");
  });
  CHECK(starts(problem, "spec: 3 problems\n  /: the member \"family\" is missing\n"));
  CHECK(problem.find("/entities/1/columns/0/type: found \"string\"; accepted: \"text\", ") != std::string::npos);
  CHECK(problem.find("/tools/0/efect: unknown member (did you mean \"effect\"?)") != std::string::npos);
}

TEST_CASE("a document that is no object is refused") {
  CHECK_THROWS_WITH_AS(parse_env_spec(Json::array(), "spec"), "spec: /: found []; accepted: an object", Error);
}

TEST_CASE("a tool that reads a missing column is named with its statement") {
  const std::string problem = problem_after(
      [](Json& document) { document["tools"][1]["statements"][0] = "SELECT credit FROM guest WHERE name = :guest"; });
  CHECK(problem ==
        "spec: /tools/1/statements/0: no such column: credit; accepted: one SQL statement over the entities' tables");
}

TEST_CASE("what is no SELECT is told by its own reason, not as one without an order") {
  const auto list = [](const std::string& sql) { return problem_after([&](Json& document) { document["tools"][0]["statements"][0] = sql; }); };
  CHECK(starts(list("SELEC name FROM room"), "spec: /tools/0/statements/0: near \"SELEC\": syntax error"));
  CHECK(starts(list("DELETE FROM room"), "spec: /tools/0/statements/0: the statement writes; accepted: a SELECT"));
  CHECK(starts(list("PRAGMA user_version"), "spec: /tools/0/statements/0: PRAGMA user_version is not allowed"));
}

TEST_CASE("a tool that reads an undeclared column is told to declare it") {
  const std::string problem = problem_after([](Json& document) { document["tools"][0]["reads"]["room"] = {"name", "beds"}; });
  CHECK(problem ==
        "spec: /tools/0/statements/0: reading room.price is not declared by the tool; declare it under \"reads\", or leave it "
        "out");
}

TEST_CASE("statement problems of several tools are listed together") {
  const std::string problem = problem_after([](Json& document) {
    document["tools"][0]["statements"][0] = "SELECT 1, 2 FROM room ORDER BY 1";
    document["tools"][3]["statements"][1] = "DELETE FROM room";
    document["tools"][3]["checks"][0]["unless"] = "SELECT 1 FROM nowhere";
  });
  CHECK(starts(problem, "spec: 2 problems\n  /tools/0/result/columns: found 3 names; accepted: 2"));
  CHECK(problem.find("/tools/3/checks/0/unless: no such table: nowhere") != std::string::npos);
}

TEST_CASE("tools: what contradicts itself is refused") {
  CHECK(starts(problem_after([](Json& d) { d["tools"][0]["statements"][0] = "SELECT name, beds, price FROM room"; }),
               "spec: /tools/0/statements/0: found no ORDER BY"));
  CHECK(starts(problem_after([](Json& d) { d["tools"][0]["name"] = "get_balance"; }),
               "spec: /tools/1/name: the tool \"get_balance\" appears twice"));
  CHECK(starts(problem_after([](Json& d) {
                 d["tools"][0]["writes"] = {{"room", {{"update", {"beds"}}}}};
               }),
               "spec: /tools/0/writes: a tool with effect \"read\" writes nothing"));
  const auto writes = [](const Json& value) { return problem_after([&](Json& d) { d["tools"][3]["writes"]["guest"] = value; }); };
  CHECK(starts(writes({{"update", {"balanse"}}}), "spec: /tools/3/writes/guest/update: found \"balanse\"; accepted: name, balance"));
  CHECK(starts(writes(Json::array({"balance"})), "spec: /tools/3/writes/guest"));
  CHECK(starts(writes(Json::object()), "spec: /tools/3/writes/guest"));
  CHECK(starts(writes({{"insert", false}}), "spec: /tools/3/writes/guest/insert"));
  CHECK(starts(writes({{"upsert", true}}), "spec: /tools/3/writes/guest"));
  CHECK(starts(problem_after([](Json& d) { d["tools"][0]["reads"]["rom"] = {"name"}; }),
               "spec: /tools/0/reads/rom: no such entity; accepted: room, guest, booking"));
  CHECK(starts(problem_after([](Json& d) { d["tools"][1]["parameters"]["required"] = {"gast"}; }),
               "spec: /tools/1/parameters/required: \"gast\""));
  CHECK(starts(problem_after([](Json& d) { d["tools"][1]["statements"][0] = "SELECT balance FROM guest WHERE name = :gest"; }),
               "spec: /tools/1/statements/0: found the variable \":gest\"; accepted: :guest"));
  CHECK(starts(problem_after([](Json& d) { d["tools"][0]["result"]["keywords"] = "which"; }),
               "spec: /tools/0/result/keywords: found \"which\""));
  CHECK(starts(problem_after([](Json& d) { d["tools"][0]["reveals"]["entity"] = "guest"; }),
               "spec: /tools/0/reveals: the result's \"beds\" is no column of guest"));
  CHECK(starts(problem_after([](Json& d) { d["submit"]["tool"] = "list_rooms"; }), "spec: /submit/tool: found \"list_rooms\""));
  CHECK(starts(problem_after([](Json& d) {
                 d["tools"][1]["parameters"]["properties"]["all"] = {{"type", "array"}, {"items", {{"type", "string"}}}};
               }),
               "spec: /tools/1/result/keywords: the array argument \"all\" is not used"));
}

TEST_CASE("entities: generators and counts that do not fit are refused") {
  const auto room = [](int column, const Json& generator) {
    return problem_after([&](Json& d) { d["entities"][0]["columns"][column]["generator"] = generator; });
  };
  CHECK(
      starts(room(0, {{"kind", "template"}, {"pattern", "x"}}), "spec: /entities/0/columns/0/generator/kind: accepted: name"));
  CHECK(starts(room(0, {{"kind", "name"}, {"pattern", "{givn}"}}),
               "spec: /entities/0/columns/0/generator/pattern: locale en has no word list \"givn\""));
  CHECK(starts(room(1, {{"kind", "boolean"}, {"per_million", 5}}),
               "spec: /entities/0/columns/1/generator/kind: does not fit the column's type integer; accepted: a column of type "
               "boolean"));
  CHECK(starts(room(1, {{"kind", "range"}, {"min", 5}, {"max", 1}}),
               "spec: /entities/0/columns/1/generator: found min 5, max 1"));
  CHECK(starts(room(1, {{"kind", "range"}, {"min", 1}, {"max", 5}, {"step", 0.5}}),
               "spec: /entities/0/columns/1/generator/step: found 0.5; accepted: at most 0 decimals"));
  CHECK(starts(
      room(2, {{"kind", "correlated"}, {"with", "bds"}, {"correlation", 1}, {"min", 1}, {"max", 2}}),
      "spec: /entities/0/columns/2/generator/with: found \"bds\"; accepted: an earlier column of the entity (name, beds)"));
  CHECK(starts(room(2, {{"kind", "choice"}, {"values", {1, 2}}, {"weights", {1}}}),
               "spec: /entities/0/columns/2/generator/weights"));
  CHECK(starts(room(2, {{"kind", "parent"}}),
               "spec: /entities/0/columns/2/generator: asks for parent 0; accepted: one of the 0"));
  const auto count = [](const Json& value) { return problem_after([&](Json& d) { d["entities"][2]["count"] = value; }); };
  CHECK(
      starts(count({{"parameter", "rums"}}),
             "spec: /entities/2/count/parameter: found \"rums\"; accepted: a world parameter of type integer (rooms, guests)"));
  CHECK(starts(count({{"per", "booking"}, {"fixed", 1}}),
               "spec: /entities/2/count/per: found \"booking\"; accepted: an earlier entity with a key"));
  CHECK(starts(count(Json::object()), "spec: /entities/2/count: accepted: one of"));
  CHECK(starts(count({{"fixed", 1}, {"distinct", true}}), "spec: /entities/2/count: \"distinct\""));
  CHECK(starts(problem_after([](Json& d) { d["parameters"][0]["default"] = 99; }),
               "spec: /parameters/0/default: found 99; accepted: 1 to 50"));
  CHECK(starts(problem_after([](Json& d) { d["locale"] = "xx"; }), "spec: /locale: found \"xx\"; accepted: zh_pinyin, en"));
}

TEST_CASE("a case for each value of a choice is required") {
  Json document = load_builtin_domain("trip_planning").source;
  document["entities"][1]["columns"][3]["generator"]["cases"].erase("luxury");
  CHECK_THROWS_WITH_AS(parse_env_spec(document, "spec"),
                       doctest::Contains("/entities/1/columns/3/generator/cases: found none for \"luxury\""), Error);
}

}  // namespace gauntlet
