#include "cli/builtin_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "core/json.h"
#include "inference/sample_checkpoint.h"
#include "tests/process.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using sample::ScratchFolder;

const std::string kGolden = std::string(kTestData) + "/golden";
constexpr int kPositions = 16'384;

/// A folder of models that holds a checkpoint under the built-in model's name.
void put_builtin(const ScratchFolder& folder) {
  const std::string model = folder.file("gauntlet-agent");
  std::filesystem::create_directory(model);
  Json config = parse_json(read_text_file(kGolden + "/models/v32-tiny/config.json"), "config.json");
  config["max_position_embeddings"] = kPositions;  // this tokenizer's tokens are short
  folder.write("gauntlet-agent/config.json", dump_json(config));
  std::filesystem::copy(kGolden + "/models/v32-tiny/model.safetensors", model + "/model.safetensors");
  std::filesystem::copy(kGolden + "/tokenizer/deepseek.tokenizer.json", model + "/tokenizer.json");
}

sample::ProcessResult run_with(const std::string& models, std::vector<std::string> words, const std::string& folder) {
  words.insert(words.begin(), {"env", std::string(kModelsVariable) + "=" + models, kProgram});
  return sample::run_process(std::move(words), {.folder = folder});
}

}  // namespace

TEST_CASE("the variable alone counts where it is set; else the installation, the folders above the program and the source tree are looked into") {
  using Folders = std::vector<std::filesystem::path>;
  CHECK(model_folders("/data", "/opt/gauntlet/bin/gauntlet") == Folders{"/data"});
  const std::string source = std::string(kSourceFolder) + "/models";
  CHECK(model_folders("", "/opt/gauntlet/bin/gauntlet") == Folders{"/opt/gauntlet/share/gauntlet/models", "/opt/gauntlet/models", "/opt/models", "/models", source});
  const auto built = model_folders("", "/home/somebody/gauntlet/build/release/gauntlet");
  CHECK(std::find(built.begin(), built.end(), "/home/somebody/gauntlet/models") != built.end());
  const std::filesystem::path in_tree = std::string(kSourceFolder) + "/build/release/gauntlet";
  const auto searched = model_folders("", in_tree);
  CHECK(std::count(searched.begin(), searched.end(), std::filesystem::path(source)) == 1);
  CHECK(model_folders("", "") == Folders{"share/gauntlet/models", source});
}

TEST_CASE("a folder is itself, whatever it is called") {
  CHECK(resolve_model("models/x") == "models/x");
  CHECK(resolve_model("./builtin") == "./builtin");
}

TEST_CASE("builtin is taken wherever a checkpoint is asked for") {
  const ScratchFolder folder;
  put_builtin(folder);
  const std::string ids = folder.write("ids.json", "[1,2,3]");
  const std::string model = folder.file("gauntlet-agent");
  const auto same = [&](std::vector<std::string> words, std::vector<std::string> with_folder) {
    const auto by_name = run_with(folder.path(), std::move(words), folder.path()), by_folder = run_with("", std::move(with_folder), folder.path());
    CAPTURE(by_name.err);
    CHECK(by_name.exit_code == 0);
    CHECK(by_name.out == by_folder.out);
    CHECK_FALSE(by_name.out.empty());
  };
  same({"model", "info", "builtin", "--json"}, {"model", "info", model, "--json"});
  same({"model", "generate", "--model", "builtin", "--ids", ids, "--max-new", "4"}, {"model", "generate", "--model", model, "--ids", ids, "--max-new", "4"});
  CHECK(run_with(folder.path(), {"model", "logits", "--model", "builtin", "--ids", ids, "--out", folder.file("l.safetensors")}, folder.path()).exit_code == 0);
  CHECK(run_with(folder.path(), {"model", "bench", "--model", "builtin", "--contexts", "16", "--batches", "1", "--steps", "1", "--repeats", "1", "--json"}, folder.path()).exit_code == 0);
  const Json doctor = parse_json(run_with(folder.path(), {"doctor", "--json"}, folder.path()).out, "doctor");
  CHECK(doctor.at("builtin_model").at("folder") == model);
  CHECK(doctor.at("builtin_model").at("parameters").get<std::int64_t>() > 0);
}

TEST_CASE("a run of the built-in model names the checkpoint by its hash, as by its folder") {
  const ScratchFolder folder;
  put_builtin(folder);
  REQUIRE(run_with("", {"synth", "trip_planning", "--count", "1", "--difficulty", "1", "--random-tries", "100", "--db", "t.db"}, folder.path()).exit_code == 0);
  const auto bench = [&](const std::string& models, const std::string& model) {
    return run_with(models, {"bench", "--db", "t.db", "--model", model, "--device", "cpu", "--cache-tokens", "16384", "--max-tokens", "4", "--json"}, folder.path());
  };
  const auto first = bench(folder.path(), "builtin");
  CAPTURE(first.err);
  REQUIRE(first.exit_code == 0);
  const Json done = parse_json(first.out, "bench");
  CHECK(done.at("run").get<std::string>().starts_with("gauntlet-agent-"));
  CHECK(done.at("completed") == 1);
  const Json again = parse_json(bench("", folder.file("gauntlet-agent")).out, "bench");  // the same configuration, so the same run
  CHECK(again.at("run") == done.at("run"));
  CHECK(again.at("completed_before") == 1);
}

TEST_CASE("a cache smaller than the model's positions is told, belongs to the run's configuration, and fails no task that does not fit it") {
  const ScratchFolder folder;
  put_builtin(folder);
  REQUIRE(run_with("", {"synth", "trip_planning", "--count", "1", "--difficulty", "1", "--random-tries", "100", "--db", "t.db"}, folder.path()).exit_code == 0);
  const auto bench = [&](const std::string& tokens) {
    return run_with(folder.path(), {"bench", "--db", "t.db", "--model", "builtin", "--device", "cpu", "--cache-tokens", tokens, "--max-tokens", "4", "--json"}, folder.path());
  };
  const auto small = bench("64");
  CAPTURE(small.err);
  CHECK(small.exit_code == 3);
  CHECK(small.err.find("the cache holds 64 tokens, fewer than the 16384 positions") != std::string::npos);
  const Json faulty = parse_json(small.out, "bench");
  CHECK(faulty.at("infrastructure_faults") == 1);
  CHECK(faulty.at("completed") == 0);
  const auto large = bench("16384");
  CHECK(large.err.find("the cache holds") == std::string::npos);
  CHECK(parse_json(large.out, "bench").at("run") != faulty.at("run"));
  CHECK(bench("20000").out.find("\"completed_before\":1") != std::string::npos);
}

TEST_CASE("a built-in model that is not there is told with the folders that were looked into, and doctor says so") {
  const ScratchFolder folder;
  const std::string expected = "the built-in model is not there; looked for " + folder.file("gauntlet-agent");
  for (const auto& words : std::vector<std::vector<std::string>>{{"model", "info", "builtin"}, {"serve", "model", "--model", "builtin"}, {"model", "bench", "--model", "builtin"}}) {
    const auto result = run_with(folder.path(), words, folder.path());
    CHECK(result.exit_code == 3);
    CHECK(result.err.find(expected) != std::string::npos);
  }
  const auto doctor = run_with(folder.path(), {"doctor"}, folder.path());
  CHECK(doctor.exit_code == 0);
  CHECK(doctor.out.find("built-in model  none: " + expected) != std::string::npos);
}

}  // namespace gauntlet
