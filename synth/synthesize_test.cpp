#include "synth/synthesize.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/error.h"

namespace gauntlet {

namespace {

struct Made {
  std::vector<std::string> lines;
  SynthReport report;
};

SynthRequest request(int level, int count, std::uint64_t seed) {
  SynthRequest out{.spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning")), .count = count, .seed = seed};
  out.difficulty.level = level;
  out.gate.random_tries = 200;
  return out;
}

Made make(const SynthRequest& wanted) {
  Made made;
  const CancelFlag never{false};
  made.report = synthesize(
      wanted, [&](const Task& task) { made.lines.push_back(dump_json(to_json(task))); }, never);
  return made;
}

}  // namespace

TEST_CASE("the same request gives the same bytes on one, two and eight threads") {
  for (const int level : {1, 3}) {
    SynthRequest wanted = request(level, 12, 3);
    wanted.threads = 1;
    const Made one = make(wanted);
    CHECK(one.lines.size() == 12);
    for (const int threads : {2, 8}) {
      wanted.threads = threads;
      const Made more = make(wanted);
      CHECK(more.lines == one.lines);
      CHECK(more.report.dropped == one.report.dropped);
      CHECK(more.report.drawn == one.report.drawn);
      CHECK(more.report.examples == one.report.examples);
    }
  }
}

TEST_CASE("a longer request begins with the tasks of a shorter one; another seed makes others") {
  const Made longer = make(request(2, 6, 9));
  const Made shorter = make(request(2, 3, 9));
  CHECK(std::equal(shorter.lines.begin(), shorter.lines.end(), longer.lines.begin()));
  CHECK(make(request(2, 3, 10)).lines != shorter.lines);
}

TEST_CASE("every draw is accounted for: made or dropped for a reason with an example") {
  const Made made = make(request(4, 4, 1));
  std::int64_t dropped = 0;
  for (const auto& [reason, count] : made.report.dropped) {
    dropped += count;
    CHECK_FALSE(made.report.examples.at(reason).empty());
  }
  CHECK(made.report.made == 4);
  CHECK(made.report.made + dropped == made.report.drawn);
}

TEST_CASE("no two tasks of a request share id, text or solution") {
  const Made made = make(request(1, 40, 2));
  std::set<std::string> ids;
  std::set<std::string> prompts;
  for (const auto& line : made.lines) {
    const Task task = task_from_json(Json::parse(line), "");
    ids.insert(task.task_id);
    prompts.insert(task.prompt);
    CHECK(task.certificate["other_process_checked"] == false);
  }
  CHECK(ids.size() == 40);
  CHECK(prompts.size() == 40);
}

TEST_CASE("a request that cannot be met ends after its draws with the reasons counted") {
  SynthRequest impossible = request(1, 5, 1);
  impossible.difficulty.ranges = {{.name = "minimal_tool_calls", .low = 500, .high = 600}};
  impossible.max_draws = 20;
  const Made made = make(impossible);
  CHECK(made.lines.empty());
  CHECK(made.report.drawn == 20);
  CHECK(made.report.dropped.at("difficulty") > 0);
}

TEST_CASE("cancelling stops soon and keeps what was made") {
  CancelFlag cancel{false};
  int handed = 0;
  const SynthReport report = synthesize(
      request(1, 100'000, 1), [&](const Task&) { cancel = ++handed >= 1; }, cancel);
  CHECK(report.made == handed);
  CHECK(handed < 100);
}

TEST_CASE("cancelling does not wait for a task: it takes effect while nothing has come yet, and the caller is told of progress meanwhile") {
  CancelFlag cancel{false};
  SynthRequest endless = request(5, 10, 1);
  endless.difficulty.ranges = {{.name = "minimal_tool_calls", .low = 5000, .high = 6000}};
  endless.max_draws = 1'000'000'000;
  int told = 0;
  endless.progress = [&](const SynthReport& report) {
    CHECK(report.made == 0);
    cancel = ++told == 2;
  };
  const SynthReport report = synthesize(
      endless, [](const Task&) { FAIL("no task can have been made"); }, cancel);
  CHECK(told == 2);
  CHECK(report.drawn <= 2);
  CHECK_FALSE(report.dropped.contains("cancelled"));
}

TEST_CASE("an error in a worker or in the sink reaches the caller") {
  SynthRequest wrong = request(1, 2, 1);
  Json document = wrong.spec->source;
  document["tasks"]["levels"]["1"]["base"] = {"no constraint"};
  wrong.spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  CHECK_THROWS_AS(make(wrong), Error);
  const CancelFlag never{false};
  CHECK_THROWS_WITH_AS(synthesize(
                           request(1, 2, 1), [](const Task&) { fail(ErrorKind::Store, "the disk is full"); }, never),
                       "the disk is full", Error);
}

TEST_CASE("a misspelt member of the templates is refused before anything is drawn") {
  SynthRequest wrong = request(1, 2, 1);
  Json document = wrong.spec->source;
  document["tasks"]["levels"]["1"]["objektive"] = {{"minimise", 1}};
  wrong.spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  CHECK_THROWS_WITH_AS(make(wrong), doctest::Contains("/tasks/levels/1/objektive: unknown member (did you mean \"objective\"?)"), Error);
}

TEST_CASE("a count below one and a domain without templates are usage errors") {
  CHECK_THROWS_WITH_AS(make(request(1, 0, 1)), "count: found 0; accepted: 1 or more", Error);
  SynthRequest bookings = request(1, 1, 1);
  bookings.spec = std::make_shared<const EnvSpec>(load_builtin_domain("bookings"));
  CHECK_THROWS_WITH_AS(make(bookings), "environment bookings has no task templates, so tasks cannot be synthesised for it",
                       Error);
}

}  // namespace gauntlet
