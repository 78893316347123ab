#pragma once

#include "core/rng.h"
#include "synth/planner.h"

namespace gauntlet {

/// A slip such as people and models make: two letters swapped in a name, or a keyword that does not exist. The call itself if there is
/// nothing in it to get wrong.
PlannedCall misspelt(const PlannedCall& call, Rng& rng);

}  // namespace gauntlet
