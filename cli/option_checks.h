#pragma once

// Values that options of one kind accept, whatever the command. CLI11 itself takes "-1" and "99999999999999999999" for some other seed.

#include <CLI/CLI.hpp>

namespace gauntlet {

/// --seed: a whole number of 64 bits without a sign.
CLI::Option* check_seed(CLI::Option* option);

/// A file or folder that is read or written: an empty name, as of a shell's variable that is not set, is a mistake.
CLI::Option* check_path(CLI::Option* option);

}  // namespace gauntlet
