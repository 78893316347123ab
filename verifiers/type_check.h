#pragma once

// Whether the operands of a problem's nodes go together, once the world says what its columns hold. parse_problem has checked what
// shows without a world.

#include "verifiers/problem.h"

namespace gauntlet {

/// Throws Error(Input) with the JSON pointer within the problem, what was found and what is accepted. All tables, columns and slots that
/// the problem names must exist.
void check_types(const Problem& problem, const World& world);

}  // namespace gauntlet
