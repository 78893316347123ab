#pragma once

// What one tool call may cost. Whether a call is refused depends on what it does and never on the clock, so that a slow machine
// gives the same results as a fast one: steps of SQLite's virtual machine, the bytes that one step may handle, and the work of
// functions that can take longer than their texts are long, which count for themselves.
//
// A call first runs with values and sorted rows of at most 1,000 bytes. If one is larger, it is undone and run again with
// 64,000 bytes and fewer steps. So steps times bytes is bounded (500 million, then 960 million); almost nothing SQLite does to a
// byte takes a nanosecond. The worst calls found, with their times, are in work_budget_test.cpp.

#include <sqlite3.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "core/chat_model.h"

namespace gauntlet {

struct WorkTier {
  int value_bytes;
  int thousand_steps;
};
inline constexpr std::array<WorkTier, 2> kWorkTiers = {{{1'000, 500}, {64'000, 15}}};
inline constexpr int kMaxValueBytes = kWorkTiers.back().value_bytes;
inline constexpr std::int64_t kMaxFunctionWork = 50'000'000;  ///< units of about a nanosecond, in each tier

enum class WorkStop {
  None,
  TooMuch,    ///< the budget is spent: an answer for the agent
  Late,       ///< the clock, a coarse second bound: a fault, because another machine could have finished
  Cancelled,  ///< a fault too
};

class WorkBudget {
 public:
  /// Counts the steps of `db`, and lets it handle values of the tier's size only.
  void attach(sqlite3* db);
  void start(const WorkTier& tier);
  /// No bounds: for loading worlds and reading them whole.
  void lift();
  /// Between these, statements run that are not the tool's and are not counted; what was spent stays spent.
  void pause() { paused_ = true; }
  void resume() { paused_ = false; }
  /// Every statement costs a thousand steps at least, which is as exactly as steps are counted.
  void start_statement(sqlite3_stmt* statement);
  /// Called by functions before they work; false: stop with an error.
  bool charge(std::size_t units);

  WorkStop stopped() const { return stopped_; }
  int value_bytes() const { return value_bytes_; }
  /// Null: nobody can cancel.
  void stop_when(const CancelFlag* cancel) { cancel_ = cancel; }
  void set_time_limit(std::chrono::milliseconds limit) { time_limit_ = limit; }

 private:
  static int count(void* context);
  bool spend_thousand_steps();

  sqlite3* db_ = nullptr;
  const CancelFlag* cancel_ = nullptr;
  std::chrono::milliseconds time_limit_{10'000};
  std::chrono::steady_clock::time_point deadline_;  ///< set at the first count: most calls never look at the clock
  bool has_deadline_ = false;
  bool lifted_ = true;
  bool paused_ = false;
  int thousands_left_ = 0;
  int value_bytes_ = kMaxValueBytes;
  std::int64_t work_left_ = 0;
  WorkStop stopped_ = WorkStop::None;
};

}  // namespace gauntlet
