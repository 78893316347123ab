#pragma once

// Patterns, names and references in errors: they can be a megabyte long.

#include <string>
#include <string_view>

#include "core/json.h"

namespace gauntlet {

inline std::string shortened(std::string_view text) { return text.size() <= 100 ? std::string(text) : valid_utf8(text.substr(0, 100)) + "..."; }

}  // namespace gauntlet
