#pragma once

// The plainest possible judge: walks the problem's tree over an answer in JSON, looking everything up by name. It shares no code with
// compiled.h and is the oracle of its tests and of every certificate's kill matrix; slow, and meant to be.

#include <optional>

#include "verifiers/problem.h"

namespace gauntlet {

/// True if every `within` rule and constraint holds. The answer must have every slot and name existing rows; else false.
bool reference_holds(const Problem& problem, const World& world, const Json& answer);

/// The objective's value in thousandths; nothing if undefined. The answer must be one that reference_holds accepts.
std::optional<Cell> reference_objective(const Problem& problem, const World& world, const Json& answer);

/// One node on its own, for an answer whose slots are all there. Text values give nothing.
bool reference_predicate(const Problem& problem, const World& world, const Json& answer, const Node& node);
std::optional<Cell> reference_value(const Problem& problem, const World& world, const Json& answer, const Node& node);

}  // namespace gauntlet
