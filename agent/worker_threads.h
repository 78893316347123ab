#pragma once

// Threads with small stacks, so that an episode in flight may have one of its own: ten thousand of them wait on an endpoint in little
// memory. Covered by runner_test.cpp.

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace gauntlet {

class WorkerThreads {
 public:
  /// Much more than an episode uses; only what is touched takes memory. Sanitizers make frames larger.
  static constexpr std::size_t kStackBytes = std::size_t{1} << 20;

  WorkerThreads() = default;
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;
  ~WorkerThreads();

  /// Starts one thread. False if the system allows no more. What `body` throws ends the program.
  bool start(std::function<void()> body);
  /// Waits for all.
  void join();
  std::size_t size() const { return threads_.size(); }

 private:
  std::vector<pthread_t> threads_;
};

}  // namespace gauntlet
