#pragma once

// What a run achieved, computed from the store alone: accounting, pass rates with intervals, effort; for the run, by domain
// (environment), by level and by both.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datasets/statistics.h"
#include "datasets/store.h"

namespace gauntlet {

/// A mean over the tasks with at least k scored attempts.
struct PassEstimate {
  double value = 0.0;
  Interval interval;  ///< clustered by task
  std::int64_t tasks = 0;
};

/// Means over episodes that did not end in an infrastructure fault and were not cancelled; 0 where there are none.
struct EffortMeans {
  double prompt_tokens = 0.0;
  double completion_tokens = 0.0;
  double reasoning_tokens = 0.0;
  double steps = 0.0;
  double tool_calls = 0.0;
  double tool_errors = 0.0;
  double malformed_calls = 0.0;
  double wall_ms = 0.0;
  double cost = 0.0;
};

/// Medians over the same episodes; of two middle ones their mean.
struct EffortMedians {
  double prompt_tokens = 0.0;
  double completion_tokens = 0.0;
  double wall_ms = 0.0;
};

/// n = scored + infrastructure_faults + cancelled + unscored.
struct GroupReport {
  std::int64_t n = 0;  ///< slots with an episode; the latest attempt of each counts
  std::int64_t scored = 0;
  std::int64_t passed = 0;
  std::int64_t infrastructure_faults = 0;
  std::int64_t cancelled = 0;
  std::int64_t unscored = 0;  ///< ended in order, but could not be judged
  std::int64_t tasks = 0;
  std::int64_t tasks_unscored = 0;                ///< tasks without any scored episode: in no pass rate
  std::map<std::int64_t, PassEstimate> pass_at;   ///< by k
  std::map<std::int64_t, PassEstimate> pass_hat;  ///< by k
  std::optional<Interval> wilson;                 ///< of pass@1 with episodes taken as independent; nothing if none is scored
  EffortMeans means;
  EffortMedians medians;
  std::int64_t calls = 0;            ///< tool calls of those episodes, and replies whose calls could not be read
  std::int64_t malformed_calls = 0;  ///< of calls, the latter
  double total_cost = 0.0;
  std::int64_t total_tokens = 0;  ///< prompt and completion, faulty episodes included
  std::map<std::string, std::int64_t> stop_reasons;
  std::map<std::string, std::int64_t> fault_classes;  ///< of infrastructure_faults
};

/// requested = completed + failed + cancelled + missing.
struct Report {
  RunRecord run;
  std::int64_t other_runs = 0;  ///< that the store holds, if none was named
  std::int64_t requested = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;  ///< infrastructure faults that were not made good by a later attempt
  std::int64_t cancelled = 0;
  std::int64_t missing = 0;  ///< negative when the run holds more than was asked for
  GroupReport overall;
  std::map<std::string, GroupReport> by_domain;
  std::map<int, GroupReport> by_level;             ///< 0: tasks without a level, such as named ones
  std::map<std::string, GroupReport> by_named;     ///< named tasks only
  std::map<std::string, std::map<int, GroupReport>> by_domain_level;
};

/// An empty run_id means the run of which an episode was stored last. Throws Error(Usage) if there is no such run, naming those that there are.
Report build_report(const Store& store, const std::string& run_id);

/// Field names are a contract: docs/store.md, "Reports".
Json to_json(const Report& report);
/// For a terminal: accounting, a table with a row for each group, stop reasons, faults by class.
std::string report_text(const Report& report);

}  // namespace gauntlet
