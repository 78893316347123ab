#pragma once

// Files that a command is about to write under a name that the caller gave.

#include <string>
#include <vector>

#include "datasets/atomic_file.h"

namespace gauntlet {

/// Throws Error(Usage) naming the first of them that is there already, unless they may be replaced.
void require_unused(const std::vector<std::string>& paths, Overwrite overwrite);

/// Throws Error(Usage) if both names lead to one file.
void require_different(const std::string& out, const std::string& in, const std::string& option_of_in);

}  // namespace gauntlet
