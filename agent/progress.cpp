#include "agent/progress.h"

#include <fmt/format.h>

namespace gauntlet {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::milliseconds kPlainInterval{5000};

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
  if (already_done > 0) write(fmt::format("resuming: {} of {} episodes are stored already\n", already_done, requested));
}

void ConsoleProgress::line(bool last) {
  const double seconds = std::chrono::duration<double>(now_() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(stored_) / seconds : 0.0;
  const std::int64_t done = before_ + stored_;
  std::string text = fmt::format("{}/{} episodes  {:.1f}/s  {} of {} pass", done, requested_, rate, passed_, scored_);
  if (faults_ > 0) text += fmt::format("  {} faults", faults_);
  if (tokens_ > 0 && seconds > 0) text += fmt::format("  {:.0f} tokens/s", static_cast<double>(tokens_) / seconds);
  if (!last && rate > 0) text += fmt::format("  {} left", duration_text(static_cast<double>(requested_ - done) / rate));
  write(fmt::format("{}{}{}", refresh_ ? "\r\033[K" : "", text, refresh_ && !last ? "" : "\n"));
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
  const auto now = now_();
  if (now - shown_ < (refresh_ ? kTerminalInterval : kPlainInterval)) return;
  shown_ = now;
  line(false);
}

void ConsoleProgress::on_message(const std::string& message) {
  write(fmt::format("{}{}\n", refresh_ ? "\r\033[K" : "", message));
}

void ConsoleProgress::on_finish(const RunSummary& summary) {
  line(true);
  if (!summary.stopped_by.empty()) write(fmt::format("stopped early: {}\n", summary.stopped_by));
  if (summary.faults > 0) write(fmt::format("{} episode{} ended in infrastructure faults; they are not scored, and the same command tries them again\n", summary.faults, summary.faults == 1 ? "" : "s"));
}

}  // namespace gauntlet
