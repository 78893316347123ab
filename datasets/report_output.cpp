// The JSON and text forms of a Report.

#include <fmt/format.h>

#include "datasets/report.h"

namespace gauntlet {
namespace {

Json estimates_json(const std::map<std::int64_t, PassEstimate>& estimates) {
  Json out = Json::object();
  for (const auto& [k, estimate] : estimates) {
    out[std::to_string(k)] = {
        {"value", estimate.value}, {"low", estimate.interval.low}, {"high", estimate.interval.high}, {"tasks", estimate.tasks}};
  }
  return out;
}

/// Whether any episode ended in order: without one there is no mean and no median of its effort, which is not an effort of 0.
bool has_effort(const GroupReport& group) { return group.scored + group.unscored > 0; }

Json effort_json(const GroupReport& group, double value) { return has_effort(group) ? Json(value) : Json(); }

Json means_json(const GroupReport& group) {
  const EffortMeans& means = group.means;
  Json out = Json::object();
  for (const auto& [name, value] : {std::pair{"prompt_tokens", means.prompt_tokens},
                                    {"completion_tokens", means.completion_tokens},
                                    {"reasoning_tokens", means.reasoning_tokens},
                                    {"steps", means.steps},
                                    {"tool_calls", means.tool_calls},
                                    {"tool_errors", means.tool_errors},
                                    {"malformed_calls", means.malformed_calls},
                                    {"wall_ms", means.wall_ms},
                                    {"cost", means.cost}}) {
    out[name] = effort_json(group, value);
  }
  return out;
}

Json medians_json(const GroupReport& group) {
  const EffortMedians& medians = group.medians;
  return {{"prompt_tokens", effort_json(group, medians.prompt_tokens)},
          {"completion_tokens", effort_json(group, medians.completion_tokens)},
          {"wall_ms", effort_json(group, medians.wall_ms)}};
}

double malformed_share(const GroupReport& group) { return static_cast<double>(group.malformed_calls) / static_cast<double>(group.calls); }

Json group_json(const GroupReport& group) {
  return {{"n", group.n},
          {"scored", group.scored},
          {"passed", group.passed},
          {"infrastructure_faults", group.infrastructure_faults},
          {"cancelled", group.cancelled},
          {"unscored", group.unscored},
          {"tasks", group.tasks},
          {"tasks_unscored", group.tasks_unscored},
          {"pass_at", estimates_json(group.pass_at)},
          {"pass_hat", estimates_json(group.pass_hat)},
          {"wilson", group.wilson ? Json{{"low", group.wilson->low}, {"high", group.wilson->high}} : Json()},
          {"means", means_json(group)},
          {"medians", medians_json(group)},
          {"calls", group.calls},
          {"malformed_calls", group.malformed_calls},
          {"malformed_share", group.calls > 0 ? Json(malformed_share(group)) : Json()},
          {"total_tokens", group.total_tokens},
          {"total_cost", group.total_cost},
          {"stop_reasons", group.stop_reasons},
          {"fault_classes", group.fault_classes}};
}

Json levels_json(const std::map<int, GroupReport>& levels) {
  Json out = Json::object();
  for (const auto& [level, group] : levels) out[std::to_string(level)] = group_json(group);
  return out;
}

std::string percent(double value) { return fmt::format("{:.1f}", 100 * value); }

std::string percent_interval(const Interval& interval) {
  return fmt::format("{}–{}", percent(interval.low), percent(interval.high));
}

/// "42.0 (35.1–49.2)", or a dash where there is nothing to estimate from.
std::string cell(const std::map<std::int64_t, PassEstimate>& estimates, std::int64_t k) {
  const auto it = estimates.find(k);
  if (it == estimates.end()) return "–";
  return fmt::format("{} ({})", percent(it->second.value), percent_interval(it->second.interval));
}

constexpr std::size_t kNameWidth = 24;

std::string named(const std::string& name) { return fmt::format("{:<{}}", name, kNameWidth); }

std::string outcome_head() {
  return named("") + fmt::format(" {:>6} {:>6} {:>6} {:>6} {:>6} {:>20} {:>14}\n", "tasks", "n", "scored", "faults", "cancel", "pass@1 %", "Wilson %");
}

std::string outcome_row(const std::string& name, const GroupReport& group) {
  return named(name) + fmt::format(" {:>6} {:>6} {:>6} {:>6} {:>6} {:>20} {:>14}\n", group.tasks, group.n, group.scored, group.infrastructure_faults, group.cancelled,
                                   cell(group.pass_at, 1), group.wilson ? percent_interval(*group.wilson) : "–");
}

std::string effort_head(std::int64_t largest_k) {
  std::string head = named("");
  if (largest_k > 1) head += fmt::format(" {:>20} {:>20}", fmt::format("pass@{} %", largest_k), fmt::format("pass^{} %", largest_k));
  return head + fmt::format(" {:>8} {:>6} {:>6} {:>8}\n", "tokens", "calls", "errors", "ms");
}

std::string effort_row(const std::string& name, const GroupReport& group, std::int64_t largest_k) {
  std::string row = named(name);
  if (largest_k > 1) row += fmt::format(" {:>20} {:>20}", cell(group.pass_at, largest_k), cell(group.pass_hat, largest_k));
  if (!has_effort(group)) return row + fmt::format(" {0:>8} {0:>6} {0:>6} {0:>8}\n", "–");
  return row + fmt::format(" {:>8.0f} {:>6.1f} {:>6.2f} {:>8.0f}\n", group.means.prompt_tokens + group.means.completion_tokens, group.means.tool_calls, group.means.tool_errors,
                           group.means.wall_ms);
}

/// Tasks without a level go by their names where all have one.
std::string level_name(const Report& report, int level) {
  if (level != 0) return fmt::format("level {}", level);
  std::string names;
  std::int64_t named_episodes = 0;
  for (const auto& [name, group] : report.by_named) {
    names += (names.empty() ? "" : ", ") + name;
    named_episodes += group.n;
  }
  const auto without = report.by_level.find(0);
  return without != report.by_level.end() && without->second.n == named_episodes ? names : "no level";
}

using NamedGroups = std::vector<std::pair<std::string, const GroupReport*>>;

/// Rows of the tables: the run, each domain with its levels, and the levels over all domains if there are several.
NamedGroups groups_of(const Report& report) {
  NamedGroups out;
  const bool several = report.by_domain.size() != 1;
  if (several) out.emplace_back("all", &report.overall);
  for (const auto& [name, group] : report.by_domain) {
    out.emplace_back(name, &group);
    const auto levels = report.by_domain_level.find(name);
    if (levels == report.by_domain_level.end()) continue;
    for (const auto& [level, at_level] : levels->second) out.emplace_back("  " + level_name(report, level), &at_level);
  }
  if (several) {
    for (const auto& [level, group] : report.by_level) out.emplace_back(level_name(report, level), &group);
  }
  return out;
}

}  // namespace

Json to_json(const Report& report) {
  Json by_domain = Json::object();
  for (const auto& [name, group] : report.by_domain) by_domain[name] = group_json(group);
  Json by_domain_level = Json::object();
  for (const auto& [name, levels] : report.by_domain_level) by_domain_level[name] = levels_json(levels);
  const Json overall = group_json(report.overall);
  Json out = {{"run", report.run.run_id},      {"code_version", report.run.code_version},
              {"requested", report.requested}, {"completed", report.completed},
              {"failed", report.failed},       {"missing", report.missing}};
  // The run's own figures are at the top as well as under "overall", so that a reader of one number needs no path.
  for (const auto& item : overall.items()) out[item.key()] = item.value();
  out["overall"] = overall;
  out["by_domain"] = std::move(by_domain);
  out["by_level"] = levels_json(report.by_level);
  Json by_named = Json::object();
  for (const auto& [name, group] : report.by_named) by_named[name] = group_json(group);
  out["by_named"] = std::move(by_named);
  out["by_domain_level"] = std::move(by_domain_level);
  return out;
}

std::string report_text(const Report& report) {
  const std::int64_t largest_k = report.overall.pass_at.empty() ? 1 : report.overall.pass_at.rbegin()->first;
  const std::string others = report.other_runs > 0 ? fmt::format(" (the last that an episode was stored for; other runs: {}, see --run)", report.other_runs) : "";
  std::string out = fmt::format("run {}{}\nrequested {} = completed {} + failed {} + cancelled {} + missing {}\n\n", report.run.run_id, others, report.requested,
                                report.completed, report.failed, report.cancelled, report.missing);
  // Two tables, so that each fits a terminal of 100 columns.
  const auto groups = groups_of(report);
  out += outcome_head();
  for (const auto& [name, group] : groups) out += outcome_row(name, *group);
  out += "\n" + effort_head(largest_k);
  for (const auto& [name, group] : groups) out += effort_row(name, *group, largest_k);
  const EffortMedians& medians = report.overall.medians;
  out += "\nmedian of an episode: ";
  out += has_effort(report.overall) ? fmt::format("{:.1f} s, {:.0f} completion tokens", medians.wall_ms / 1000, medians.completion_tokens) : "–";
  if (report.overall.calls > 0) out += fmt::format("\nmalformed calls: {} of {} ({:.2f} %)", report.overall.malformed_calls, report.overall.calls, 100 * malformed_share(report.overall));
  out += "\nstopped by:";
  for (const auto& [reason, count] : report.overall.stop_reasons) out += fmt::format(" {} {}", reason, count);
  if (!report.overall.fault_classes.empty()) {
    out += "\nfaults:";
    for (const auto& [name, count] : report.overall.fault_classes) out += fmt::format(" {} {}", name, count);
  }
  if (report.overall.unscored > 0)
    out += fmt::format("\n{} episodes ended in order but could not be judged", report.overall.unscored);
  if (report.overall.tasks_unscored > 0)
    out += fmt::format("\n{} tasks have no scored episode and are in no pass rate", report.overall.tasks_unscored);
  out += "\nIntervals are 95 %, clustered by task; Wilson's takes episodes as independent.\nTokens, calls, errors and ms are means of an episode.";
  if (report.overall.total_cost > 0) out += fmt::format(" Cost: {:.4f}.", report.overall.total_cost);
  return out + "\n";
}

}  // namespace gauntlet
