#include "verifiers/verify.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/error.h"
#include "verifiers/mutants.h"
#include "verifiers/random_problem.h"
#include "verifiers/reference.h"

namespace gauntlet {

namespace {

std::vector<SlotValue> random_values(const CompiledProblem& compiled, Rng& rng) {
  std::vector<SlotValue> values;
  for (const auto& slot : compiled.slots()) values.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
  return values;
}

/// A few bytes changed, put in or taken out.
std::string damaged(std::string text, Rng& rng) {
  for (std::size_t i = rng.below(3); i > 0; --i) {
    const std::size_t at = rng.below(text.size() + 1);
    switch (rng.below(4)) {
      case 0: text.insert(at, 1, rng.pick<char>({'"', '{', '}', '[', ']', ',', ':', ' ', '1', 'x', '\xff', '\0'})); break;
      case 1: text.erase(at, 1 + rng.below(4)); break;
      case 2: text.insert(at, text.substr(at, rng.below(12))); break;
      default:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << rng.below(8)));
    }
  }
  return text;
}

const ScoreComponent* component(const Score& score, std::string_view part) {
  const auto it = std::find_if(score.components.begin(), score.components.end(),
                               [&](const auto& one) { return one.constraint.find(part) != std::string::npos; });
  return it == score.components.end() ? nullptr : &*it;
}

}  // namespace

TEST_CASE("verdicts with and without explanation agree on any text, and with the reference on readable ones") {
  std::size_t passed = 0;
  std::size_t unreadable = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const std::optional<Cell> optimum = compiled.objective() < 0 ? std::nullopt : std::optional<Cell>(rng.range(0, 8) * kCellScale);
    Verifier verifier(compiled, made.spec, optimum);
    AnswerReader reader(compiled);
    for (int attempt = 0; attempt < 4; ++attempt) {
      const std::string text = damaged(answer_to_text(compiled, random_values(compiled, rng)), rng);
      const Score score = verifier.verify(text);
      INFO(seed);
      INFO(text);
      CHECK(score.scored);
      CHECK((score.value == 0.0 || score.value == 1.0));
      CHECK((score.value == 1.0) == verifier.passes(text));
      const bool all = std::all_of(score.components.begin(), score.components.end(), [](const auto& one) { return one.holds; });
      CHECK(all == (score.value == 1.0));
      std::vector<SlotValue> values;
      if (!reader.read(text, values, nullptr)) {
        CHECK(score.value == 0.0);
        ++unreadable;
        continue;
      }
      CHECK(verifier.passes_values(values) == (score.value == 1.0));
      const Json answer = parse_json(answer_to_text(compiled, values), "answer");
      bool right = reference_holds(made.problem, *made.world, answer);
      if (optimum && right) right = reference_objective(made.problem, *made.world, answer) == optimum;
      CHECK(right == (score.value == 1.0));
      passed += right ? 1 : 0;
    }
  }
  CHECK(passed > 500);
  CHECK(unreadable > 1000);
}

TEST_CASE("a verdict lists every leaf with what was found") {
  Rng rng(6);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [
      {"id": "n", "path": "/n", "noun": "number", "integers": {"from": 1, "to": 9}},
      {"id": "d", "path": "/d", "noun": "day", "dates": {"from": "2025-10-01", "to": "2025-10-09"}},
      {"id": "m", "path": "/m", "noun": "mode", "texts": ["train", "bus"]}],
    "constraints": [
      {"all": [{">=": [{"slot": "n"}, {"const": 2.5}]}, {"<": [{"sum": [{"slot": "n"}, {"const": 0.5}]}, {"const": 4}]}]},
      {"<": [{"slot": "d"}, {"const": "2025-10-05", "type": "date"}]},
      {"in": [{"slot": "m"}, ["train"]]},
      {"if": {"==": [{"slot": "m"}, {"const": "bus"}]}, "then": {"==": [{"slot": "n"}, {"const": 1}]}},
      {"any": [{"==": [{"slot": "n"}, {"const": 3}]}, {"==": [{"slot": "n"}, {"const": 4}]}]},
      {"==": [{"link": "place", "match": {"name": {"const": "Atlantis"}}, "attr": "size"}, {"slot": "n"}]},
      {"not": {"linked": "place", "match": {"name": {"const": "Atlantis"}}}},
      {"linked": "place", "match": {"name": {"const": "Atlantis"}}},
      {"all_different": [{"slot": "n"}, {"const": 3}]}],
    "objective": {"maximise": {"slot": "n"}}})", "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  Verifier verifier(compiled, made.spec, 9 * kCellScale);
  const Score score = verifier.verify(R"({"n": 3, "d": "2025-10-07", "m": "train"})");
  CHECK(score.value == 0.0);
  CHECK(score.summary == "5 of 11 constraints fail");
  REQUIRE(score.components.size() == 11);
  const std::vector<std::pair<bool, std::string>> expected = {
      {true, "found 3"},
      {true, "found 3 + 0.5 = 3.5"},
      {false, "found 2025-10-07"},
      {true, "found \"train\""},
      {true, "the condition does not apply"},
      {true, "1 of 2 hold"},
      {false, "found nothing (no such row) against 3"},
      {true, "holds"},
      {false, "no such row for name \"Atlantis\""},
      {false, "found 3, 3"},
      {false, "found 3, the best is 9"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO(score.components[i].constraint);
    CHECK(score.components[i].holds == expected[i].first);
    CHECK(score.components[i].explanation == expected[i].second);
  }
  CHECK(component(score, "the highest possible value is reached") == &score.components[10]);
}

TEST_CASE("no answer, an unreadable one and an incomplete one are scored 0 and told apart") {
  Rng rng(6);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [{"id": "n", "path": "/a: b", "noun": "number", "integers": {"from": 1, "to": 3}}],
      "constraints": [{"==": [{"slot": "n"}, {"const": 1}]}]})", "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  Verifier verifier(compiled, made.spec, std::nullopt);
  CHECK(verifier.verify(std::nullopt).summary == "no answer was submitted");
  CHECK(verifier.verify(std::nullopt).scored);
  CHECK(verifier.verify("no").summary.find("the answer does not have the form asked for: /: the answer is not JSON: ") == 0);
  const Score missing = verifier.verify("{}");
  CHECK(missing.summary == "the answer does not have the form asked for: /a: b: is missing");
  REQUIRE(missing.components.size() == 1);
  CHECK(missing.components[0].constraint == "answer form at /a: b");
  CHECK(missing.components[0].explanation == "is missing");
  CHECK(verifier.verify(R"({"a: b": 1})").summary == "all 1 constraints hold");
}

TEST_CASE("a problem with an objective cannot be judged without its optimum") {
  Rng rng(6);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [{"id": "n", "path": "/n", "noun": "number", "integers": {"from": 1, "to": 3}}],
      "constraints": [], "objective": {"minimise": {"slot": "n"}}})", "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  CHECK_THROWS_WITH_AS(Verifier(compiled, made.spec, std::nullopt), "the problem has an objective, but its certificate holds no optimum to compare with", Error);
  Verifier verifier(compiled, made.spec, kCellScale);
  CHECK(verifier.passes(R"({"n": 1})"));
  CHECK_FALSE(verifier.passes(R"({"n": 2})"));
}

}  // namespace gauntlet
