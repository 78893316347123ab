#include "inference/cpu/thread_pool.h"

#include "inference/cpu/usable_cores.h"

namespace gauntlet {
namespace {

constexpr int kSpins = 4000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  const int count = threads > 0 ? threads : usable_cores();
  for (int i = 1; i < count; ++i) workers_.emplace_back([this, i] { loop(i); });
}

ThreadPool::~ThreadPool() {
  closing_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
}

void ThreadPool::take(int thread) {
  for (std::size_t item = next_.fetch_add(1, std::memory_order_relaxed); item < items_; item = next_.fetch_add(1, std::memory_order_relaxed)) job_.call(job_.context, item, thread);
}

void ThreadPool::start(Job job, std::size_t items) {
  if (items == 0) return;
  if (items == 1 || workers_.empty()) {
    for (std::size_t i = 0; i < items; ++i) job.call(job.context, i, 0);
    return;
  }
  job_ = job;
  items_ = items;
  next_.store(0, std::memory_order_relaxed);
  running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  take(0);
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();  // A worker lost its core; let it have this one.
    }
  }
}

void ThreadPool::loop(int thread) {
  std::uint32_t seen = 0;
  while (true) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        relax();
      } else {
        generation_.wait(seen, std::memory_order_acquire);
      }
    }
    seen = generation_.load(std::memory_order_acquire);
    if (closing_.load()) return;
    take(thread);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace gauntlet
