// The demo, with a tiny checkpoint in place of the built-in model, and with the built-in model itself.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "datasets/store.h"
#include "tests/cli_support.h"
#include "test_paths.h"

using gauntlet::sample::contains;
using gauntlet::sample::gauntlet_run;
using gauntlet::sample::ProcessResult;
using gauntlet::sample::TemporaryFolder;

namespace gauntlet {
namespace {

/// A folder of models whose built-in one is a tiny checkpoint with random weights.
std::string make_models(const TemporaryFolder& folder) {
  const std::string golden = std::string(kTestData) + "/golden", model = folder.file("models/gauntlet-agent");
  if (!std::filesystem::create_directories(model)) return folder.file("models");
  Json config = read_json_file(golden + "/models/v32-tiny/config.json");
  config["max_position_embeddings"] = 32'768;  // this tokenizer's tokens are short
  std::ofstream(model + "/config.json") << dump_json(config);
  std::filesystem::copy(golden + "/models/v32-tiny/model.safetensors", model + "/model.safetensors");
  std::filesystem::copy(golden + "/tokenizer/deepseek.tokenizer.json", model + "/tokenizer.json");
  return folder.file("models");
}

}  // namespace

TEST_CASE("the demo runs the built-in model through certified tasks, shows the whole path and leaves its store and exports") {
  const TemporaryFolder folder;
  const auto demo_of = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"env", "GAUNTLET_MODELS=" + make_models(folder), kProgram, "demo", "--count", "1", "--device", "cpu", "--cache-tokens", "60000"});
    return sample::run_process(std::move(words), {});
  };
  const ProcessResult demo = demo_of({"--out", folder.file("demo")});
  CAPTURE(demo.err);
  REQUIRE(demo.exit_code == 0);
  for (const char* part : {"Tasks are made and certified", "right answers", "A model plays them", "4 attempts by the built-in model", "level 3", "Agents that need no model, beside it", "pass@1 (95 % interval)",
                           "One transcript, with its verdict", "assistant", "Why another attempt fails", "does not pass", "judged again"}) {
    CAPTURE(part);
    CHECK(contains(demo.out, part));
  }
  CHECK(contains(demo.err, "4/4 episodes  passed at level 1: 0/1, 2: 0/1, 3: 0/1, named: 0/1"));
  CHECK(contains(demo.err, " tokens/s"));
  for (const char* file : {"gauntlet.db", "rl_superset/train.jsonl", "rl_nemo_gym/train.jsonl", "sft_messages/train.jsonl", "sft_sharegpt/dataset_info.json"}) {
    CAPTURE(file);
    CHECK(std::filesystem::exists(folder.file("demo") + "/" + file));
  }
  const Store store(folder.file("demo") + "/gauntlet.db", StoreMode::ReadOnly);
  const auto runs = store.list_runs();
  CHECK(std::count_if(runs.begin(), runs.end(), [](const RunRecord& run) { return run.config.at("model").value("checkpoint_sha256", "").size() == 64; }) == 1);
  const ProcessResult again = demo_of({"--out", folder.file("demo")});
  CHECK(again.exit_code == 0);
  CHECK(contains(again.err, "4/4 episodes  all stored already"));
}

TEST_CASE("the model that comes with the program solves tasks of each level and the paper's, and its sampled tokens are exported") {
  const TemporaryFolder folder;
  const ProcessResult demo = sample::run_process({kProgram, "demo", "--count", "1", "--device", "cpu", "--out", folder.file("demo")}, {});
  CAPTURE(demo.err);
  CAPTURE(demo.out);
  REQUIRE(demo.exit_code == 0);
  const Store store(folder.file("demo") + "/gauntlet.db", StoreMode::ReadOnly);
  const auto runs = store.list_runs();
  const auto own = std::find_if(runs.begin(), runs.end(), [](const RunRecord& run) { return run.config.at("model").contains("checkpoint_sha256"); });
  REQUIRE(own != runs.end());
  int passed = 0, malformed = 0;
  store.for_each_episode({.run_id = own->run_id}, [&](const StoredEpisode& stored) {
    passed += stored.episode.score.value == 1.0 ? 1 : 0;
    malformed += stored.episode.malformed_calls;
    const auto& messages = stored.episode.messages;
    CHECK(std::any_of(messages.begin(), messages.end(), [](const Message& message) { return !message.reasoning.empty(); }));
  });
  // Other processors round other ways, and one token more or less may lose a task; three of four it never loses.
  CHECK(passed >= 3);
  CHECK(malformed == 0);
  CHECK(std::filesystem::exists(folder.file("demo") + "/tokens/tokens.json"));
}

TEST_CASE("a demo without its model says so before it makes anything, and another agent may take its place") {
  const TemporaryFolder folder;
  const ProcessResult missing = sample::run_process({"env", "GAUNTLET_MODELS=" + folder.file("none"), kProgram, "demo", "--out", folder.file("demo")}, {});
  CHECK(missing.exit_code == 3);
  CHECK(contains(missing.err, "the built-in model is not there"));
  CHECK_FALSE(std::filesystem::exists(folder.file("demo")));
  const ProcessResult oracle = gauntlet_run({"demo", "--model", "oracle", "--count", "1", "--out", folder.file("demo")});
  CHECK(oracle.exit_code == 0);
  CHECK(contains(oracle.out, "4 attempts by oracle"));
  CHECK(contains(oracle.err, "passed at level 1: 1/1, 2: 1/1, 3: 1/1, named: 1/1"));
}

}  // namespace gauntlet
