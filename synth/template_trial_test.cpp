#include "synth/template_trial.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/error.h"

namespace gauntlet {
namespace {

/// What is found after a change of the templates, which are those of trip_planning without the levels 2 to 5.
std::vector<std::string> problems(const std::function<void(Json&)>& change) {
  static const Json kSource = load_builtin_domain("trip_planning").source;
  Json document = kSource;
  Json& tasks = document["tasks"];
  tasks["levels"] = Json{{"1", tasks["levels"]["1"]}};
  tasks.erase("named");
  change(tasks);
  return template_trial_problems(parse_env_spec(document, "test"));
}

bool only(const std::function<void(Json&)>& change, const std::string& beginning) {
  const auto found = problems(change);
  INFO(dump_json(found));
  return found.size() == 1 && found[0].starts_with(beginning);
}

void add_clause(Json& tasks, const std::string& text) { tasks["levels"]["1"]["clauses"].push_back(parse_json(text, "test")); }

TEST_CASE("the templates of the built-in domains can be drawn in every branch") {
  for (const auto& name : builtin_domains()) CHECK_NOTHROW(check_templates(load_builtin_domain(name), name));
}

TEST_CASE("what a template names and does not exist is found without a draw that happens to need it") {
  const Json level = problems([](Json&) {}).empty() ? load_builtin_domain("trip_planning").source["tasks"]["levels"]["1"] : Json();
  REQUIRE(level.is_object());
  const std::string clause = "/tasks/levels/1/clauses/" + std::to_string(level["clauses"].size());
  CHECK(only([](Json& t) { add_clause(t, R"({"<=": [{"slot": "day9.city"}, {"const": 1}]})"); }, clause + "/<="));
  CHECK(only([](Json& t) { add_clause(t, R"({"$maybe": 1, "do": [{"<=": [{"const": "{nosuch}"}, {"const": 1}]}]})"); }, clause + "/do/0/<=/0/const: there is no variable \"nosuch\""));
  CHECK(only([](Json& t) { add_clause(t, R"({"$pick": [{"<=": [{"const": 1}, {"const": 2}]}, {"$let": {"a": 1}, "in": "{@b}"}]})"); }, clause + "/$pick/1/in: nothing is bound to {@b}"));
  CHECK(only([](Json& t) { t["levels"]["1"]["slots"] = {{{"id", "h"}, {"path", "/h"}, {"noun", "hotel"}, {"entity", "hotle"}}}, t["levels"]["1"]["base"] = t["levels"]["1"]["clauses"] = Json::array(), t["levels"]["1"].erase("structure"); },
             "/tasks/levels/1/slots/0"));
  CHECK(only([](Json& t) { t["levels"]["1"]["world"]["cites"] = 3; }, "/tasks/levels/1/world"));
  CHECK(only([](Json& t) { t["levels"]["1"]["objective"] = {{"minimise", {{"attr", "prise"}, {"of", "day1.hotel"}}}}; }, "/tasks/levels/1/objective"));
  CHECK(only([](Json& t) { t["prompt"]["en"].push_back("Plan {dayz} days."); }, "/tasks/prompt/en/"));
  CHECK(only([](Json& t) { t["levels"]["1"]["accept"]["hops"] = {3}; }, "/tasks/levels/1/accept/hops: found [3]; accepted: [LOW, HIGH]"));
}

TEST_CASE("a document with unknown members is not tried") {
  Json document = load_builtin_domain("trip_planning").source;
  document["tasks"]["levels"]["1"]["objektive"] = 1;
  document["tasks"]["levels"]["1"]["accept"]["hops"] = {3};
  CHECK_THROWS_WITH_AS(check_templates(parse_env_spec(document, "test"), "trip.json"), doctest::Contains("/tasks/levels/1/objektive: unknown member"), Error);
}

}  // namespace
}  // namespace gauntlet
