#include "verifiers/random_problem.h"

#include <doctest/doctest.h>

#include <set>

#include "verifiers/reference.h"

namespace gauntlet {

namespace {

void count_kinds(const Node& node, std::set<NodeKind>& kinds) {
  kinds.insert(node.kind);
  for (const auto& child : node.children) count_kinds(child, kinds);
}

}  // namespace

TEST_CASE("random problems are valid, use every kind of node, and come out the same for the same seed") {
  std::set<NodeKind> kinds;
  std::size_t objectives = 0;
  std::size_t within = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const Json json = to_json(made.problem);
    CHECK(parse_problem(json, "") == made.problem);
    for (const auto& node : made.problem.constraints) count_kinds(node, kinds);
    objectives += made.problem.sense != ObjectiveSense::None ? 1 : 0;
    within += within_constraints(made.problem).empty() ? 0 : 1;
    if (seed % 100 == 0) {
      Rng again(seed);
      const RandomProblem same = random_problem(again);
      CHECK(dump_json(to_json(same.problem)) == dump_json(json));
      CHECK(world_fingerprint(*same.world) == world_fingerprint(*made.world));
    }
  }
  CHECK(kinds.size() == 18);
  CHECK(objectives > 300);
  CHECK(within > 300);
}

TEST_CASE("between half and nine tenths of the random problems have an answer") {
  std::size_t answerable = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Rng rng(seed);
    const RandomProblem made = random_problem(rng);
    const auto choices = slot_choices(made.problem, *made.world);
    std::vector<std::size_t> at(choices.size(), 0);
    bool found = false;
    for (bool more = true; more && !found;) {
      std::vector<Json> values;
      for (std::size_t i = 0; i < at.size(); ++i) values.push_back(choices[i][at[i]]);
      found = reference_holds(made.problem, *made.world, answer_with(made.problem, values));
      std::size_t i = 0;
      while (i < at.size() && ++at[i] == choices[i].size()) at[i++] = 0;
      more = i < at.size();
    }
    answerable += found ? 1 : 0;
  }
  CHECK(answerable > 100);
  CHECK(answerable < 190);
}

}  // namespace gauntlet
