#include "inference/cpu/thread_pool.h"

#include "core/error.h"
#include "inference/cpu/usable_cores.h"

namespace gauntlet {
namespace {

constexpr int kSpins = 4000;
constexpr int kItemBits = 24;
constexpr std::uint64_t kItemMask = (std::uint64_t{1} << kItemBits) - 1;

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

/// Does one item, if there is one. Taking it and finding out that it is there are one step, so a thread that comes late takes nothing of a call
/// that is over.
bool ThreadPool::take(int thread) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & kItemMask) >= ((ticket >> kItemBits) & kItemMask)) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire));
  job_.call(job_.context, static_cast<std::size_t>(ticket & kItemMask), thread);
  left_.fetch_sub(1, std::memory_order_release);
  return true;
}

void ThreadPool::start(Job job, std::size_t items) {
  if (items == 0) return;
  if (items == 1 || workers_.empty()) {
    for (std::size_t i = 0; i < items; ++i) job.call(job.context, i, 0);
    return;
  }
  require(items < kItemMask, ErrorKind::Internal, "thread pool: too many items");
  job_ = job;
  left_.store(items, std::memory_order_relaxed);
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  ticket_.store((static_cast<std::uint64_t>(generation & 0xffffU) << (2 * kItemBits)) | (static_cast<std::uint64_t>(items) << kItemBits), std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  while (take(0)) {
  }
  for (int spins = 0; left_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      relax();
    } else {
      std::this_thread::yield();  // A worker lost its core amid an item; let it have this one.
    }
  }
}

void ThreadPool::loop(int thread) {
  while (true) {
    const std::uint32_t seen = generation_.load(std::memory_order_acquire);
    if (closing_.load()) return;
    while (take(thread)) {
    }
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        relax();
      } else {
        generation_.wait(seen, std::memory_order_acquire);
      }
    }
  }
}

}  // namespace gauntlet
