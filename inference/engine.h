#pragma once

// The scheduler on a thread of its own, taking requests from any thread.

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "inference/scheduler.h"

namespace gauntlet {

class Engine {
 public:
  Engine(std::unique_ptr<Backend> backend, const EngineOptions& options);
  /// What is left ends with Failed.
  ~Engine();

  const ModelConfig& config() const { return backend_->config(); }
  int max_context() const { return scheduler_.max_context(); }
  std::string describe() const { return backend_->describe(); }

  /// From any thread. Throws as Scheduler::check, and Error(Infrastructure) when too many requests wait.
  std::uint64_t submit(EngineRequest request);
  void cancel(std::uint64_t request);
  EngineStats stats() const;

 private:
  void loop();

  std::unique_ptr<Backend> backend_;
  EngineOptions options_;
  Scheduler scheduler_;                                   ///< touched by the engine's thread only, but for check()
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::uint64_t, EngineRequest>> incoming_;
  std::vector<std::uint64_t> cancelled_;
  EngineStats stats_;
  std::uint64_t next_ = 1;
  bool closing_ = false;
  std::jthread thread_;
};

}  // namespace gauntlet
