#pragma once

// Names of runs, as people give them and as commands are suggested with them.

#include <string>
#include <string_view>

namespace gauntlet {

/// Throws Error(Usage) for a name that could not be printed as it is: control characters, text that is not UTF-8. No name is fine.
void check_run_name(const std::string& name);

/// A word for a POSIX shell: as it is where that is safe, else in single quotes.
std::string shell_word(std::string_view text);

/// "run NAME: gauntlet report …, gauntlet show …": the commands that look at it, ready to be pasted.
std::string run_hint(const std::string& store, const std::string& run);

}  // namespace gauntlet
