#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace gauntlet {

struct SynthOptions {
  std::vector<std::string> domains;
  std::int64_t count = 10;
  std::uint64_t seed = 1;
  std::string difficulty = "3";
  std::string named;
  std::string exclude;       ///< a file for parse_exclusions()
  bool count_given = false;  ///< by name on the command line
  std::string store = "gauntlet.db";
  int threads = 0;
  int random_tries = 1000;
  bool json = false;
};

/// Makes, certifies and stores; prints a line for each task (with `json`) and a summary to stderr.
void run_synth(const SynthOptions& options, Context& context);

}  // namespace gauntlet
