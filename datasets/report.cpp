#include "datasets/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Collects the outcomes of one group.
struct Group {
  GroupReport report;
  EffortMeans sums;
  std::vector<double> prompt_tokens, completion_tokens, wall_ms;
  std::map<std::string, Attempts> tasks;

  void add(const Outcome& outcome);
  GroupReport finish(const std::set<std::int64_t>& ks);
};

void Group::add(const Outcome& outcome) {
  ++report.n;
  ++report.stop_reasons[std::string(stop_reason_name(outcome.stop))];
  report.total_cost += outcome.cost;
  report.total_tokens += outcome.usage.prompt_tokens + outcome.usage.completion_tokens;
  Attempts& attempts = tasks[outcome.task_id];
  if (outcome.stop == StopReason::Cancelled) {
    ++report.cancelled;
    return;
  }
  if (is_infrastructure(outcome.stop)) {
    ++report.infrastructure_faults;
    ++report.fault_classes[outcome.fault_class.empty() ? "unknown" : outcome.fault_class];
    return;
  }
  if (outcome.value) {
    const std::int64_t passed = *outcome.value >= 1.0 ? 1 : 0;
    ++report.scored;
    report.passed += passed;
    ++attempts.scored;
    attempts.passed += passed;
  } else {
    ++report.unscored;
  }
  sums.prompt_tokens += static_cast<double>(outcome.usage.prompt_tokens);
  sums.completion_tokens += static_cast<double>(outcome.usage.completion_tokens);
  sums.reasoning_tokens += static_cast<double>(outcome.usage.reasoning_tokens);
  sums.steps += outcome.steps;
  sums.tool_calls += outcome.tool_calls;
  sums.tool_errors += outcome.tool_errors;
  sums.malformed_calls += outcome.malformed_calls;
  sums.wall_ms += static_cast<double>(outcome.wall_ms);
  sums.cost += outcome.cost;
  prompt_tokens.push_back(static_cast<double>(outcome.usage.prompt_tokens));
  completion_tokens.push_back(static_cast<double>(outcome.usage.completion_tokens));
  wall_ms.push_back(static_cast<double>(outcome.wall_ms));
  report.calls += outcome.tool_calls + outcome.malformed_calls;
  report.malformed_calls += outcome.malformed_calls;
}

/// 0 of nothing.
double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

using Estimator = std::optional<double> (*)(const Attempts&, std::int64_t);

std::optional<PassEstimate> estimate(const std::map<std::string, Attempts>& tasks, Estimator estimator, std::int64_t k) {
  std::vector<ClusterSum> clusters;
  for (const auto& [task_id, attempts] : tasks) {
    if (const auto value = estimator(attempts, k)) clusters.push_back({.sum = *value, .count = 1});
  }
  const auto mean = clustered_mean(clusters);
  if (!mean) return std::nullopt;
  return PassEstimate{.value = mean->mean, .interval = clustered_interval(*mean), .tasks = mean->clusters};
}

GroupReport Group::finish(const std::set<std::int64_t>& ks) {
  report.tasks = static_cast<std::int64_t>(tasks.size());
  report.tasks_unscored = std::count_if(tasks.begin(), tasks.end(), [](const auto& task) { return task.second.scored == 0; });
  for (const std::int64_t k : ks) {
    if (const auto value = estimate(tasks, pass_at_k, k)) report.pass_at[k] = *value;
    if (const auto value = estimate(tasks, pass_hat_k, k)) report.pass_hat[k] = *value;
  }
  if (report.scored > 0) report.wilson = wilson_interval({.scored = report.scored, .passed = report.passed});
  report.medians = {.prompt_tokens = median(prompt_tokens), .completion_tokens = median(completion_tokens), .wall_ms = median(wall_ms)};
  const std::int64_t completed = report.scored + report.unscored;
  if (completed > 0) {
    for (double EffortMeans::*field :
         {&EffortMeans::prompt_tokens, &EffortMeans::completion_tokens, &EffortMeans::reasoning_tokens, &EffortMeans::steps,
          &EffortMeans::tool_calls, &EffortMeans::tool_errors, &EffortMeans::malformed_calls, &EffortMeans::wall_ms,
          &EffortMeans::cost}) {
      report.means.*field = sums.*field / static_cast<double>(completed);
    }
  }
  return report;
}

/// 1, 2, 4, 8, … up to the largest number of scored attempts at a task, and that number itself.
std::set<std::int64_t> choose_ks(const Group& overall) {
  std::int64_t most = 1;
  for (const auto& [task_id, attempts] : overall.tasks) most = std::max(most, attempts.scored);
  std::set<std::int64_t> ks = {most};
  for (std::int64_t k = 1; k < most; k *= 2) ks.insert(k);
  return ks;
}

RunRecord find_reported_run(const Store& store, const std::string& run_id, const std::vector<RunRecord>& runs) {
  if (runs.empty()) fail(ErrorKind::Usage, fmt::format("could not report on {}: it holds no run", store.path()));
  if (run_id.empty()) return store.find_latest_run().value();
  const auto it = std::find_if(runs.begin(), runs.end(), [&](const RunRecord& run) { return run.run_id == run_id; });
  if (it != runs.end()) return *it;
  std::vector<std::string> names;
  for (const auto& run : runs) names.push_back(run.run_id);
  const std::string nearest = nearest_word(run_id, names);
  if (names.size() > 20) names.erase(names.begin(), names.end() - 20);
  fail(ErrorKind::Usage,
       fmt::format("could not report on run \"{}\": {} does not hold it{}; runs: {}", run_id, store.path(),
                   nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), fmt::join(names, ", ")));
}

}  // namespace

Report build_report(const Store& store, const std::string& run_id) {
  Report report;
  const std::vector<RunRecord> runs = store.list_runs();
  report.run = find_reported_run(store, run_id, runs);
  if (run_id.empty()) report.other_runs = static_cast<std::int64_t>(runs.size()) - 1;
  Group overall;
  std::map<std::string, Group> by_domain;
  std::map<int, Group> by_level;
  std::map<std::string, Group> by_named;
  std::map<std::string, std::map<int, Group>> by_domain_level;
  store.for_each_outcome(report.run.run_id, [&](const Outcome& outcome) {
    overall.add(outcome);
    by_domain[outcome.environment].add(outcome);
    by_level[outcome.level].add(outcome);
    if (!outcome.named.empty()) by_named[outcome.named].add(outcome);
    by_domain_level[outcome.environment][outcome.level].add(outcome);
  });

  const std::set<std::int64_t> ks = choose_ks(overall);
  report.overall = overall.finish(ks);
  for (auto& [name, group] : by_domain) report.by_domain[name] = group.finish(ks);
  for (auto& [level, group] : by_level) report.by_level[level] = group.finish(ks);
  for (auto& [name, group] : by_named) report.by_named[name] = group.finish(ks);
  for (auto& [name, levels] : by_domain_level) {
    for (auto& [level, group] : levels) report.by_domain_level[name][level] = group.finish(ks);
  }

  report.requested = report.run.requested;
  report.completed = report.overall.scored + report.overall.unscored;
  report.failed = report.overall.infrastructure_faults;
  report.cancelled = report.overall.cancelled;
  report.missing = report.requested - report.completed - report.failed - report.cancelled;
  return report;
}

}  // namespace gauntlet
