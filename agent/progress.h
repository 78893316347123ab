#pragma once

// Progress of a run on stderr: one refreshed line on a terminal, plain lines otherwise.

#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "agent/runner.h"

namespace gauntlet {

class ConsoleProgress : public RunObserver {
 public:
  using Clock = std::chrono::steady_clock;

  /// `out` is not owned. `refresh`: it is a terminal.
  ConsoleProgress(std::FILE* out, bool refresh, std::function<Clock::time_point()> now = Clock::now) : out_(out), refresh_(refresh), now_(std::move(now)) {}

  /// Both before the run. `sampled`: tokens that the model has written so far, which is then shown as a rate of the last seconds, from the first
  /// token on; else tokens count when their episode is stored.
  void watch_tokens(std::function<std::int64_t()> sampled) { sampled_ = std::move(sampled); }
  /// Passes are counted by the level of an episode's task.
  void count_by_level(std::function<int(const Episode&)> level_of) { level_of_ = std::move(level_of); }

  void on_start(std::int64_t requested, std::int64_t already_done) override;
  void on_stored(const Episode& episode) override;
  void on_message(const std::string& message) override;
  void on_finish(const RunSummary& summary) override;
  void on_tick() override;

 private:
  struct Passes {
    std::int64_t passed = 0, scored = 0;
  };
  void line(bool last);
  void show_if_due();
  std::string passes_text() const;
  double token_rate(double seconds, bool last);
  void write(const std::string& text);

  std::FILE* out_;
  bool refresh_;
  std::function<Clock::time_point()> now_;
  std::int64_t requested_ = 0, before_ = 0, stored_ = 0, passed_ = 0, scored_ = 0, faults_ = 0, tokens_ = 0;
  Clock::time_point start_, shown_;
  std::function<std::int64_t()> sampled_;
  std::int64_t sampled_before_ = 0;    ///< when the run began
  std::deque<std::pair<Clock::time_point, std::int64_t>> samples_;  ///< of the last seconds
  std::function<int(const Episode&)> level_of_;
  std::map<int, Passes> levels_;
  std::set<std::string> faults_told_;  ///< classes whose first message has been shown
};

}  // namespace gauntlet
