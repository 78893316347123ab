// What export refuses before it writes anything.

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/cli_support.h"
#include "test_paths.h"

namespace gauntlet {

using sample::contains;
using sample::gauntlet_run;
using sample::ProcessResult;

TEST_CASE("filters of an export that would mean nothing, or everything, are refused, and no folder is left") {
  const sample::TemporaryFolder folder;
  const std::string store = folder.file("t.db"), out = folder.file("out");
  sample::make_small_store(store);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "noop"}).exit_code == 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"rl", "--limit", "-3"}, "--limit: found -3; accepted: 0 (all) or more"},
      {{"rl", "--level", "-4"}, "--level: found -4; accepted: 1 to 5, or 0 for tasks without a level"},
      {{"rl", "--level", "-1"}, "--level: found -1; accepted: "},
      {{"sft", "--level", "-1"}, "--level: found -1; accepted: "},
      {{"rl", "--level", "9"}, "--level: found 9; " + store + " holds tasks of level 1"},
      {{"rl", "--level", "2", "--environment", "trip_planning"}, "--level: found 2; " + store + " holds tasks of trip_planning of level 1"},
      {{"sft", "--level", "9"}, "--level: found 9; " + store + " holds tasks of level 1"},
      {{"rl", "--environment", "trips"}, "--environment: found \"trips\"; " + store + " holds tasks of trip_planning"},
      {{"sft", "--min-score", "nan"}, "--min-score: found nan; accepted: 0 to 1"},
      {{"sft", "--min-score", "1.5"}, "--min-score: found 1.5; accepted: 0 to 1"},
      {{"sft"}, "no episode is left; left out: below the least score (2)"},
      {{"tokens", "--text", "--min-score", "nan"}, "--min-score: found nan; accepted: 0 to 1"},
      {{"tokens", "--text", "--level", "9"}, "--level: found 9; " + store + " holds tasks of level 1"}};
  for (const auto& [more, message] : cases) {
    std::vector<std::string> words = {"export"};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--db", store, "--out", out});
    const ProcessResult result = gauntlet_run(words);
    CAPTURE(result.err);
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, message));
    CHECK_FALSE(std::filesystem::exists(out));
  }
}

TEST_CASE("a limit of 0 means all, as for show, and existing files are named with the option that replaces them") {
  const sample::TemporaryFolder folder;
  const std::string store = folder.file("t.db"), out = folder.file("out");
  sample::make_small_store(store);
  CHECK(parse_json(gauntlet_run({"export", "rl", "--db", store, "--out", out, "--limit", "0", "--json"}).out, "summary").at("rows") == 2);
  const ProcessResult again = gauntlet_run({"export", "rl", "--db", store, "--out", out});
  CHECK(again.exit_code == 2);
  CHECK(contains(again.err, "train.jsonl exists already; choose another folder, or give --overwrite"));
  CHECK(parse_json(gauntlet_run({"export", "rl", "--db", store, "--out", out, "--limit", "1", "--overwrite", "--json"}).out, "summary").at("rows") == 1);
}

}  // namespace gauntlet
