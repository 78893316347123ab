// The programs in examples/ do what they say.

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/cli_support.h"
#include "test_paths.h"

using gauntlet::sample::contains;
using gauntlet::sample::gauntlet_run;
using gauntlet::sample::lines_of;

namespace gauntlet {
namespace {

sample::ProcessResult run_example(const std::string& name, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {(std::filesystem::path(kProgram).parent_path() / name).string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return sample::run_process(words);
}

}  // namespace

TEST_CASE("the scripted episode passes with the right answer and fails with a wrong one") {
  const auto result = run_example("example_scripted_episode", {std::string(kTestData) + "/../examples/library.json"});
  CHECK(result.exit_code == 0);
  CHECK(contains(result.out, "2 messages, 2 tool calls, value 1: all "));
  CHECK(contains(result.out, "2 messages, 2 tool calls, value 0: "));
  CHECK(contains(result.out, "  fails the "));
}

TEST_CASE("the failures of a run are counted by requirement") {
  const sample::TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "greedy", "--run", "bad"}).exit_code == 0);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--run", "good"}).exit_code == 0);
  const auto bad = run_example("example_failures", {store, "bad"}), good = run_example("example_failures", {store, "good"});
  CHECK(contains(bad.out, "2 scored episodes, 0 pass, mean partial credit 0."));
  CHECK(lines_of(bad.out).size() > 1);
  CHECK(good.out == "2 scored episodes, 2 pass, mean partial credit 1.000\n");
  CHECK(run_example("example_failures", {folder.file("none.db")}).exit_code == 3);
}

}  // namespace gauntlet
