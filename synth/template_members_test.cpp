#include "synth/template_members.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/error.h"

namespace gauntlet {
namespace {

/// What is found after a change of trip_planning's templates.
std::vector<std::string> problems(const std::function<void(Json&)>& change) {
  static const Json kSource = load_builtin_domain("trip_planning").source;
  Json document = kSource;
  change(document["tasks"]);
  return template_member_problems(parse_env_spec(document, "test"));
}

/// The only one, and its beginning is enough.
bool only(const std::function<void(Json&)>& change, const std::string& beginning) {
  const auto found = problems(change);
  INFO(dump_json(found));
  return found.size() == 1 && found[0].starts_with(beginning);
}

TEST_CASE("the templates of the built-in domains have the members that are read") {
  for (const auto& name : builtin_domains()) CHECK(template_member_problems(load_builtin_domain(name)).empty());
}

TEST_CASE("unknown members are refused at every depth, with the nearest name") {
  CHECK(only([](Json& t) { t["level"] = 1; }, "/tasks/level: unknown member (did you mean \"levels\"?); accepted: format, prompt, fragments, levels, named"));
  CHECK(only([](Json& t) { t["prompt"]["zh_pinyin"] = {"Ni hao"}; }, "/tasks/prompt/zh_pinyin: unknown member; accepted: en"));
  CHECK(only([](Json& t) { t["levels"]["1"]["objektive"] = 1; }, "/tasks/levels/1/objektive: unknown member (did you mean \"objective\"?)"));
  CHECK(only([](Json& t) { t["levels"]["1"]["accept"]["hop"] = {3, 4}; }, "/tasks/levels/1/accept/hop: unknown member (did you mean \"hops\"?)"));
  CHECK(only([](Json& t) { t["levels"]["1"]["seed"] = 7; }, "/tasks/levels/1/seed: unknown member"));
  CHECK(only([](Json& t) { t["named"]["paper"]["close_branch"] = true; }, "/tasks/named/paper/close_branch: unknown member (did you mean \"close_branches\"?)"));
  CHECK(only([](Json& t) { t["named"]["paper"]["edits"] = {{{"table", "hotel"}, {"key", "x"}, {"column", "price"}, {"value", 1}, {"vale", 2}}}; },
             "/tasks/named/paper/edits/0/vale: unknown member (did you mean \"value\"?)"));
  CHECK(only([](Json& t) { t["fragments"]["more"] = {{{"$maybe", 5}, {"do", {1}}, {"then", {2}}}}; }, "/tasks/fragments/more/0/then: unknown member; accepted: $maybe, do"));
  CHECK(only([](Json& t) { t["levels"]["2"]["clauses"] = {{{"<=", {1, {{"$fit", {{"of", 1}, {"side", "above"}, {"slack", {0, 1}}, {"round", 1}, {"wen", true}}}}}}}}; },
             "/tasks/levels/2/clauses/0/<=/1/$fit/wen: unknown member (did you mean \"when\"?)"));
  CHECK(only([](Json& t) { t["levels"]["2"]["world"]["cities"] = {{"$int", {1, 2}}, {"step", 1}}; }, "/tasks/levels/2/world/cities/step: unknown member"));
}

TEST_CASE("members that are missing or of another kind are told with their place") {
  CHECK(only([](Json& t) { t["levels"]["3"].erase("slots"); }, "/tasks/levels/3: the member \"slots\" is missing"));
  CHECK(only([](Json& t) { t["format"] = "gauntlet.tasks/2"; }, "/tasks/format: found \"gauntlet.tasks/2\"; accepted: \"gauntlet.tasks/1\""));
  CHECK(only([](Json& t) { t["levels"]["6"] = t["levels"]["5"]; }, "/tasks/levels/6: unknown level; accepted: \"1\" to \"5\""));
  CHECK(only([](Json& t) { t["levels"]["3"]["base"] = "days"; }, "/tasks/levels/3/base: found string; accepted: an array"));
  CHECK(only([](Json& t) { t["levels"]["3"]["base"] = {{{"$for", "d"}, {"from", 1}, {"to", 2}}}; }, "/tasks/levels/3/base/0: the member \"do\" is missing"));
  CHECK(only([](Json& t) { t["levels"] = Json::array(); }, "/tasks/levels: found array; accepted: an object"));
}

TEST_CASE("forms and fragments that do not exist are told with the nearest name") {
  CHECK(only([](Json& t) { t["fragments"]["more"] = {{"$pik", {1}}}; }, "/tasks/fragments/more: unknown form \"$pik\" (did you mean \"$pick\"?)"));
  CHECK(only([](Json& t) { t["fragments"]["more"] = {{"a", 1}, {"$pick", {1}}}; }, "/tasks/fragments/more: the form \"$pick\" must be the first member of its object"));
  CHECK(only([](Json& t) { t["fragments"] = {{"spend", 1}}, t["levels"] = Json::object(), t.erase("named"), t["fragments"]["b"] = {{"$use", "spent"}}; },
             "/tasks/fragments/b/$use: there is no fragment \"spent\" (did you mean \"spend\"?); accepted: spend, b"));
}

TEST_CASE("all of them are listed in one error") {
  Json document = load_builtin_domain("trip_planning").source;
  document["tasks"]["levels"]["1"]["objektive"] = 1;
  document["tasks"]["levels"]["2"]["objektive"] = 1;
  const EnvSpec spec = parse_env_spec(document, "test");
  CHECK_THROWS_WITH_AS(require_template_members(spec, "trip.json"), doctest::Contains("trip.json: 2 problems"), Error);
  CHECK_NOTHROW(require_template_members(load_builtin_domain("bookings"), "bookings"));
}

}  // namespace
}  // namespace gauntlet
