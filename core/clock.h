#pragma once

// The wall clock, for records that people read; nothing that a result depends on asks it.

#include <chrono>
#include <cstdint>

namespace gauntlet {

/// Milliseconds since 1970-01-01 UTC.
inline std::int64_t unix_ms() { return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

}  // namespace gauntlet
