#include "verifiers/mutants.h"

#include <doctest/doctest.h>

#include <set>

#include "verifiers/random_problem.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

/// Tries assignments until one satisfies every constraint; empty if none of the first few does.
std::vector<SlotValue> some_answer(const CompiledProblem& compiled, Rng& rng) {
  Evaluator evaluator(compiled);
  for (int attempt = 0; attempt < 60; ++attempt) {
    std::vector<SlotValue> values;
    for (const auto& slot : compiled.slots()) values.push_back(static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(slot.size))));
    evaluator.assign_all(values);
    bool holds = true;
    for (const int root : compiled.roots()) holds = holds && evaluator.truth(root) == Truth::True;
    if (holds) return values;
  }
  return {};
}

}  // namespace

TEST_CASE("the kill matrix counts what the reference says of every single change") {
  std::size_t answers = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const CompiledProblem compiled(made.problem, *made.world);
    const auto answer = some_answer(compiled, rng);
    if (answer.empty()) continue;
    ++answers;
    std::vector<Node> roots = within_constraints(made.problem);
    roots.insert(roots.end(), made.problem.constraints.begin(), made.problem.constraints.end());
    const Json own = parse_json(answer_to_text(compiled, answer), "answer");
    ReferenceMutants quick(made.problem, *made.world, own);
    KillMatrix expected;
    expected.kills.assign(roots.size(), 0);
    expected.sole_kills.assign(roots.size(), 0);
    for (std::size_t slot = 0; slot < answer.size(); ++slot) {
      for (SlotValue value = 0; value < compiled.slots()[slot].size; ++value) {
        if (value == answer[slot]) continue;
        auto mutant = answer;
        mutant[slot] = value;
        const Json json = parse_json(answer_to_text(compiled, mutant), "mutant");
        const auto verdict = quick.judge(slot, compiled.value_to_json(static_cast<int>(slot), value));
        CHECK(verdict.holds == reference_holds(made.problem, *made.world, json));
        if (verdict.holds && made.problem.sense != ObjectiveSense::None) CHECK(verdict.objective == reference_objective(made.problem, *made.world, json));
        std::vector<std::size_t> broken;
        for (std::size_t r = 0; r < roots.size(); ++r) {
          if (!reference_predicate(made.problem, *made.world, json, roots[r])) broken.push_back(r);
        }
        ++expected.mutants;
        expected.harmless += broken.empty() ? 1 : 0;
        for (const auto r : broken) ++expected.kills[r];
        if (broken.size() == 1) ++expected.sole_kills[broken[0]];
      }
    }
    INFO(seed);
    const KillMatrix matrix = sweep_mutants(compiled, answer);
    CHECK(matrix.mutants == expected.mutants);
    CHECK(matrix.harmless == expected.harmless);
    CHECK(matrix.survivors.size() == expected.harmless);
    CHECK(matrix.kills == expected.kills);
    CHECK(matrix.sole_kills == expected.sole_kills);
    CHECK(std::set<std::vector<SlotValue>>(matrix.samples.begin(), matrix.samples.end()).size() == matrix.samples.size());
    for (const auto& sample : matrix.samples) {
      std::size_t changes = 0;
      for (std::size_t i = 0; i < answer.size(); ++i) changes += sample[i] != answer[i] ? 1 : 0;
      CHECK(changes == 1);
      CHECK_FALSE(reference_holds(made.problem, *made.world, parse_json(answer_to_text(compiled, sample), "sample")));
    }
  }
  CHECK(answers > 400);
}

TEST_CASE("no broken text passes and every equivalent one does") {
  std::size_t answers = 0;
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    Rng rng(seed);
    RandomProblem made = random_problem(rng);
    made.problem.sense = ObjectiveSense::None;
    const CompiledProblem compiled(made.problem, *made.world);
    const auto answer = some_answer(compiled, rng);
    if (answer.empty()) continue;
    ++answers;
    Verifier verifier(compiled, made.spec, std::nullopt);
    for (const auto& text : equivalent_texts(compiled, answer)) {
      INFO(text);
      CHECK(verifier.passes(text));
    }
    for (const auto& text : broken_texts(compiled, answer)) {
      INFO(text);
      CHECK_FALSE(verifier.passes(text));
    }
  }
  CHECK(answers > 400);
}

TEST_CASE("a broken name is no name of another value, even where one name continues another") {
  Rng rng(1);
  const RandomProblem made = random_problem(rng);
  const Problem problem = parse_problem(parse_json(R"({"slots": [{"id": "m", "path": "/m", "noun": "mode", "texts": ["a", "ax", "axx", ""]}], "constraints": []})", "problem"), "");
  const CompiledProblem compiled(problem, *made.world);
  Verifier verifier(compiled, made.spec, std::nullopt);
  for (SlotValue value = 0; value < 4; ++value) {
    for (const auto& text : broken_texts(compiled, {value})) {
      INFO(text);
      CHECK_FALSE(verifier.passes(text));
    }
  }
}

}  // namespace gauntlet
