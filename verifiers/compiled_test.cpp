#include "verifiers/compiled.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "verifiers/random_problem.h"

namespace gauntlet {

TEST_CASE("each value of a slot is found again by its text or cell") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const auto choices = slot_choices(made.problem, *made.world);
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const int slot = static_cast<int>(i);
      REQUIRE(compiled.slots()[i].size == static_cast<std::int32_t>(choices[i].size()));
      for (SlotValue value = 0; value < compiled.slots()[i].size; ++value) {
        const Json json = compiled.value_to_json(slot, value);
        CHECK(json == choices[i][static_cast<std::size_t>(value)]);
        const auto domain = made.problem.slots[i].domain;
        if (domain == SlotDomain::Entity || domain == SlotDomain::Texts) {
          CHECK(compiled.find_text(slot, json.get<std::string>()) == value);
        } else {
          CHECK(compiled.find_cell(slot, compiled.slot_cell(slot, value)) == value);
        }
      }
    }
    CHECK(compiled.find_text(0, "nobody has this name") == -1);
  }
}

TEST_CASE("a text of the problem that the world does not hold is equal to itself alone") {
  Rng rng(1);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [{"id": "m", "path": "/m", "noun": "mode", "texts": ["ferry", "mule", "train"]}],
      "constraints": [{"==": [{"slot": "m"}, {"const": "mule"}]}, {"!=": [{"slot": "m"}, {"const": "ferry"}]}]})", "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  Evaluator evaluator(compiled);
  const std::vector<std::pair<Truth, Truth>> expected = {{Truth::False, Truth::False}, {Truth::True, Truth::True}, {Truth::False, Truth::True}};
  for (SlotValue value = 0; value < 3; ++value) {
    evaluator.assign(0, value);
    CHECK(evaluator.truth(compiled.roots()[0]) == expected[static_cast<std::size_t>(value)].first);
    CHECK(evaluator.truth(compiled.roots()[1]) == expected[static_cast<std::size_t>(value)].second);
    CHECK(compiled.symbol_text(compiled.slot_cell(0, value)) == problem.slots[0].texts[static_cast<std::size_t>(value)]);
  }
}

TEST_CASE("atoms take conjunctions apart and all-different into pairs") {
  Rng rng(1);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [
      {"id": "a", "path": "/0", "noun": "a", "entity": "place"}, {"id": "b", "path": "/1", "noun": "b", "entity": "place"},
      {"id": "c", "path": "/2", "noun": "c", "entity": "place"}],
      "constraints": [{"all": [{"all_different": [{"slot": "a"}, {"slot": "b"}, {"slot": "c"}]}, {"all": [{"==": [{"slot": "a"}, {"const": "x"}]}]}]}]})",
                                                   "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  CHECK(compiled.roots().size() == 1);
  REQUIRE(compiled.atoms().size() == 4);
  CHECK(compiled.node(compiled.atoms()[0]).slots.to_string().substr(kMaxSlots - 3) == "011");
  CHECK(compiled.node(compiled.atoms()[3]).kind == NodeKind::Compare);
}

TEST_CASE("a problem with too many slots, or a slot over rows without a key, is refused") {
  Rng rng(1);
  const RandomProblem made = random_problem(rng);
  Problem problem;
  for (std::size_t i = 0; i <= kMaxSlots; ++i) {
    problem.slots.push_back({.id = std::to_string(i), .path = "/" + std::to_string(i), .noun = "x", .domain = SlotDomain::Integers});
  }
  CHECK_THROWS_WITH_AS(CompiledProblem(problem, *made.world), "the problem has 129 slots; at most 128 are accepted", Error);
  problem.slots.resize(1);
  problem.slots[0] = {.id = "r", .path = "/r", .noun = "route", .domain = SlotDomain::Entity, .entity = "route"};
  CHECK_THROWS_WITH_AS(CompiledProblem(problem, *made.world), "slot \"r\" ranges over route, whose rows have no key", Error);
  problem.slots[0].entity = "plac";
  CHECK_THROWS_WITH_AS(CompiledProblem(problem, *made.world), doctest::Contains("the table \"plac\", which the world does not have (did you mean \"place\"?)"), Error);
}

}  // namespace gauntlet
