#pragma once

#include <string>

#include "cli/context.h"

namespace gauntlet {

struct ShowOptions {
  std::string store = "gauntlet.db", id;
  bool json = false;
};

void run_show(const ShowOptions& options);

}  // namespace gauntlet
