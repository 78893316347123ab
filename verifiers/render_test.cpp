#include "verifiers/render.h"

#include <doctest/doctest.h>

#include <map>

#include "core/error.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"

namespace gauntlet {

namespace {

Problem two_days(const char* constraints, const char* objective = nullptr) {
  Json document = parse_json(R"({"slots": [
    {"id": "day1.city", "path": "/0/city", "group": "day 1", "noun": "city", "entity": "city"},
    {"id": "day1.hotel", "path": "/0/hotel", "group": "day 1", "noun": "hotel", "entity": "hotel", "within": {"city": "day1.city"}},
    {"id": "day1.sight", "path": "/0/sight", "group": "day 1", "noun": "attraction", "entity": "attraction", "within": {"city": "day1.city"}},
    {"id": "day2.city", "path": "/1/city", "group": "day 2", "noun": "city", "entity": "city"},
    {"id": "day2.hotel", "path": "/1/hotel", "group": "day 2", "noun": "hotel", "entity": "hotel", "within": {"city": "day2.city"}},
    {"id": "day2.sight", "path": "/1/sight", "group": "day 2", "noun": "attraction", "entity": "attraction", "within": {"city": "day2.city"}}]})",
                             "slots");
  document["constraints"] = parse_json(constraints, "constraints");
  if (objective != nullptr) document["objective"] = parse_json(objective, "objective");
  return parse_problem(document, "");
}

}  // namespace

TEST_CASE("requirements gather what holds in general, for every day and for one day, the objective last") {
  const EnvSpec spec = load_builtin_domain("trip_planning");
  const Problem problem = two_days(R"([
      {"all_different": [{"slot": "day1.city"}, {"slot": "day2.city"}]},
      {">=": [{"attr": "rating", "of": "day1.hotel"}, {"const": 4}]},
      {">=": [{"attr": "rating", "of": "day2.hotel"}, {"const": 4}]},
      {"if": {"<": [{"attr": "price", "of": "day2.hotel"}, {"const": 500}]},
       "then": {"all": [{"<": [{"attr": "price", "of": "day2.sight"}, {"const": 80}]}, {">=": [{"attr": "rating", "of": "day2.sight"}, {"const": 4.2}]}]},
       "else": {"<": [{"attr": "price", "of": "day2.sight"}, {"const": 40}]}}])",
                                   R"({"minimise": {"sum": [{"attr": "price", "of": "day1.hotel"}, {"attr": "price", "of": "day2.hotel"}]}})");
  CHECK(render_requirements(problem, spec, "en") ==
        "In general:\n"
        "- Day 1 and day 2 must not have the same city.\n"
        "For each of day 1 and day 2:\n"
        "- The city of each of the hotel and the attraction must be the city chosen there.\n"
        "- The rating of the hotel must be at least 4.\n"
        "For day 2:\n"
        "- If the price of the hotel is less than 500 CNY per night, then:\n"
        "  - The ticket price of the attraction must be less than 80 CNY per ticket.\n"
        "  - The rating of the attraction must be at least 4.2.\n"
        "- Otherwise:\n"
        "  - The ticket price of the attraction must be less than 40 CNY per ticket.\n"
        "Among all answers that satisfy everything above, hand in one in which the total over day 1 and day 2 of the price of the hotel is as low as possible.");
}

TEST_CASE("a problem without constraints asks for its objective alone") {
  const EnvSpec spec = load_builtin_domain("trip_planning");
  Problem problem = two_days("[]", R"({"maximise": {"attr": "rating", "of": "day1.hotel"}})");
  for (auto& slot : problem.slots) slot.within.clear();
  CHECK(render_requirements(problem, spec, "en") == "Hand in an answer in which the rating of the hotel on day 1 is as high as possible.");
}

TEST_CASE("the answer's form names every key and shows an example") {
  const EnvSpec spec = load_builtin_domain("trip_planning");
  CHECK(render_answer_form(two_days("[]"), spec, "en") ==
        "Hand the answer in by calling submit_result; its argument answer_text is JSON text of the following form. Write every name exactly as the tools give it.\n"
        "The answer is an array with exactly 2 objects, in this order: day 1 and day 2. Each object has these members:\n"
        "- \"city\": the name of the city\n"
        "- \"hotel\": the name of the hotel\n"
        "- \"sight\": the name of the attraction\n"
        "So it looks like this:\n"
        R"([{"city":"<name of the city>","hotel":"<name of the hotel>","sight":"<name of the attraction>"},)"
        R"({"city":"<name of the city>","hotel":"<name of the hotel>","sight":"<name of the attraction>"}])");
  const Problem mixed = parse_problem(parse_json(R"({"slots": [
      {"id": "a", "path": "/by/mode", "noun": "mode", "texts": ["train", "bus"]},
      {"id": "b", "path": "/day", "noun": "day of departure", "group": "trip", "dates": {"from": "2025-10-01", "to": "2025-10-03"}},
      {"id": "c", "path": "/guests", "noun": "number of guests", "integers": {"from": 1, "to": 4}}], "constraints": []})", "problem"), "");
  CHECK(render_answer_form(mixed, spec, "en") ==
        "Hand the answer in by calling submit_result; its argument answer_text is JSON text of the following form. Write every name exactly as the tools give it.\n"
        "The answer has these values:\n"
        "- /by/mode: the mode, one of \"train\" or \"bus\"\n"
        "- /day: the day of departure, as YYYY-MM-DD, for trip\n"
        "- /guests: the number of guests, a whole number from 1 to 4\n"
        "So it looks like this:\n"
        R"({"by":{"mode":"<mode>"},"day":"<YYYY-MM-DD>","guests":1})");
}

TEST_CASE("requirement lists of different problems over the same slots never read the same unless the same answers satisfy them") {
  std::size_t collisions = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Rng rng(seed);
    RandomProblem made = random_problem(rng);
    std::vector<Node> pool;
    for (const auto& node : made.problem.constraints) {
      pool.push_back(node);
      for (const auto& child : node.children) {
        if (is_predicate(child.kind)) pool.push_back(child);
      }
    }
    if (pool.size() < 2) continue;
    // Many lists from few parts: whether parts stand side by side, below a condition or in a conjunction must show.
    std::map<std::string, std::vector<Node>> said;
    for (int attempt = 0; attempt < 12; ++attempt) {
      Problem problem = made.problem;
      problem.constraints.clear();
      for (std::size_t i = 1 + rng.below(3); i > 0; --i) {
        Node node = rng.pick(pool);
        if (rng.chance(500'000)) {
          Node wrapped;
          wrapped.kind = rng.pick<NodeKind>({NodeKind::AllOf, NodeKind::AnyOf, NodeKind::IfThenElse, NodeKind::Not});
          wrapped.children.push_back(node);
          if (wrapped.kind != NodeKind::Not) wrapped.children.push_back(rng.pick(pool));
          if (wrapped.kind == NodeKind::IfThenElse && rng.chance(500'000)) wrapped.children.push_back(rng.pick(pool));
          node = wrapped;
        }
        problem.constraints.push_back(node);
      }
      const std::string text = render_requirements(problem, made.spec, "en");
      const auto [it, fresh] = said.emplace(text, problem.constraints);
      if (fresh) continue;
      ++collisions;
      Problem other = made.problem;
      other.constraints = it->second;
      INFO(text);
      INFO(dump_json(to_json(problem)));
      INFO(dump_json(to_json(other)));
      const auto choices = slot_choices(problem, *made.world);
      for (int i = 0; i < 40; ++i) {
        std::vector<Json> values;
        for (const auto& choice : choices) values.push_back(rng.pick(choice));
        const Json answer = answer_with(problem, values);
        CHECK(reference_holds(problem, *made.world, answer) == reference_holds(other, *made.world, answer));
      }
    }
  }
  CHECK(collisions > 20);
}

TEST_CASE("requirements and answer forms of random problems can be said, and name an unknown language") {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const std::string text = render_requirements(made.problem, made.spec, "en");
    CHECK(text.find("{") == std::string::npos);
    CHECK((text.empty() || text.back() != '\n'));
    CHECK(render_answer_form(made.problem, made.spec, "en").find("So it looks like this:") != std::string::npos);
    for (const auto& node : made.problem.constraints) CHECK(!render_leaf(node, made.problem, made.spec, "en").empty());
  }
  Rng rng(1);
  const RandomProblem made = random_problem(rng);
  CHECK_THROWS_WITH_AS(render_requirements(made.problem, made.spec, "xx"), "there are no phrases for the language \"xx\"; accepted: en", Error);
}

}  // namespace gauntlet
