#include "cli/model_recall_command.h"

#include <doctest/doctest.h>

#include "cli/bench_command.h"
#include "datasets/store.h"
#include "inference/sample_checkpoint.h"
#include "tests/process.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::ScratchFolder;

const std::string kGolden = std::string(kTestData) + "/golden";

/// A checkpoint with room for a task's prompt.
std::string make_model(const ScratchFolder& folder) {
  const std::string model = folder.file("model");
  std::filesystem::create_directory(model);
  Json config = read_json_file(kGolden + "/models/v32-tiny/config.json");
  config["max_position_embeddings"] = 32'768;
  std::ofstream(model + "/config.json") << dump_json(config);
  std::filesystem::copy(kGolden + "/models/v32-tiny/model.safetensors", model + "/model.safetensors");
  std::filesystem::copy(kGolden + "/tokenizer/deepseek.tokenizer.json", model + "/tokenizer.json");
  return model;
}

}  // namespace

TEST_CASE("the recall of a text and of a run's episodes is reported by layer; dense attention is recorded with a run") {
  const ScratchFolder folder;
  const std::string model = make_model(folder), store = folder.file("t.db");
  const std::string ids = folder.write("ids.json", dump_json(Json(std::vector<int>(40, 7))));
  const Json text = recall_report({.folder = model, .ids = ids});
  CHECK(text.at("sequences") == 1);
  CHECK(text.at("tokens") == 40);
  CHECK(text.at("index_topk") == 16);
  REQUIRE(text.at("layers").size() == 3);
  CHECK(text.at("layers")[0].at("queries") == 24);
  CHECK(text.at("all").at("mean").get<double>() > 0);
  CHECK(text.at("all").at("mean").get<double>() < 1);
  for (const Json& row : {text.at("layers")[0], text.at("layers")[2], text.at("all")}) {
    const double mean = row.at("mean"), attainable = row.at("attainable"), ratio = row.at("of_attainable");
    CHECK((mean <= attainable && attainable < 1 && ratio <= 1));
    CHECK(ratio == doctest::Approx(mean / attainable));
  }

  Context context;
  REQUIRE(sample::run_process({kProgram, "synth", "trip_planning", "--count", "2", "--difficulty", "1", "--random-tries", "100", "--db", store}, {}).exit_code == 0);
  CHECK(error_of([&] { recall_report({.folder = model, .store = store}); }, folder.path()) == "DIR/t.db holds no run of a checkpoint on this machine");
  std::string runs[2];
  for (const bool dense : {false, true}) {
    BenchOptions bench;
    bench.store = store;
    bench.model.model = model;
    bench.model.local.device = "cpu";
    bench.model.local.cache_tokens = 40'000;
    bench.model.local.attention = dense ? "dense" : "sparse";
    bench.sampling.max_tokens = 4;
    runs[dense] = run_bench(bench, context);
  }
  CHECK(runs[0] != runs[1]);
  const Store reader(store, StoreMode::ReadOnly);
  const std::string sparse = reader.find_run(runs[0])->config.at("model").at("backend"), dense = reader.find_run(runs[1])->config.at("model").at("backend");
  CHECK(dense == sparse + ", dense attention");

  const Json one = recall_report({.folder = model, .store = store, .run = runs[0], .limit = 1});
  CHECK(one.at("sequences") == 1);
  CHECK(one.at("tokens").get<std::int64_t>() > 1000);
  CHECK(recall_report({.folder = model, .store = store}).at("sequences") == 2);
  BenchOptions oracle;
  oracle.store = store;
  oracle.run = "oracle";
  run_bench(oracle, context);
  CHECK(error_of([&] { recall_report({.folder = model, .store = store, .run = "oracle"}); }) == "run \"oracle\" has no episode with token ids; runs of a checkpoint on this machine have them");
}

TEST_CASE("where no query has to choose nothing is measured, which is not a recall of 0") {
  const ScratchFolder folder;
  const std::string model = make_model(folder), ids = folder.write("ids.json", "[7, 7, 7]");
  const Json report = recall_report({.folder = model, .ids = ids});
  for (const Json& row : {report.at("layers")[0], report.at("all")}) {
    CHECK(row.at("queries") == 0);
    for (const char* key : {"mean", "tenth", "least", "attainable", "of_attainable"}) CHECK(row.at(key).is_null());
  }
  const auto text = sample::run_process({kProgram, "model", "recall", "--model", model, "--ids", ids});
  CHECK(text.exit_code == 0);
  CHECK(text.out.find("0.00") == std::string::npos);
  CHECK(text.out.find("no sequence has more than 16 tokens") != std::string::npos);
}

TEST_CASE("options that make no sense are refused before the checkpoint is read") {
  CHECK(error_of([] { recall_report({.folder = "none"}); }) == "model recall: give either --ids or --db");
  CHECK(error_of([] { recall_report({.folder = "none", .ids = "a", .store = "b"}); }) == "model recall: give either --ids or --db");
  CHECK(error_of([] { recall_report({.folder = "none", .ids = "a", .limit = 0}); }) == "--limit: found 0; accepted: 1 or more");
}

}  // namespace gauntlet
