#include "agent/progress.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace gauntlet {
namespace {

using std::chrono::milliseconds;

/// A progress whose time is told and whose output is read back.
struct Bench {
  explicit Bench(bool refresh) : out(::open_memstream(&text, &size), &std::fclose), progress(out.get(), refresh, [this] { return now; }) {}
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    out.reset();
    std::free(text);
  }

  /// What was written since the last call.
  std::string written() {
    std::fflush(out.get());
    std::string fresh(text + read, size - read);
    read = size;
    return fresh;
  }
  void store(StopReason stop, double value = 0.0, std::int64_t tokens = 0) {
    Episode episode;
    episode.stop = stop;
    episode.score.scored = !is_infrastructure(stop);
    episode.score.value = value;
    episode.usage.completion_tokens = tokens;
    progress.on_stored(episode);
  }

  void store_fault(const std::string& fault, const std::string& message) {
    Episode episode;
    episode.stop = StopReason::ModelFault;
    episode.fault_class = fault;
    episode.fault_message = message;
    progress.on_stored(episode);
  }

  char* text = nullptr;
  std::size_t size = 0;
  std::size_t read = 0;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> out;
  ConsoleProgress::Clock::time_point now{};
  ConsoleProgress progress;
};

}  // namespace

TEST_CASE("off a terminal a plain line comes every five seconds, with rate, passes and time left") {
  Bench bench(false);
  bench.progress.on_start(100, 0);
  CHECK(bench.written().empty());
  bench.now += milliseconds(4999);
  bench.store(StopReason::Submitted, 1.0);
  CHECK(bench.written().empty());
  bench.now += milliseconds(1);
  bench.store(StopReason::Answered);
  CHECK(bench.written() == "2/100 episodes  0.4/s  1 of 2 pass  4m05s left\n");
  bench.now += milliseconds(4999);
  bench.store(StopReason::Submitted, 1.0);
  CHECK(bench.written().empty());
}

TEST_CASE("on a terminal one line is written over ten times a second, and stays at the end") {
  Bench bench(true);
  bench.progress.on_start(3, 0);
  bench.now += milliseconds(100);
  bench.store(StopReason::Submitted, 1.0);
  CHECK(bench.written() == "\r\033[K1/3 episodes  10.0/s  1 of 1 pass  0s left");
  bench.now += milliseconds(99);
  bench.store(StopReason::Submitted, 1.0);
  CHECK(bench.written().empty());
  bench.now += milliseconds(801);
  bench.store(StopReason::Submitted);
  CHECK(bench.written() == "\r\033[K3/3 episodes  3.0/s  2 of 3 pass  0s left");
  bench.progress.on_finish({.requested = 3, .completed = 3, .passed = 2});
  CHECK(bench.written() == "\r\033[K3/3 episodes  3.0/s  2 of 3 pass\n");
}

TEST_CASE("a resumed run counts what was there, but not for its rate") {
  Bench bench(false);
  bench.progress.on_start(10'010, 10);
  CHECK(bench.written() == "resuming: 10 of 10010 episodes are stored already\n");
  bench.now += milliseconds(10'000);
  bench.store(StopReason::Submitted, 1.0, 500);
  CHECK(bench.written() == "11/10010 episodes  0.1/s  1 of 1 pass  50 tokens/s  27h46m left\n");
}

TEST_CASE("of a run that was finished before, its own passes are told, and no rate") {
  Bench bench(false);
  bench.progress.on_start(20, 20);
  bench.progress.on_finish({.requested = 20, .completed_before = 20, .passed_before = 12});
  CHECK(bench.written() == "20/20 episodes  all stored already, 12 of them pass\n");
}

TEST_CASE("faults are shown, the first of each class with its message, not counted as done, and the end says what becomes of them") {
  Bench bench(false);
  bench.progress.on_start(2, 0);
  bench.store_fault("connection", "nobody at port 9");
  CHECK(bench.written() == "fault (connection): nobody at port 9\n");
  bench.now += milliseconds(5000);
  bench.store_fault("connection", "nobody at port 9");
  CHECK(bench.written() == "0/2 episodes  0.0/s  0 of 0 pass  2 faults\n");
  bench.progress.on_message("waiting for the disk");
  CHECK(bench.written() == "waiting for the disk\n");
  bench.progress.on_finish({.requested = 2, .faults = 1, .cancelled = 1, .stopped_by = "stopped by the user"});
  CHECK(bench.written() ==
        "0/2 episodes  0.0/s  0 of 0 pass  2 faults\nstopped early: stopped by the user\n"
        "1 episode ended in infrastructure faults; they are not scored, and the same command tries them again\n");
}

TEST_CASE("a run that ends in no time at all has finite figures") {
  Bench bench(false);
  bench.progress.on_start(1, 0);
  bench.store(StopReason::Submitted, 1.0, 100);
  bench.progress.on_finish({.requested = 1, .completed = 1, .passed = 1});
  CHECK(bench.written() == "1/1 episodes  0.0/s  1 of 1 pass\n");
}

TEST_CASE("tokens of a model that tells them are a rate of the last ten seconds while it runs, and of the whole run at its end") {
  Bench bench(false);
  std::int64_t sampled = 1000;  // of an earlier run
  bench.progress.watch_tokens([&] { return sampled; });
  bench.progress.on_start(4, 0);
  bench.now += milliseconds(4999);
  sampled += 500;
  bench.progress.on_tick();
  CHECK(bench.written().empty());
  bench.now += milliseconds(1);
  bench.progress.on_tick();
  CHECK(bench.written() == "0/4 episodes  0.0/s  0 of 0 pass  100 tokens/s\n");
  bench.now += milliseconds(5000);
  sampled += 1500;
  bench.progress.on_tick();
  CHECK(bench.written() == "0/4 episodes  0.0/s  0 of 0 pass  200 tokens/s\n");
  bench.now += milliseconds(5000);
  sampled += 1500;
  bench.store(StopReason::Submitted, 1.0, 3000);
  CHECK(bench.written() == "1/4 episodes  0.1/s  1 of 1 pass  300 tokens/s  45s left\n");
  bench.now += milliseconds(20'000);
  bench.progress.on_tick();
  CHECK(bench.written() == "1/4 episodes  0.0/s  1 of 1 pass  1m45s left\n");
  bench.progress.on_finish({.requested = 4, .completed = 1, .passed = 1, .cancelled = 3});
  CHECK(bench.written() == "1/4 episodes  0.0/s  1 of 1 pass  100 tokens/s\n");
}

TEST_CASE("without such a model nothing is written between episodes but on a terminal") {
  Bench plain(false), terminal(true);
  for (Bench* bench : {&plain, &terminal}) {
    bench->progress.on_start(4, 0);
    bench->now += milliseconds(5000);
    bench->progress.on_tick();
  }
  CHECK(plain.written().empty());
  CHECK(terminal.written() == "\r\033[K0/4 episodes  0.0/s  0 of 0 pass");
}

TEST_CASE("passes are shown by level where the levels are known") {
  Bench bench(true);
  bench.progress.count_by_level([level = 0](const Episode&) mutable { return level++ / 2 + 1; });
  bench.progress.on_start(6, 0);
  bench.now += milliseconds(100);
  bench.progress.on_tick();
  CHECK(bench.written() == "\r\033[K0/6 episodes  none done yet");
  for (const double value : {1.0, 0.0, 1.0}) bench.store(StopReason::Submitted, value);
  bench.store_fault("connection", "gone");
  bench.written();
  bench.now += milliseconds(100);
  bench.progress.on_tick();
  CHECK(bench.written() == "\r\033[K3/6 episodes  passed at level 1: 1/2, 2: 1/1  1 faults  0s left");
}

TEST_CASE("output that nobody reads any more does not stop a run") {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> full(std::fopen("/dev/full", "w"), &std::fclose);
  REQUIRE(full != nullptr);
  ConsoleProgress progress(full.get(), false);
  progress.on_start(2, 1);
  progress.on_message("m");
  progress.on_finish({.requested = 2});
}

}  // namespace gauntlet
