#pragma once

// What several threads make in any order, handed over in the order of its numbers, so that a result does not depend on how many threads
// there are.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace gauntlet {

template <class T>
class OrderedResults {
 public:
  /// `window`: how far ahead of the consumer results may be made.
  explicit OrderedResults(std::size_t window) : window_(window) {}

  /// Waits while the consumer is too far behind. False when the production has been stopped.
  bool wait_for_turn(std::int64_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || index < next_ + static_cast<std::int64_t>(window_); });
    return !stopped_;
  }
  void put(std::int64_t index, T result) {
    const std::lock_guard lock(mutex_);
    results_.emplace(index, std::move(result));
    changed_.notify_all();
  }
  /// The consumer's next take() throws it.
  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    changed_.notify_all();
  }
  /// Nothing if the next one is not there within `patience`.
  std::optional<T> take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    const bool there = changed_.wait_for(lock, patience, [&] { return error_ || results_.contains(next_); });
    if (error_) std::rethrow_exception(error_);
    if (!there) return std::nullopt;
    auto node = results_.extract(next_++);
    changed_.notify_all();
    return std::move(node.mapped());
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::size_t window_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::int64_t, T> results_;
  std::int64_t next_ = 0;
  bool stopped_ = false;
  std::exception_ptr error_;
};

}  // namespace gauntlet
