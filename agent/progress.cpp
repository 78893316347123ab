#include "agent/progress.h"

#include <fmt/format.h>

namespace gauntlet {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::milliseconds kPlainInterval{5000};
constexpr std::chrono::seconds kTokenWindow{10};  ///< that a shown rate of tokens looks back

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  return whole >= 60 ? fmt::format("{}m{:02}s", whole / 60, whole % 60) : fmt::format("{}s", whole);
}

}  // namespace

/// A terminal that went away is no reason to stop the run, so errors are let pass.
void ConsoleProgress::write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

void ConsoleProgress::on_start(std::int64_t requested, std::int64_t already_done) {
  requested_ = requested;
  before_ = already_done;
  start_ = shown_ = now_();
  if (sampled_) sampled_before_ = sampled_();
  samples_.assign(1, {start_, sampled_before_});
  if (already_done > 0 && already_done < requested) write(fmt::format("resuming: {} of {} episodes are stored already\n", already_done, requested));
}

void ConsoleProgress::line(bool last) {
  const double seconds = std::chrono::duration<double>(now_() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(stored_) / seconds : 0.0;
  const std::int64_t done = before_ + stored_;
  std::string text = fmt::format("{}/{} episodes  ", done, requested_) + (level_of_ ? passes_text() : fmt::format("{:.1f}/s  {} of {} pass", rate, passed_, scored_));
  if (faults_ > 0) text += fmt::format("  {} faults", faults_);
  if (const double tokens = token_rate(seconds, last); tokens > 0) text += fmt::format("  {:.0f} tokens/s", tokens);
  if (!last && rate > 0) text += fmt::format("  {} left", duration_text(static_cast<double>(requested_ - done) / rate));
  write(fmt::format("{}{}{}", refresh_ ? "\r\033[K" : "", text, refresh_ && !last ? "" : "\n"));
}

/// "passed at level 1: 3/4, 2: 1/2, named: 1/1": tasks with a name of their own have level 0.
std::string ConsoleProgress::passes_text() const {
  std::string text;
  for (const auto& [level, passes] : levels_) {
    if (level > 0) text += fmt::format("{}{}: {}/{}", text.empty() ? "passed at level " : ", ", level, passes.passed, passes.scored);
  }
  if (const auto named = levels_.find(0); named != levels_.end()) text += fmt::format("{}named: {}/{}", text.empty() ? "passed: " : ", ", named->second.passed, named->second.scored);
  return !text.empty() ? text : before_ > 0 ? "none since then" : "none done yet";
}

/// Of the last seconds, or at the end of the whole run; 0: unknown.
double ConsoleProgress::token_rate(double seconds, bool last) {
  if (seconds <= 0) return 0;
  if (!sampled_) return static_cast<double>(tokens_) / seconds;
  const auto now = now_();
  const std::int64_t sampled = sampled_();
  if (last) return static_cast<double>(sampled - sampled_before_) / seconds;
  while (samples_.size() > 1 && now - samples_[1].first >= kTokenWindow) samples_.pop_front();
  const auto [since, before] = samples_.front();
  samples_.emplace_back(now, sampled);
  return now > since ? static_cast<double>(sampled - before) / std::chrono::duration<double>(now - since).count() : 0;
}

void ConsoleProgress::show_if_due() {
  const auto now = now_();
  if (now - shown_ < (refresh_ ? kTerminalInterval : kPlainInterval)) return;
  shown_ = now;
  line(false);
}

/// Off a terminal only where there is something new to say: a log of an endpoint's run has a line when an episode is done.
void ConsoleProgress::on_tick() {
  if (refresh_ || sampled_) show_if_due();
}

void ConsoleProgress::on_stored(const Episode& episode) {
  const bool fault = is_infrastructure(episode.stop);
  stored_ += fault ? 0 : 1;
  faults_ += fault ? 1 : 0;
  scored_ += episode.score.scored ? 1 : 0;
  passed_ += episode.score.scored && episode.score.value == 1.0 ? 1 : 0;
  tokens_ += episode.usage.completion_tokens;
  if (fault && faults_told_.insert(episode.fault_class).second) {
    on_message(fmt::format("fault ({}): {}", episode.fault_class, episode.fault_message));
  }
  if (level_of_ && episode.score.scored) {
    Passes& passes = levels_[level_of_(episode)];
    ++passes.scored;
    passes.passed += episode.score.value == 1.0 ? 1 : 0;
  }
  show_if_due();
}

void ConsoleProgress::on_message(const std::string& message) {
  write(fmt::format("{}{}\n", refresh_ ? "\r\033[K" : "", message));
}

void ConsoleProgress::on_finish(const RunSummary& summary) {
  if (summary.requested > 0 && summary.completed_before == summary.requested) {
    write(fmt::format("{}/{} episodes  all stored already, {} of them pass\n", summary.completed_before, summary.requested, summary.passed_before));
  } else {
    line(true);
  }
  if (!summary.stopped_by.empty()) write(fmt::format("stopped early: {}\n", summary.stopped_by));
  if (summary.faults > 0) write(fmt::format("{} episode{} ended in infrastructure faults; they are not scored, and the same command tries them again\n", summary.faults, summary.faults == 1 ? "" : "s"));
}

}  // namespace gauntlet
