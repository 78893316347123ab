#include "datasets/report.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "datasets/sample_store.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

/// t1 (level 1): pass, fail. t2 (level 2): pass, fault made good by a passing second attempt. t3 (level 3): fault, cancelled.
/// 8 were requested, so 2 are missing.
Store mixed_store(const std::string& path) {
  Store store = sample::store(path, 3, 8);
  sample::put(store, sample::episode("r", "t1", 0));
  sample::put(store, sample::failed_episode("r", "t1", 1));
  sample::put(store, sample::episode("r", "t2", 0));
  sample::put(store, sample::faulty_episode("r", "t2", 1, 0));
  sample::put(store, sample::episode("r", "t2", 1, 1));
  sample::put(store, sample::faulty_episode("r", "t3", 0));
  Episode cancelled = sample::faulty_episode("r", "t3", 1);
  cancelled.stop = StopReason::Cancelled;
  sample::put(store, cancelled);
  return store;
}

TEST_CASE("every requested episode is accounted for") {
  const sample::TemporaryFolder folder;
  const Report report = build_report(mixed_store(folder.file("s.db")), "r");
  CHECK(report.requested == 8);
  CHECK(report.completed == 4);
  CHECK(report.failed == 1);
  CHECK(report.cancelled == 1);
  CHECK(report.missing == 2);
  CHECK(report.overall.n == 6);
  CHECK(report.overall.stop_reasons ==
        std::map<std::string, std::int64_t>{{"cancelled", 1}, {"model_fault", 1}, {"submitted", 4}});
}

TEST_CASE("pass rates leave faults out of the denominator and say how many tasks have none") {
  const sample::TemporaryFolder folder;
  const GroupReport overall = build_report(mixed_store(folder.file("s.db")), "r").overall;
  CHECK(overall.scored == 4);
  CHECK(overall.passed == 3);
  CHECK(overall.tasks == 3);
  CHECK(overall.tasks_unscored == 1);
  CHECK(overall.pass_at.at(1).value == doctest::Approx(0.75));
  CHECK(overall.pass_at.at(1).tasks == 2);
  CHECK(overall.pass_at.at(2).value == 1.0);
  CHECK(overall.pass_hat.at(2).value == doctest::Approx(0.5));
  CHECK(overall.wilson->low == doctest::Approx(0.3006).epsilon(0.001));
  CHECK(overall.means.tool_calls == 3.0);
}

TEST_CASE("medians and the share of malformed calls count the episodes that were neither faulty nor cancelled") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"), 2, 5);
  const auto put = [&](const std::string& task, int slot, std::int64_t ms, std::int64_t tokens, int calls, int malformed, bool faulty = false) {
    Episode episode = faulty ? sample::faulty_episode("r", task, slot) : sample::episode("r", task, slot);
    episode.wall_ms = ms;
    episode.usage = {.prompt_tokens = 10 * tokens, .completion_tokens = tokens, .reasoning_tokens = 0, .cached_tokens = 0};
    episode.tool_calls = calls;
    episode.malformed_calls = malformed;
    sample::put(store, episode);
  };
  put("t1", 0, 1000, 10, 5, 0);
  put("t1", 1, 9000, 90, 6, 1);
  put("t1", 2, 2000, 30, 8, 0);
  put("t2", 0, 4000, 20, 0, 0);
  put("t2", 1, 99'000, 999, 50, 50, true);
  const Report report = build_report(store, "r");
  const Json json = to_json(report);
  CHECK(json.at("medians") == Json{{"prompt_tokens", 250.0}, {"completion_tokens", 25.0}, {"wall_ms", 3000.0}});
  CHECK(json.at("by_level").at("1").at("medians").at("wall_ms") == 2000.0);
  CHECK(json.at("calls") == 20);
  CHECK(json.at("malformed_calls") == 1);
  CHECK(json.at("malformed_share") == 0.05);
  CHECK(json.at("by_level").at("2").at("malformed_share").is_null());
  CHECK(contains(report_text(report), "median of an episode: 3.0 s, 25 completion tokens\nmalformed calls: 1 of 20 (5.00 %)\n"));
}

TEST_CASE("a group that was never scored has no pass rate, which is not a rate of 0") {
  const sample::TemporaryFolder folder;
  const Json json = to_json(build_report(mixed_store(folder.file("s.db")), "r"));
  const Json& level3 = json.at("by_level").at("3");
  CHECK(level3.at("n") == 2);
  CHECK(level3.at("scored") == 0);
  CHECK(level3.at("infrastructure_faults") == 1);
  CHECK(level3.at("cancelled") == 1);
  CHECK(level3.at("pass_at") == Json::object());
  CHECK(level3.at("wilson").is_null());
}

TEST_CASE("a run of faults alone, or without an episode, has no means and medians, which are not 0") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"), 1, 2);
  for (const bool with_fault : {false, true}) {
    CAPTURE(with_fault);
    if (with_fault) sample::put(store, sample::faulty_episode("r", "t1", 0));
    const Report report = build_report(store, "r");
    const Json json = to_json(report);
    for (const char* group : {"means", "medians"}) {
      for (const auto& item : json.at(group).items()) CHECK(item.value().is_null());
    }
    CHECK(json.at("means").size() == 9);
    CHECK(json.at("medians").size() == 3);
    CHECK(contains(report_text(report), "median of an episode: –\n"));
    CHECK_FALSE(contains(report_text(report), "0.0"));
  }
  CHECK(contains(report_text(build_report(store, "r")), "        –      –      –        –\n"));
}

TEST_CASE("the JSON form has the contract's fields at the top, by domain, by level and by both") {
  const sample::TemporaryFolder folder;
  const Json json = to_json(build_report(mixed_store(folder.file("s.db")), "r"));
  CHECK(json.at("run") == "r");
  CHECK(json.at("requested") == 8);
  for (const char* field : {"n", "scored", "infrastructure_faults", "cancelled", "pass_at", "pass_hat", "stop_reasons"}) {
    CHECK(json.at(field) == json.at("overall").at(field));
    CHECK(json.at("by_domain").at("trip_planning").contains(field));
    CHECK(json.at("by_level").at("1").contains(field));
    CHECK(json.at("by_domain_level").at("trip_planning").at("2").contains(field));
  }
  CHECK(json.at("pass_at").at("1").at("value") == 0.75);
  CHECK(json.at("pass_at").at("1").at("low") < 0.75);
  CHECK(json.at("pass_at").at("1").at("high") == 1.0);
}

TEST_CASE("tasks without a level go by their names where they have one") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"), 0, 2);
  Task paper = sample::task("p", 0);
  paper.named = "paper";
  store.put_tasks(std::vector<Task>{paper, sample::task("q", 0)});
  sample::put(store, sample::episode("r", "p", 0));
  Report report = build_report(store, "r");
  CHECK(contains(report_text(report), "  paper "));
  CHECK_FALSE(contains(report_text(report), "no level"));
  CHECK(to_json(report).at("by_named").at("paper").at("n") == 1);
  sample::put(store, sample::episode("r", "q", 0));
  report = build_report(store, "r");
  CHECK(contains(report_text(report), "no level"));  // some have no name
  CHECK(report.by_level.at(0).n == 2);
}

TEST_CASE("the text form shows accounting, rates with intervals and stop reasons") {
  const sample::TemporaryFolder folder;
  const std::string text = report_text(build_report(mixed_store(folder.file("s.db")), "r"));
  CHECK(contains(text, "requested 8 = completed 4 + failed 1 + cancelled 1 + missing 2"));
  CHECK(contains(text, "75.0 ("));
  CHECK(contains(text, "pass^2 %"));
  CHECK(contains(text, "stopped by: cancelled 1 model_fault 1 submitted 4"));
  CHECK(contains(text, "1 tasks have no scored episode"));
}

TEST_CASE("the tables fit a terminal of 100 columns") {
  const sample::TemporaryFolder folder;
  std::istringstream lines(report_text(build_report(mixed_store(folder.file("s.db")), "r")));
  for (std::string line; std::getline(lines, line);) {
    const auto columns = std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
    CAPTURE(line);
    CHECK(columns <= 100);
  }
}

TEST_CASE("faults are counted by their class") {
  const sample::TemporaryFolder folder;
  Store store = mixed_store(folder.file("s.db"));
  Episode lost = sample::faulty_episode("r", "t3", 2);
  lost.fault_class = "connection";
  sample::put(store, lost);
  const Report report = build_report(store, "r");
  const Json json = to_json(report);
  CHECK(json.at("fault_classes") == Json{{"connection", 1}, {"timeout", 1}});  // neither the cancelled one nor the one made good
  CHECK(json.at("by_level").at("1").at("fault_classes") == Json::object());
  CHECK(contains(report_text(report), "\nfaults: connection 1 timeout 1\n"));
}

TEST_CASE("an empty name reports on the run of which an episode was stored last, and an unknown one lists what there is") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"), 3, 8);
  RunRecord later = sample::run("second", 1);
  later.started_unix_ms += 1000;
  store.put_run(later);
  CHECK(build_report(store, "").run.run_id == "second");  // the youngest, since there is no episode
  CHECK(build_report(store, "").missing == 1);
  sample::put(store, sample::episode("second", "t1", 0));
  CHECK(build_report(store, "").run.run_id == "second");
  sample::put(store, sample::episode("r", "t1", 0));  // the older one is resumed
  CHECK(build_report(store, "").run.run_id == "r");
  CHECK(contains(report_text(build_report(store, "")), "run r (the last that an episode was stored for; other runs: 1, see --run)\n"));
  CHECK(contains(report_text(build_report(store, "r")), "run r\n"));
  CHECK(contains(error_of([&] { build_report(store, "secnd"); }), "did you mean \"second\"?"));
  const Store empty(folder.file("empty.db"), StoreMode::Create);
  CHECK(contains(error_of([&] { build_report(empty, ""); }), "it holds no run"));
}

}  // namespace
}  // namespace gauntlet
