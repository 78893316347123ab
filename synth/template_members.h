#pragma once

// The members of task templates: a misspelt one must never pass, or other tasks than those meant would be certified.

#include <string>
#include <vector>

#include "envs/env_spec.h"

namespace gauntlet {

/// Members of "tasks" that nothing reads, at any depth, members that are missing, and fragments that do not exist, each as
/// "/tasks/levels/1/objektive: unknown member …". Looks at the document alone.
std::vector<std::string> template_member_problems(const EnvSpec& spec);

/// Throws Error(Input) that lists them, if there are any; `what` names the document.
void require_template_members(const EnvSpec& spec, const std::string& what);

}  // namespace gauntlet
