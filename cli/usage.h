#pragma once

// What is wrong with a command line, told so that the next one is right.

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace gauntlet {

struct UsageProblem {
  const CLI::App* command = nullptr;  ///< the deepest one that was named
  std::string message;                ///< empty: a command is missing after `command`
};

/// Explains an error of CLI11 by looking at the words again, since it tells neither what was meant nor which word came first.
UsageProblem explain_usage(const CLI::App& root, const std::vector<std::string>& words, const CLI::ParseError& error);

}  // namespace gauntlet
