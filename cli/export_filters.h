#pragma once

// What is exported, checked before anything is written. Tested by tests/cli_export_test.cpp.

#include <optional>
#include <string>

#include "datasets/store.h"

namespace gauntlet {

struct ExportFilters {
  std::string environment;   ///< empty: all
  std::optional<int> level;  ///< none: all
  double min_score = 1.0;    ///< of episodes
};

/// Throws Error(Usage) for a level below 0 and a least score outside 0 to 1.
void check_filters(const ExportFilters& filters);

/// Throws Error(Usage) if the store has no task of the environment and level, naming what it has.
void require_tasks(const Store& store, const ExportFilters& filters);

}  // namespace gauntlet
