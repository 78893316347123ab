#pragma once

// How the oracle goes through a finished plan: each requirement that had to be found out, with the values found, in words that vary.

#include <optional>
#include <string>

#include "core/rng.h"
#include "envs/env_spec.h"
#include "verifiers/compiled.h"

namespace gauntlet {

/// Text for the end of the thinking. Requirements that hold for whatever an answer of the right form says (given dates and names, places
/// that lie where they were listed, no repeats) are left out. `completeness` tells what is known of `world`.
std::string review_plan(const Problem& problem, const EnvSpec& spec, const World& world, const Completeness& completeness, const std::string& answer, std::optional<Cell> optimum,
                        Rng& rng);

}  // namespace gauntlet
