#pragma once

// Progress of a run on stderr: one refreshed line on a terminal, plain lines otherwise.

#include <chrono>
#include <cstdio>
#include <functional>
#include <set>
#include <string>

#include "agent/runner.h"

namespace gauntlet {

class ConsoleProgress : public RunObserver {
 public:
  using Clock = std::chrono::steady_clock;

  /// `out` is not owned. `refresh`: it is a terminal.
  ConsoleProgress(std::FILE* out, bool refresh, std::function<Clock::time_point()> now = Clock::now) : out_(out), refresh_(refresh), now_(std::move(now)) {}

  void on_start(std::int64_t requested, std::int64_t already_done) override;
  void on_stored(const Episode& episode) override;
  void on_message(const std::string& message) override;
  void on_finish(const RunSummary& summary) override;

 private:
  void line(bool last);
  void write(const std::string& text);

  std::FILE* out_;
  bool refresh_;
  std::function<Clock::time_point()> now_;
  std::int64_t requested_ = 0, before_ = 0, stored_ = 0, passed_ = 0, scored_ = 0, faults_ = 0, tokens_ = 0;
  Clock::time_point start_, shown_;
  std::set<std::string> faults_told_;  ///< classes whose first message has been shown
};

}  // namespace gauntlet
