// What a run does when the store or the observer cannot take its results.

#include <doctest/doctest.h>

#include <optional>

#include "agent/run_stage.h"
#include "datasets/sqlite.h"

namespace gauntlet {

using sample::contains;

TEST_CASE("a store that is locked for a while is waited for, and nothing is lost") {
  RunStage bench(20);
  bench.store = Store(bench.folder.file("s.db"), StoreMode::ReadWrite, std::chrono::milliseconds(1));
  std::optional<Database> other;
  bench.play = [&](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag&) {
    if (slot.task_id == "t1") {
      other.emplace(bench.folder.file("s.db"), DatabaseAccess::ReadWrite, std::chrono::seconds(1));
      other->execute("BEGIN IMMEDIATE", "lock the store");
    }
    return calls({submit("right")});
  };
  bench.plan.in_flight = 1;
  bench.watching.told = [&] { other.reset(); };  // On the first complaint the other one goes away.
  const RunSummary summary = bench.run();
  CHECK(summary.completed == 20);
  REQUIRE(bench.watching.messages.size() == 2);
  CHECK(contains(bench.watching.messages[0], "trying again for 60 s"));
  CHECK(contains(bench.watching.messages[0], "is locked"));
  CHECK(bench.watching.messages[1] == "the store takes results again");
  CHECK(bench.contents().size() == 20);
}

TEST_CASE("a store that stays locked stops the run with its error; what was reported is stored, and the rest is played on resume") {
  RunStage bench(400);
  bench.store = Store(bench.folder.file("s.db"), StoreMode::ReadWrite, std::chrono::milliseconds(1));
  bench.plan.store_retry_seconds = 0;
  std::optional<Database> other;
  bench.watching.each = [&](const Episode&) {
    if (bench.watching.stored.size() != 5) return;
    other.emplace(bench.folder.file("s.db"), DatabaseAccess::ReadWrite, std::chrono::seconds(1));
    other->execute("BEGIN IMMEDIATE", "lock the store");
  };
  bench.plan.in_flight = 1;
  CHECK(contains(sample::error_of([&] { bench.run(); }), "is locked"));
  CHECK(bench.watching.finished.stopped_by == "the store takes no more results");
  CHECK(balances(bench.watching.finished));
  other.reset();
  bench.watching.each = nullptr;
  CHECK(bench.store.completed_slots("run").size() == bench.watching.stored.size());
  const RunSummary resumed = bench.run();
  CHECK(resumed.completed_before + resumed.completed == 400);
  CHECK(bench.contents().size() == 400);
}

TEST_CASE("a second process that plays the same run is found out at once") {
  RunStage bench(3);
  bench.plan.in_flight = 1;
  Store second(bench.folder.file("s.db"), StoreMode::ReadWrite);
  bench.play = [&](const Store::Slot& slot, int, const ChatRequest&, const CancelFlag&) {
    if (slot.task_id == "t1") sample::put(second, sample::episode("run", "t1"));
    return calls({submit("right")});
  };
  CHECK(contains(sample::error_of([&] { bench.run(); }), "another process plays run run too"));
  CHECK(bench.store.check() == std::vector<std::string>{});
}

TEST_CASE("an observer that cannot go on stops the run with its error, and what is stored stays") {
  RunStage bench(50);
  bench.plan.in_flight = 1;
  bench.watching.each = [](const Episode&) { fail(ErrorKind::Infrastructure, "standard output is closed"); };
  CHECK(sample::error_of([&] { bench.run(); }) == "standard output is closed");
  CHECK(balances(bench.watching.finished));
  bench.watching.each = nullptr;
  const RunSummary resumed = bench.run();
  CHECK(resumed.completed_before >= 1);
  CHECK(resumed.completed_before + resumed.completed == 50);
}

}  // namespace gauntlet
