#pragma once

// gauntlet model recall.

#include <cstdint>
#include <string>

#include "cli/context.h"
#include "core/json.h"

namespace gauntlet {

struct ModelRecallOptions {
  std::string folder;
  std::string ids;           ///< a file; or
  std::string store, run;    ///< episodes of a run; empty run: the latest
  std::int64_t limit = 20;   ///< episodes
  int threads = 0;
  bool json = false;
};

/// What `gauntlet model recall --json` prints. Throws Error.
Json recall_report(const ModelRecallOptions& options);

void add_model_recall_command(CLI::App& parent, Context& context);

}  // namespace gauntlet
