#pragma once

// Threads that come when there is work and go when there is none for a while.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace gauntlet {

/// cpp-httplib holds one thread for each open connection, idle ones too. A pool of fixed size would be filled by as many clients that wait or
/// read slowly, and nobody else would be served; so there are as many threads as connections, and no more than that.
class GrowingThreads {
 public:
  GrowingThreads(std::size_t most, std::chrono::milliseconds idle_time) : most_(most), idle_time_(idle_time) {}
  ~GrowingThreads() { finish(); }
  GrowingThreads(const GrowingThreads&) = delete;
  GrowingThreads& operator=(const GrowingThreads&) = delete;

  /// On a waiting thread, on a new one, or when one of the `most` becomes free. Jobs must not throw. False when there is no thread
  /// and none can be had: the job is not kept.
  bool run(std::function<void()> job);
  /// Blocks until every job has ended.
  void finish();

  std::size_t threads() const;

 private:
  void work();

  std::size_t most_;
  std::chrono::milliseconds idle_time_;
  mutable std::mutex mutex_;
  std::condition_variable work_came_, thread_left_;
  std::deque<std::function<void()>> jobs_;
  std::size_t threads_ = 0, waiting_ = 0;
  bool closing_ = false;
};

}  // namespace gauntlet
