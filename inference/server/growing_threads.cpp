#include "inference/server/growing_threads.h"

#include <system_error>
#include <thread>

namespace gauntlet {

bool GrowingThreads::run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  if (waiting_ >= jobs_.size()) {
    work_came_.notify_one();
    return true;
  }
  if (threads_ < most_) {
    try {
      // Detached: it may end at any time, and finish() counts.
      std::thread([this] { work(); }).detach();
      ++threads_;
    } catch (const std::system_error&) {
      // The system has no more threads: the job waits for one of those that are there.
    }
  }
  if (threads_ > 0) return true;
  jobs_.pop_back();
  return false;
}

void GrowingThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++waiting_;
    const bool found = work_came_.wait_for(lock, idle_time_, [this] { return !jobs_.empty() || closing_; });
    --waiting_;
    if (!found || jobs_.empty()) break;
    const auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
  --threads_;
  thread_left_.notify_all();
}

void GrowingThreads::finish() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  work_came_.notify_all();
  thread_left_.wait(lock, [this] { return threads_ == 0; });
}

std::size_t GrowingThreads::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_;
}

}  // namespace gauntlet
