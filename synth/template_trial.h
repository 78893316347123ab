#pragma once

// Tries the templates of an environment as synth would draw from them, without solving anything: what they name must exist in every branch.

#include <string>
#include <vector>

#include "envs/env_spec.h"

namespace gauntlet {

/// What is wrong, each with its place in the document. Stands on template_member_problems(), which must have found nothing.
std::vector<std::string> template_trial_problems(const EnvSpec& spec);

/// Both checks of the templates. Throws Error(Input) that lists all problems; `what` names the document.
void check_templates(const EnvSpec& spec, const std::string& what);

}  // namespace gauntlet
