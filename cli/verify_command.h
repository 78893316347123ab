#pragma once

#include <string>

#include "cli/context.h"

namespace gauntlet {

struct VerifyOptions {
  std::string store = "gauntlet.db", run, task, answer;
  bool certificates = false, update = false, json = false;
};

/// Sets exit code 1 if the answer is no: something differs, or the one answer does not pass.
void run_verify(const VerifyOptions& options, Context& context);

}  // namespace gauntlet
