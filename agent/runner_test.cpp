#include "agent/runner.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>

#include "agent/run_stage.h"

namespace gauntlet {
namespace {

using sample::contains;

/// Of this process.
std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

}  // namespace

TEST_CASE("a run plays every slot once, stores it, and reports each after it is stored") {
  RunStage bench(10, 4);
  const Store reader(bench.folder.file("s.db"), StoreMode::ReadOnly);
  std::size_t reported = 0;
  bench.watching.each = [&](const Episode&) { CHECK(reader.completed_slots("run").size() >= ++reported); };
  const RunSummary summary = bench.run();
  CHECK(summary.requested == 40);
  CHECK(summary.completed == 40);
  CHECK(summary.passed == 20);
  CHECK(summary.stopped_by.empty());
  CHECK(balances(summary));
  CHECK(bench.watching.started == 40);
  CHECK(bench.watching.finished.completed == 40);
  CHECK(reported == 40);
  CHECK(bench.contents().size() == 40);
  CHECK(bench.store.find_run("run")->requested == 40);
}

TEST_CASE("the observer is told of time that passes while episodes are played, and what it throws then stops the run") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    RunStage bench(2, 1);
    std::atomic<int> ticks = 0;
    bench.watching.tick = [&] {
      if (++ticks == 2 && fails) throw std::runtime_error("the terminal broke");
    };
    bench.play = [&](const Store::Slot&, int, const ChatRequest&, const CancelFlag& cancel) {
      while (ticks < 3 && !cancel.load()) std::this_thread::yield();
      return calls({submit("right")});
    };
    if (!fails) {
      CHECK(bench.run().completed == 2);
    } else {
      CHECK_THROWS_WITH_AS(bench.run(), "the terminal broke", std::runtime_error);
    }
  }
}

TEST_CASE("resuming runs exactly what is missing, and a run may grow") {
  RunStage bench(6, 2);
  const auto all = bench.plan.work;
  bench.plan.work.resize(5);
  bench.run();
  bench.plan.work = all;
  const RunSummary grown = bench.run();
  CHECK(grown.completed_before == 5);
  CHECK(grown.passed_before == 3);
  CHECK(grown.completed == 7);
  CHECK(bench.prepared == 7);
  CHECK(bench.watching.before == 5);
  CHECK(balances(grown));
  const RunSummary again = bench.run();
  CHECK(again.completed_before == 12);
  CHECK(again.passed_before == 6);
  CHECK(bench.prepared == 0);
  CHECK(bench.contents().size() == 12);
}

TEST_CASE("a run that goes on with other tasks counts those of before as asked for") {
  RunStage bench(6, 2);
  const auto all = bench.plan.work;
  bench.plan.work.assign(all.begin(), all.begin() + 5);
  bench.run();
  bench.plan.work.assign(all.begin() + 4, all.end());
  const RunSummary summary = bench.run();
  CHECK(summary.requested == 8);
  CHECK(summary.completed_before == 1);
  CHECK(balances(summary));
  CHECK(bench.store.find_run("run")->requested == 12);
}

TEST_CASE("results do not depend on how many episodes are in flight") {
  std::map<Store::Slot, std::string> one;
  for (const int in_flight : {1, 16}) {
    RunStage bench(12, 3);
    bench.plan.in_flight = in_flight;
    bench.play = [](const Store::Slot& slot, int, const ChatRequest& request, const CancelFlag&) {
      Rng rng = Rng(request.messages.size()).split(slot.task_id).split(static_cast<std::uint64_t>(slot.sample));
      if (rng.chance(500'000)) return calls({{"get_all_cities", "{}"}}, "more");
      return calls({submit(rng.chance(500'000) ? "right" : "wrong")});
    };
    bench.run();
    if (in_flight == 1) one = bench.contents();
    else CHECK(bench.contents() == one);
  }
  CHECK(one.size() == 36);
}

TEST_CASE("as many episodes are in flight as asked for, and not one more") {
  RunStage bench(40, 2);
  bench.plan.in_flight = 7;
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0, most = 0;
  bench.play = [&](const Store::Slot&, int, const ChatRequest&, const CancelFlag&) {
    std::unique_lock lock(mutex);
    most = std::max(most, ++inside);
    changed.notify_all();
    // The first of all wait until seven are inside together.
    changed.wait(lock, [&] { return most >= 7; });
    --inside;
    return calls({submit("right")});
  };
  CHECK(bench.run().completed == 80);
  CHECK(most == 7);
}

TEST_CASE("ten thousand episodes wait for the model at once, in less than two gibibytes") {
  constexpr int kInFlight = 10'000;
  RunStage bench(10, kInFlight / 10);
  bench.plan.in_flight = kInFlight;
  std::mutex mutex;
  std::condition_variable all_inside;
  int inside = 0;
  std::int64_t resident = 0;
  bench.watching.told = [&] {
    // The system gave fewer threads than asked for.
    const std::lock_guard lock(mutex);
    inside = kInFlight;
    all_inside.notify_all();
  };
  bench.play = [&](const Store::Slot&, int, const ChatRequest& request, const CancelFlag&) {
    if (request.messages.size() < 6) return calls({{"get_all_cities", "{}"}});
    std::unique_lock lock(mutex);
    if (++inside == kInFlight) {
      resident = resident_bytes();
      all_inside.notify_all();
    }
    all_inside.wait(lock, [&] { return inside >= kInFlight; });
    return calls({submit("right")});
  };
  const RunSummary summary = bench.run();
  CHECK(summary.completed == kInFlight);
  if (!bench.watching.messages.empty()) {
    MESSAGE("skipped: " << bench.watching.messages.front());
    return;
  }
  CHECK(resident > 0);
  if (!kSanitized) CHECK(resident < std::int64_t{2} << 30);
  MESSAGE(kInFlight << " episodes in flight: " << resident / (1 << 20) << " MiB resident");
}

TEST_CASE("a faulty episode is tried again, each attempt is stored, and none of the faults is scored") {
  RunStage bench(8);
  bench.plan.retries_on_fault = 2;
  bench.plan.in_flight = 1;
  bench.play = [](const Store::Slot& slot, int attempt, const ChatRequest&, const CancelFlag&) -> ChatReply {
    if (slot.task_id == "t3" && attempt < 2) throw ModelFault(FaultClass::Server, "503");
    if (slot.task_id == "t5") throw ModelFault(FaultClass::Timeout, "silent");
    return calls({submit("right")});
  };
  const RunSummary summary = bench.run();
  CHECK(summary.completed == 7);
  CHECK(summary.faults == 1);
  CHECK(balances(summary));
  std::map<std::string, int> attempts;
  bench.store.for_each_episode({.run_id = "run", .latest_attempt_only = false}, [&](const StoredEpisode& stored) {
    ++attempts[stored.episode.task_id];
    CHECK(stored.episode.score.scored != is_infrastructure(stored.episode.stop));
  });
  CHECK(attempts == std::map<std::string, int>{{"t1", 1}, {"t2", 1}, {"t3", 3}, {"t4", 1}, {"t5", 3}, {"t6", 1}, {"t7", 1}, {"t8", 1}});

  bench.play = [](const Store::Slot&, int attempt, const ChatRequest&, const CancelFlag&) {
    CHECK(attempt == 3);
    return calls({submit("right")});
  };
  const RunSummary resumed = bench.run();
  CHECK(resumed.completed_before == 7);
  CHECK(resumed.completed == 1);
  CHECK(bench.prepared == 1);
}

TEST_CASE("what another try at once would not change is left to the next time the run is given: refusals, tasks that do not fit, and time") {
  RunStage bench(5);
  bench.plan.retries_on_fault = 2;
  bench.plan.abort_after_faults = 100;
  bench.play = [](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag&) -> ChatReply {
    if (slot.task_id == "t1") throw ModelFault(FaultClass::Rejected, "401");
    if (slot.task_id == "t2") throw ModelFault(FaultClass::ContextLength, "too long");
    if (slot.task_id == "t3") throw ModelFault(FaultClass::OutOfTime, "at work");
    if (slot.task_id == "t4") throw ModelFault(FaultClass::Connection, "gone");
    return calls({submit("right")});
  };
  const RunSummary summary = bench.run();
  CHECK(summary.completed == 1);
  CHECK(summary.faults == 4);
  CHECK(balances(summary));
  std::map<std::string, int> attempts;
  bench.store.for_each_episode({.run_id = "run", .latest_attempt_only = false}, [&](const StoredEpisode& stored) { ++attempts[stored.episode.task_id]; });
  CHECK(attempts == std::map<std::string, int>{{"t1", 1}, {"t2", 1}, {"t3", 1}, {"t4", 3}, {"t5", 1}});

  bench.play = [](const Store::Slot&, int, const ChatRequest&, const CancelFlag&) { return calls({submit("right")}); };
  const RunSummary resumed = bench.run();
  CHECK(resumed.completed_before == 1);
  CHECK(resumed.completed == 4);
}

TEST_CASE("an episode that cannot be prepared is a fault of the environment") {
  RunStage bench(2);
  bench.plan.retries_on_fault = 0;
  const auto prepare = bench.plan.prepare;
  bench.plan.prepare = [&](const Store::Slot& slot, int attempt) {
    if (slot.task_id == "t2") fail(ErrorKind::Input, "the world cannot be built");
    return prepare(slot, attempt);
  };
  const RunSummary summary = bench.run();
  CHECK(summary.completed == 1);
  CHECK(summary.faults == 1);
  bench.store.for_each_episode({.run_id = "run", .task_id = "t2"}, [](const StoredEpisode& stored) {
    CHECK(stored.episode.stop == StopReason::EnvironmentFault);
    CHECK(stored.episode.fault_message == "the world cannot be built");
    CHECK(stored.episode.started_unix_ms > 0);
  });
}

TEST_CASE("faults in a row stop the run with the last of them, and the accounts balance") {
  for (const int in_flight : {1, 8}) {
    RunStage bench(100);
    bench.plan.in_flight = in_flight;
    bench.plan.abort_after_faults = 10;
    bench.play = [](const Store::Slot&, int, const ChatRequest&, const CancelFlag&) -> ChatReply { throw ModelFault(FaultClass::Connection, "nobody at port 9"); };
    const RunSummary summary = bench.run();
    CHECK(contains(summary.stopped_by, "10 episodes in a row ended in infrastructure faults, the last with: nobody at port 9"));
    CHECK(summary.completed == 0);
    CHECK(summary.faults >= 1);
    CHECK(summary.cancelled > 0);
    CHECK(balances(summary));
    CHECK(bench.prepared <= 10 + in_flight);
  }
}

TEST_CASE("a run that is aborted breaks off the episodes that still wait for the model") {
  RunStage bench(20);
  bench.plan.in_flight = 4;
  bench.plan.retries_on_fault = 0;
  bench.plan.abort_after_faults = 3;
  std::atomic<int> waiting{0};
  bench.play = [&](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag& cancel) -> ChatReply {
    if (slot.task_id != "t1") throw ModelFault(FaultClass::Connection, "gone");
    ++waiting;
    while (!cancel.load()) {
    }
    throw ModelFault(FaultClass::Cancelled, "cancelled");
  };
  const RunSummary summary = bench.run();
  CHECK(waiting == 1);
  CHECK(summary.faults >= 3);
  CHECK(balances(summary));
}

TEST_CASE("accounts balance and nothing is lost over 40 runs with random faults, cancellations and resumes") {
  Rng rng(20'260'303);
  for (int round = 0; round < 40; ++round) {
    RunStage bench(static_cast<int>(rng.range(1, 12)), static_cast<int>(rng.range(1, 3)));
    bench.plan.in_flight = static_cast<int>(rng.range(1, 9));
    bench.plan.retries_on_fault = static_cast<int>(rng.range(0, 2));
    bench.plan.abort_after_faults = static_cast<int>(rng.range(2, 8));
    const std::uint64_t seed = rng.next();
    std::atomic<int> plays{0};
    const int cancel_at = rng.chance(300'000) ? static_cast<int>(rng.range(1, 20)) : -1;
    bench.play = [&](const Store::Slot& slot, int attempt, const ChatRequest&, const CancelFlag&) -> ChatReply {
      if (++plays == cancel_at) bench.cancel.store(true);
      Rng fate = Rng(seed).split(slot.task_id).split(static_cast<std::uint64_t>(slot.sample * 100 + attempt));
      if (fate.chance(300'000)) throw ModelFault(FaultClass::Server, "503");
      return calls({submit("right")});
    };
    const std::size_t wanted = bench.plan.work.size();
    std::size_t done = 0;
    for (int tries = 0; done < wanted && tries < 200; ++tries) {
      const RunSummary summary = bench.run();
      bench.cancel.store(false);
      REQUIRE(balances(summary));
      CHECK(static_cast<std::size_t>(summary.completed_before) == done);
      done += static_cast<std::size_t>(summary.completed);
      CHECK(bench.store.completed_slots("run").size() == done);
      CHECK((summary.cancelled == 0 || !summary.stopped_by.empty()));
    }
    CHECK(done == wanted);
    CHECK(bench.store.check() == std::vector<std::string>{});
  }
}

TEST_CASE("cancelling stores what is finished, breaks off what is in flight, and leaves the rest for the next time") {
  RunStage bench(30);
  bench.plan.in_flight = 3;
  bench.play = [&](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag& cancel) -> ChatReply {
    if (slot.task_id != "t7") return calls({submit("right")});
    bench.cancel.store(true);
    while (!cancel.load()) {
    }
    throw ModelFault(FaultClass::Cancelled, "cancelled");
  };
  const RunSummary summary = bench.run();
  CHECK(summary.stopped_by == "stopped by the user");
  CHECK(summary.completed >= 6);
  CHECK(summary.cancelled >= 1);
  CHECK(summary.faults == 0);
  CHECK(balances(summary));
  CHECK(bench.store.completed_slots("run").size() == static_cast<std::size_t>(summary.completed));
}

TEST_CASE("a run that was cancelled before it began plays nothing") {
  RunStage bench(5);
  bench.cancel.store(true);
  const RunSummary summary = bench.run();
  CHECK(bench.prepared == 0);
  CHECK(summary.cancelled == 5);
  CHECK(summary.stopped_by == "stopped by the user");
}

TEST_CASE("a run of another configuration is refused, naming the difference, before anything is played") {
  RunStage bench(2);
  bench.run();
  bench.plan.record.config["limits"]["max_steps"] = 5;
  bench.plan.record.config_sha256 = "c2";
  CHECK(contains(sample::error_of([&] { bench.run(); }), "/limits/max_steps: stored 200, now 5"));
  CHECK(bench.prepared == 0);
}

}  // namespace gauntlet
