#pragma once

#include <string_view>

namespace gauntlet {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace gauntlet
