#pragma once

// Fork and join over a fixed set of threads. The caller works too, and waits only for items that another thread has begun: a thread that has
// lost its core holds nothing up. Between calls the workers spin for some microseconds and then sleep, because a forward pass forks hundreds of
// times in a row.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace gauntlet {

class ThreadPool {
 public:
  /// `threads` counts the caller; 0: one for each core that this process may use (usable_cores.h).
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls work(item, thread) for each item in [0, items), `thread` in [0, threads()) for scratch memory, and returns when all are done. Which
  /// thread takes which item is not determined; `work` must not throw. From one thread at a time.
  template <class Work>
  void run(std::size_t items, Work&& work) {
    using Plain = std::remove_reference_t<Work>;
    start({.call = [](void* context, std::size_t item, int thread) { (*static_cast<Plain*>(context))(item, thread); }, .context = &work}, items);
  }

 private:
  struct Job {
    void (*call)(void*, std::size_t, int) = nullptr;
    void* context = nullptr;
  };
  void start(Job job, std::size_t items);
  bool take(int thread);
  void loop(int thread);

  std::vector<std::jthread> workers_;
  Job job_;                               ///< written only while no item is left; read only by who has taken one
  std::atomic<std::uint64_t> ticket_{0};  ///< call number (16 bits), its items (24), the next one (24)
  std::atomic<std::size_t> left_{0};      ///< items that are not done
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<bool> closing_{false};
};

}  // namespace gauntlet
