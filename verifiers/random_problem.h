#pragma once

// Random small problems over random small worlds, for property tests only: every kind of node, typed as the parser wants it, with undefined
// values (cells without content, look-ups that find nothing) and few enough assignments to try them all.

#include <memory>

#include "core/rng.h"
#include "envs/env_spec.h"
#include "verifiers/problem.h"

namespace gauntlet {

struct RandomProblem {
  EnvSpec spec;
  std::shared_ptr<const World> world;
  Problem problem;
};

/// Two to five slots with at most six values each; three tables of three to six rows. About two problems in three are made around one
/// assignment and so have an answer; of the others many have none.
RandomProblem random_problem(Rng& rng);

/// The values that each slot may take, as they stand in an answer.
std::vector<std::vector<Json>> slot_choices(const Problem& problem, const World& world);

/// The answer in the problem's form that gives the slots these values.
Json answer_with(const Problem& problem, const std::vector<Json>& values);

}  // namespace gauntlet
