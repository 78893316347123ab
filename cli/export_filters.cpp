#include "cli/export_filters.h"

#include <fmt/format.h>

#include <set>

#include "core/error.h"

namespace gauntlet {

void check_filters(const ExportFilters& filters) {
  require(!filters.level || *filters.level >= 0, ErrorKind::Usage, fmt::format("--level: found {}; accepted: 1 to 5, or 0 for tasks without a level", filters.level.value_or(0)));
  // Nothing compares with "not a number", so that no episode would be below it.
  require(filters.min_score >= 0.0 && filters.min_score <= 1.0, ErrorKind::Usage, fmt::format("--min-score: found {}; accepted: 0 to 1", filters.min_score));
}

void require_tasks(const Store& store, const ExportFilters& filters) {
  if (store.count_tasks({.environment = filters.environment, .level = filters.level.value_or(-1)}) > 0) return;
  std::set<std::string> environments;
  std::set<int> levels;
  store.for_each_task({}, [&](const Task& task) {
    environments.insert(task.environment);
    if (filters.environment.empty() || task.environment == filters.environment) levels.insert(task.level);
  });
  require(!environments.empty(), ErrorKind::Usage, fmt::format("{} holds no tasks; gauntlet synth makes them", store.path()));
  require(!levels.empty(), ErrorKind::Usage, fmt::format("--environment: found \"{}\"; {} holds tasks of {}", filters.environment, store.path(), fmt::join(environments, ", ")));
  const std::string of = filters.environment.empty() ? "" : " of " + filters.environment;
  fail(ErrorKind::Usage, fmt::format("--level: found {}; {} holds tasks{} of level {}", filters.level.value_or(-1), store.path(), of, fmt::join(levels, ", ")));
}

}  // namespace gauntlet
