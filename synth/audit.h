#pragma once

// Does a stored task still say what was certified? The gate runs again over its content, and what the gate does not look at (level, name,
// difficulty, the prompt's wording, whether another process checked it) is compared too.

#include <string>

#include "synth/gate.h"

namespace gauntlet {

/// Puts the hash over everything that the task and its certificate say into the certificate, as "seal_sha256".
void seal(Task& task);

/// True if the prompt is one of the domain's introductions, then the rendering of the problem and of its answer's form.
bool prompt_is_rendering(const EnvSpec& spec, const Problem& problem, const std::string& prompt);

/// Empty if the task is as it was certified, else what differs. Throws Error, or a Json exception, for what cannot be read at all.
std::string audit(Gate& gate, const Task& task, const CancelFlag& cancel);

}  // namespace gauntlet
