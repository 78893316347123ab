#include "synth/plan_review.h"

#include <doctest/doctest.h>

#include <set>

#include "synth/blueprint.h"
#include "synth/seen_world.h"
#include "synth/solver.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

/// Everything is known.
struct AllKnown : Completeness {
  bool rows_known(int, std::span<const int>, std::span<const Cell>) const override { return true; }
};

const EnvSpec& trip() {
  static const EnvSpec spec = load_builtin_domain("trip_planning");
  return spec;
}

Candidate draw(int level) {
  for (std::uint64_t seed = 3;; ++seed) {
    if (auto candidate = draw_candidate(trip(), {.level = level, .ranges = {}}, "", seed)) return std::move(*candidate);
  }
}

std::string review(const Candidate& candidate, std::uint64_t seed) {
  const CompiledProblem compiled(candidate.problem, *candidate.world);
  Rng rng(7);
  const auto answer = find_answer(compiled, rng).answer;
  REQUIRE(answer.has_value());
  Rng words(seed);
  return review_plan(candidate.problem, trip(), *candidate.world, AllKnown(), answer_to_text(compiled, *answer), std::nullopt, words);
}

}  // namespace

TEST_CASE("the words vary with the seed, and equal seeds give equal words") {
  const Candidate candidate = draw(3);
  std::set<std::string> openings, closings, texts;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const std::string text = review(candidate, seed);
    CHECK(text == review(candidate, seed));
    texts.insert(text);
    openings.insert(text.substr(0, 12));
    closings.insert(text.substr(text.size() - 12));
  }
  CHECK(texts.size() == 60);
  CHECK(openings.size() >= 6);
  CHECK(closings.size() >= 5);
}

TEST_CASE("what an answer's form makes true anyway is left out, what had to be found out is not") {
  for (const int level : {1, 2, 3, 4}) {
    const Candidate candidate = draw(level);
    const std::string text = review(candidate, 5);
    INFO(text);
    CHECK(text.find("202") == std::string::npos);  // dates
    CHECK(text.find("different") == std::string::npos);
    CHECK(text.find("ating") != std::string::npos);
    CHECK((text.find("≥") != std::string::npos || text.find("<") != std::string::npos || text.find("≤") != std::string::npos || text.find(" of ") != std::string::npos));
  }
}

TEST_CASE("sums are written out and compared with their bound") {
  Candidate candidate = draw(1);
  const Json clause = parse_json(
      R"({"<": [{"sum": [{"attr": "price", "of": "day1.hotel"}, {"attr": "price", "of": "day1.evening_restaurant"}]}, {"const": 99999}]})", "test");
  candidate.problem_json["constraints"].push_back(clause);
  candidate.problem = parse_problem(candidate.problem_json, "");
  const std::string text = review(candidate, 1);
  INFO(text);
  CHECK(text.find(" + ") != std::string::npos);
  CHECK(text.find(" < 99999") != std::string::npos);
}

}  // namespace gauntlet
