#include "datasets/export_sft.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "datasets/export_rl.h"
#include "datasets/sample_store.h"
#include "datasets/schema_shape.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

Store store_with(const std::string& path, const std::vector<Episode>& episodes) {
  Store store = sample::store(path);
  store.put_episodes(episodes);
  return store;
}

SftExportOptions options_for(const std::string& folder, SftFormat format) {
  SftExportOptions options;
  options.format = format;
  options.target.folder = folder;
  return options;
}

TEST_CASE("message rows are OpenAI conversations that end with the assistant") {
  const sample::TemporaryFolder folder;
  const Store store = store_with(folder.file("s.db"), {sample::episode("r", "t1")});
  export_sft(store, sample::environments(), options_for(folder.file("sft"), SftFormat::Messages));
  const Json row = sample::read_jsonl(folder.file("sft/train.jsonl")).at(0);
  CHECK(sample::shape_problem(row, sample::export_schema("sft_messages.schema.json")) == "");
  const Json& messages = row.at("messages");
  REQUIRE(messages.size() == 6);
  CHECK(messages[2] ==
        parse_json(R"({"role": "assistant", "content": "", "reasoning_content": "Hotels and weather first.", "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "list_hotels", "arguments": "{\"city\": \"Hangzhou\"}"}},
      {"id": "call_2", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Hangzhou\"}"}}]})",
                   "expected"));
  CHECK(
      messages[4] ==
      parse_json(R"({"role": "tool", "content": "{\"condition\":\"sunny\"}", "tool_call_id": "call_2", "name": "get_weather"})",
                 "expected"));
  CHECK(messages[5].at("role") == "assistant");
  CHECK(row.at("score") == 1.0);
  CHECK(row.at("level") == 1);
}

TEST_CASE("arguments can be objects and reasoning can be dropped") {
  const sample::TemporaryFolder folder;
  const Store store = store_with(folder.file("s.db"), {sample::episode("r", "t1")});
  SftExportOptions options = options_for(folder.file("sft"), SftFormat::Messages);
  options.arguments = ArgumentsForm::Object;
  options.reasoning = ReasoningExport::Drop;
  export_sft(store, sample::environments(), options);
  const Json message = sample::read_jsonl(folder.file("sft/train.jsonl")).at(0).at("messages")[2];
  CHECK(message.at("tool_calls")[0].at("function").at("arguments") == Json{{"city", "Hangzhou"}});
  CHECK_FALSE(message.contains("reasoning_content"));
}

TEST_CASE("sharegpt rows alternate, hold thinking in tags and merge the results of parallel calls") {
  const sample::TemporaryFolder folder;
  const Store store = store_with(folder.file("s.db"), {sample::episode("r", "t1")});
  export_sft(store, sample::environments(), options_for(folder.file("sft"), SftFormat::ShareGpt));
  const Json row = sample::read_jsonl(folder.file("sft/train.jsonl")).at(0);
  CHECK(sample::shape_problem(row, sample::export_schema("sft_sharegpt.schema.json")) == "");
  CHECK(row.at("system") == "Use the tools.");
  const Json& turns = row.at("conversations");
  REQUIRE(turns.size() == 4);
  CHECK(turns[0] == Json{{"from", "human"}, {"value", "Plan one day in Hangzhou."}});
  CHECK(turns[1].at("from") == "function_call");
  CHECK(turns[1].at("value") ==
        "<think>\nHotels and weather first.\n</think>\n\n"
        R"([{"name":"list_hotels","arguments":{"city":"Hangzhou"}},{"name":"get_weather","arguments":{"city":"Hangzhou"}}])");
  CHECK(turns[2].at("value") == "[\"West Lake Inn\"]\n</tool_response>\n<tool_response>\n{\"condition\":\"sunny\"}");
  CHECK(turns[3].at("value") ==
        "<think>\nWest Lake Inn it is.\n\nSubmitting.\n</think>\n\n"
        R"([{"name":"submit_result","arguments":{"result":"[]"}}])");
  CHECK(parse_json(row.at("tools").get<std::string>(), "tools")[0].at("name") == "list_hotels");
  const Json info = read_json_file(folder.file("sft/dataset_info.json"));
  CHECK(info.at("gauntlet_train").at("file_name") == "train.jsonl");
  CHECK(info.at("gauntlet_train").at("columns").at("messages") == "conversations");
}

TEST_CASE("only the latest, scored and good enough episodes are exported, and the rest is counted") {
  const sample::TemporaryFolder folder;
  const Store store =
      store_with(folder.file("s.db"),
                 {sample::episode("r", "t1", 0), sample::failed_episode("r", "t1", 1), sample::faulty_episode("r", "t2", 0),
                  sample::faulty_episode("r", "t2", 1, 0), sample::episode("r", "t2", 1, 1)});
  SftExportOptions options = options_for(folder.file("sft"), SftFormat::Messages);
  const ExportSummary summary = export_sft(store, sample::environments(), options);
  CHECK(summary.rows == 2);
  CHECK(summary.skipped == std::map<std::string, std::int64_t>{{"below the least score", 1}, {"not scored", 1}});
  CHECK(to_json(summary).at("files")[0].at("rows") == 2);
  options.min_score = 0.0;
  options.target.overwrite = Overwrite::Replace;
  CHECK(export_sft(store, sample::environments(), options).rows == 3);
}

TEST_CASE("episodes that a trainer would misread are left out with the reason") {
  const sample::TemporaryFolder folder;
  Episode unparsable = sample::episode("r", "t1", 0);
  unparsable.messages[2].tool_calls[0].arguments = "{\"city\": ";
  Episode unanswered = sample::episode("r", "t1", 1);
  unanswered.messages.erase(unanswered.messages.begin() + 4);
  Episode stray = sample::episode("r", "t1", 2);
  stray.messages[3].tool_call_id = "call_9";
  Episode tagged = sample::episode("r", "t1", 3);
  tagged.messages[2].reasoning = "a </think> b";
  Episode doubled = sample::episode("r", "t1", 4);
  doubled.messages.insert(
      doubled.messages.begin() + 2,
      Message{
          .role = Role::Assistant, .content = "Hm.", .reasoning = "", .tool_calls = {}, .tool_call_id = "", .tool_name = ""});
  Episode silent = sample::episode("r", "t1", 5);
  silent.messages.resize(2);
  const Store store =
      store_with(folder.file("s.db"), {unparsable, unanswered, stray, tagged, doubled, silent, sample::episode("r", "t2", 0)});
  const ExportSummary summary = export_sft(store, sample::environments(), options_for(folder.file("sft"), SftFormat::ShareGpt));
  CHECK(summary.rows == 1);
  CHECK(summary.skipped == std::map<std::string, std::int64_t>{{"a tool call has no result", 1},
                                                               {"a tool result belongs to no open call", 1},
                                                               {"the arguments of a tool call are not a JSON object", 1},
                                                               {"the assistant said nothing", 1},
                                                               {"the assistant's text holds a think tag", 1},
                                                               {"the turns of user and assistant do not alternate", 1}});
  // As messages with string arguments, what the model wrote is kept as it is.
  CHECK(export_sft(store, sample::environments(), options_for(folder.file("messages"), SftFormat::Messages)).rows == 4);
}

TEST_CASE("an export without a row says why and makes no file") {
  const sample::TemporaryFolder folder;
  const Store store = store_with(folder.file("s.db"), {sample::failed_episode("r", "t1")});
  SftExportOptions options = options_for(folder.file("sft"), SftFormat::ShareGpt);
  CHECK(contains(error_of([&] { export_sft(store, sample::environments(), options); }),
                 "no episode is left; left out: below the least score (1)"));
  options.run_id = "other";
  CHECK(contains(error_of([&] { export_sft(store, sample::environments(), options); }), "it holds no run \"other\""));
  CHECK_FALSE(std::filesystem::exists(folder.file("sft")));
}

TEST_CASE("the four exports are written for other readers when a folder is named") {
  const char* named = std::getenv("GAUNTLET_EXPORTS");
  const sample::TemporaryFolder folder;
  const std::string out = named == nullptr ? folder.file("exports") : named;
  std::vector<Episode> episodes;
  for (const char* task : {"t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"}) {
    episodes.push_back(sample::episode("r", task, 0));
    Episode plain = sample::episode("r", task, 1);  // no calls, no thinking: rows of another shape
    plain.messages = {plain.messages[1], Message{.role = Role::Assistant,
                                                 .content = "Done.",
                                                 .reasoning = "",
                                                 .tool_calls = {},
                                                 .tool_call_id = "",
                                                 .tool_name = ""}};
    episodes.push_back(plain);
  }
  Store store = sample::store(folder.file("s.db"), 9);
  store.put_episodes(episodes);
  RlExportOptions rl;
  rl.target = {.folder = out + "/rl_superset", .overwrite = Overwrite::Replace, .validation_share = 0.4};
  CHECK(export_rl(store, sample::environments(), rl).files.size() == 2);
  rl.format = RlFormat::NemoGym;
  rl.target.folder = out + "/rl_nemo_gym";
  CHECK(export_rl(store, sample::environments(), rl).rows == 9);
  SftExportOptions sft = options_for(out + "/sft_messages", SftFormat::Messages);
  sft.target.overwrite = Overwrite::Replace;
  sft.target.validation_share = 0.4;
  CHECK(export_sft(store, sample::environments(), sft).rows == 18);
  sft.format = SftFormat::ShareGpt;
  sft.target.folder = out + "/sft_sharegpt";
  CHECK(export_sft(store, sample::environments(), sft).rows == 18);
}

}  // namespace
}  // namespace gauntlet
