#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace gauntlet {

struct VerifyOptions {
  std::string store = "gauntlet.db", run, task, answer;
  bool store_given = false;         ///< the store was named, so it must not go unread
  std::string ground_truth;         ///< a file; with answer
  std::vector<std::string> specs;   ///< files of environments for ground_truth and batch
  bool batch = false, certificates = false, update = false, json = false;
};

/// Sets exit code 1 if the answer is no: something differs, the one answer does not pass, or a line of a batch could not be judged. Throws
/// Error(Usage) for options that do not go together.
void run_verify(const VerifyOptions& options, Context& context);

}  // namespace gauntlet
