#include "inference/server/growing_threads.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <thread>

namespace gauntlet {
namespace {

using std::chrono::milliseconds;

TEST_CASE("jobs that wait do not keep others from running, up to the limit") {
  GrowingThreads threads(8, milliseconds(10'000));
  std::latch running(8), release(1);
  std::atomic<int> late = 0;
  for (int i = 0; i < 8; ++i) {
    threads.run([&] {
      running.count_down();
      release.wait();
    });
  }
  running.wait();  // all eight at once
  threads.run([&] { ++late; });
  CHECK(threads.threads() == 8);
  CHECK(late == 0);
  release.count_down();
  threads.finish();
  CHECK(late == 1);
  CHECK(threads.threads() == 0);
}

TEST_CASE("threads without work leave") {
  GrowingThreads threads(4, milliseconds(1));
  std::latch done(4);
  for (int i = 0; i < 4; ++i) threads.run([&] { done.arrive_and_wait(); });
  while (threads.threads() > 0) std::this_thread::yield();
  std::latch again(1);
  threads.run([&] { again.count_down(); });
  again.wait();
}

TEST_CASE("where no thread can be had, a job is given back rather than kept") {
  GrowingThreads none(0, milliseconds(1));
  bool ran = false;
  CHECK_FALSE(none.run([&] { ran = true; }));
  none.finish();
  CHECK_FALSE(ran);
  GrowingThreads one(1, milliseconds(1));
  CHECK(one.run([&] { ran = true; }));
  one.finish();
  CHECK(ran);
}

TEST_CASE("every job of many threads runs once") {
  std::atomic<int> ran = 0;
  {
    GrowingThreads threads(3, milliseconds(0));
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        for (int j = 0; j < 500; ++j) threads.run([&] { ++ran; });
      });
    }
    callers.clear();
    threads.finish();
  }
  CHECK(ran == 2000);
}

}  // namespace
}  // namespace gauntlet
