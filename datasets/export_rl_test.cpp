#include "datasets/export_rl.h"

#include <doctest/doctest.h>

#include <fstream>

#include "datasets/sample_store.h"
#include "datasets/schema_shape.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

RlExportOptions options_for(const std::string& folder) {
  RlExportOptions options;
  options.target.folder = folder;
  return options;
}

TEST_CASE("superset rows have exactly the fields of their schema") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 5);
  const ExportSummary summary = export_rl(store, sample::environments(), options_for(folder.file("rl")));
  CHECK(summary.rows == 5);
  const auto rows = sample::read_jsonl(folder.file("rl/train.jsonl"));
  REQUIRE(rows.size() == 5);
  const Json schema = sample::export_schema("rl_superset.schema.json");
  for (const Json& row : rows) CHECK(sample::shape_problem(row, schema) == "");
  CHECK(rows[1].at("prompt") ==
        parse_json(
            R"([{"role": "system", "content": "Use the tools."}, {"role": "user", "content": "Plan one day in Hangzhou."}])",
            "expected"));
  CHECK(rows[4].at("extra_info").at("index") == 4);
  CHECK(rows[4].at("metadata").at("seed") == "fedcba9876543210");
  CHECK(parse_json(rows[0].at("tools").get<std::string>(), "tools")[0].at("function").at("name") == "list_hotels");
}

TEST_CASE("the ground truth is a string that holds what re-verification needs") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 1);
  export_rl(store, sample::environments(), options_for(folder.file("rl")));
  const Json row = sample::read_jsonl(folder.file("rl/train.jsonl")).at(0);
  const Json truth = parse_json(row.at("reward_model").at("ground_truth").get<std::string>(), "ground truth");
  CHECK(truth.at("task_id") == "t1");
  CHECK(truth.at("problem") == sample::task("t1", 1).problem);
  CHECK(to_json(world_key_from_json(truth.at("world"), "")) == to_json(sample::task("t1", 1).world));
  CHECK(row.at("label") == row.at("reward_spec").at("ground_truth"));
}

TEST_CASE("the verifier's hash is the certificate's, in both formats, and a task without one is not exported") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 1);
  RlExportOptions options = options_for(folder.file("rl"));
  export_rl(store, sample::environments(), options);
  const Json certified = sample::task("t1", 1).certificate.at("verifier_sha256");
  CHECK(sample::read_jsonl(folder.file("rl/train.jsonl")).at(0).at("verifier_sha256") == certified);
  options.target.folder = folder.file("gym");
  options.format = RlFormat::NemoGym;
  export_rl(store, sample::environments(), options);
  CHECK(sample::read_jsonl(folder.file("gym/train.jsonl")).at(0).at("verifier_metadata").at("verifier_sha256") == certified);

  Store bare = sample::store(folder.file("bare.db"), 0);
  Task task = sample::task("t9", 1);
  task.certificate.erase("verifier_sha256");
  bare.put_tasks(std::vector<Task>{task});
  options.target.folder = folder.file("bare");
  CHECK_THROWS_WITH_AS(export_rl(bare, sample::environments(), options), "could not export t9: its certificate has no verifier_sha256", Error);
}

TEST_CASE("the oracle's answer is left out unless it is asked for") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 1);
  RlExportOptions options = options_for(folder.file("without"));
  export_rl(store, sample::environments(), options);
  CHECK_FALSE(contains(read_text_file(folder.file("without/train.jsonl")), "SECRET"));
  options.target.folder = folder.file("with");
  options.oracle_answer = OracleAnswer::Include;
  export_rl(store, sample::environments(), options);
  CHECK(contains(read_text_file(folder.file("with/train.jsonl")), "SECRET"));
}

TEST_CASE("NeMo Gym rows have flat tools and nothing that the Responses API does not know") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 2);
  RlExportOptions options = options_for(folder.file("gym"));
  options.format = RlFormat::NemoGym;
  export_rl(store, sample::environments(), options);
  const Json schema = sample::export_schema("rl_nemo_gym.schema.json");
  for (const Json& row : sample::read_jsonl(folder.file("gym/train.jsonl"))) {
    CHECK(sample::shape_problem(row, schema) == "");
    CHECK(row.at("responses_create_params").at("tools")[1].at("name") == "get_weather");
    CHECK(row.at("agent_ref").at("name") == "simple_agent");
  }
}

TEST_CASE("the split depends on the task alone and has about the share asked for") {
  int validation = 0;
  for (int i = 0; i < 2000; ++i) validation += split_of("task-" + std::to_string(i), 0.1) == "validation" ? 1 : 0;
  CHECK(validation > 160);
  CHECK(validation < 240);
  for (int i = 0; i < 100; ++i) {
    // A larger share keeps what a smaller one had.
    const std::string id = "task-" + std::to_string(i);
    if (split_of(id, 0.1) == "validation") CHECK(split_of(id, 0.3) == "validation");
    CHECK(split_of(id, 0.0) == "train");
  }

  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 40);
  RlExportOptions options = options_for(folder.file("rl"));
  options.target.validation_share = 0.5;
  const ExportSummary summary = export_rl(store, sample::environments(), options);
  REQUIRE(summary.files.size() == 2);
  CHECK(summary.files[0].rows + summary.files[1].rows == 40);
  const auto rows = sample::read_jsonl(folder.file("rl/validation.jsonl"));
  REQUIRE(rows.size() > 2);
  CHECK(rows[2].at("extra_info").at("index") == 2);
  CHECK(rows[2].at("extra_info").at("split") == "validation");
}

TEST_CASE("an export is not overwritten unless that is asked for, and leaves no temporary files") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 2);
  RlExportOptions options = options_for(folder.file("rl"));
  export_rl(store, sample::environments(), options);
  const std::string first = read_text_file(folder.file("rl/train.jsonl"));
  options.tasks.limit = 1;
  CHECK(contains(error_of([&] { export_rl(store, sample::environments(), options); }), "train.jsonl exists already"));
  CHECK(read_text_file(folder.file("rl/train.jsonl")) == first);
  std::ofstream(folder.file("rl/validation.jsonl")) << "{}\n";
  options.target.overwrite = Overwrite::Replace;
  export_rl(store, sample::environments(), options);
  CHECK(sample::read_jsonl(folder.file("rl/train.jsonl")).size() == 1);
  const auto files = std::filesystem::directory_iterator(folder.file("rl"));
  CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("the same store gives the same bytes") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 7);
  export_rl(store, sample::environments(), options_for(folder.file("a")));
  export_rl(store, sample::environments(), options_for(folder.file("b")));
  CHECK(read_text_file(folder.file("a/train.jsonl")) == read_text_file(folder.file("b/train.jsonl")));
}

TEST_CASE("what cannot be exported is refused before a file appears") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 2);
  RlExportOptions options = options_for(folder.file("rl"));
  const auto exporting = [&](const EnvironmentInfos& environments) {
    return error_of([&] { export_rl(store, environments, options); });
  };
  CHECK(contains(exporting({}), "its environment with hash aaa"));
  EnvironmentInfos reserved = sample::environments();
  reserved.begin()->second.tools[0].name = "verify";
  CHECK(contains(exporting(reserved), "the tool name \"verify\" is reserved by NeMo Gym"));
  reserved.begin()->second.tools[0].name = "list-hotels";
  CHECK(contains(exporting(reserved), "\"list-hotels\" is not made of letters"));
  options.tasks.level = 5;
  CHECK(contains(exporting(sample::environments()), "no task matches"));
  options.target.validation_share = 1.0;
  CHECK(contains(exporting(sample::environments()), "a validation share of 1, expected at least 0 and less than 1"));
  CHECK_FALSE(std::filesystem::exists(folder.file("rl")));
}

}  // namespace
}  // namespace gauntlet
