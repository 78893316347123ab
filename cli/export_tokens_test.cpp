#include "cli/export_tokens_command.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/environments.h"
#include "cli/token_document.h"
#include "cli/token_shards.h"
#include "core/sha256.h"
#include "datasets/store.h"
#include "inference/safetensors.h"
#include "inference/sample_checkpoint.h"
#include "tests/process.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

namespace fs = std::filesystem;
using sample::error_of;
using sample::ScratchFolder;

const std::string kTokenizer = std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json";

ExportTokensOptions oracle_options(const std::string& out) {
  ExportTokensOptions options;
  options.oracle = "trip_planning";
  options.levels = "1:3,2:1";
  options.modes = "thinking:2,chat:1";
  options.tokenizer = kTokenizer;
  options.out = out;
  options.count = 25;
  options.shard_tokens = 100'000;
  options.max_tokens = 14'000;
  options.threads = 1;
  options.json = false;
  return options;
}

/// The exit code.
int export_tokens(const ExportTokensOptions& options) {
  Context context;
  run_export_tokens(options, context);
  return context.exit_code;
}

std::string refusal(const ExportTokensOptions& options) {
  return error_of([&] { export_tokens(options); });
}

std::map<std::string, std::string> contents(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out[entry.path().filename().string()] = read_text_file(entry.path().string());
  return out;
}

template <class T>
std::vector<T> values(const Checkpoint& file, const std::string& name, DType type) {
  const Tensor* tensor = file.find(name);
  REQUIRE(tensor != nullptr);
  CHECK(tensor->dtype == type);
  CHECK(tensor->shape.size() == 1);
  std::vector<T> out(static_cast<std::size_t>(tensor->elements()));
  std::memcpy(out.data(), tensor->data.data(), tensor->data.size());
  return out;
}

struct Shard {
  std::vector<std::uint16_t> ids;
  std::vector<std::uint8_t> learnt, level, mode, parallel;
  std::vector<std::int64_t> starts;

  explicit Shard(const std::string& path) {
    const Checkpoint file(path);
    ids = values<std::uint16_t>(file, "input_ids", DType::U16);
    learnt = values<std::uint8_t>(file, "loss_mask", DType::U8);
    level = values<std::uint8_t>(file, "level", DType::U8);
    mode = values<std::uint8_t>(file, "mode", DType::U8);
    parallel = values<std::uint8_t>(file, "parallel", DType::U8);
    starts = values<std::int64_t>(file, "document_starts", DType::I64);
  }
};

TEST_CASE("equal seeds give equal bytes with any number of threads, and other seeds other documents") {
  const ScratchFolder folder;
  auto options = oracle_options(folder.file("one"));
  CHECK(export_tokens(options) == 0);
  options.out = folder.file("five");
  options.threads = 5;
  CHECK(export_tokens(options) == 0);
  CHECK(contents(folder.file("one")) == contents(folder.file("five")));
  options.out = folder.file("other");
  options.seed = 2;
  CHECK(export_tokens(options) == 0);
  CHECK(contents(folder.file("one")) != contents(folder.file("other")));
}

TEST_CASE("shards hold whole documents in the fixed form, and the manifest says what they are") {
  const ScratchFolder folder;
  const auto options = oracle_options(folder.file("out"));
  export_tokens(options);
  const Tokenizer tokenizer = Tokenizer::load(kTokenizer);
  const Json manifest = read_json_file(folder.file("out") + "/tokens.json");
  CHECK(manifest.at("format") == "gauntlet.tokens/1");
  CHECK(manifest.at("tokenizer_sha256") == sha256_hex(read_text_file(kTokenizer)));
  CHECK(manifest.at("vocab_size") == tokenizer.vocab_size());
  CHECK(manifest.at("environment") == "trip_planning");
  CHECK(manifest.at("seed") == 1);
  CHECK(manifest.at("levels") == Json{{"1", 3.0}, {"2", 1.0}});
  CHECK(manifest.at("documents") == 25);
  REQUIRE(manifest.at("shards").size() >= 2);
  std::int64_t documents = 0, tokens = 0, learnt = 0, chat = 0;
  for (std::size_t i = 0; i < manifest.at("shards").size(); ++i) {
    const Json& entry = manifest.at("shards")[i];
    CHECK(entry.at("file") == fmt::format("tokens-{:05}.safetensors", i));
    const Shard shard(folder.file("out") + "/" + entry.at("file").get<std::string>());
    REQUIRE(shard.starts.size() == shard.level.size() + 1);
    CHECK(shard.mode.size() == shard.level.size());
    CHECK(shard.parallel.size() == shard.level.size());
    CHECK(shard.learnt.size() == shard.ids.size());
    CHECK(shard.starts.front() == 0);
    CHECK(shard.starts.back() == static_cast<std::int64_t>(shard.ids.size()));
    for (std::size_t d = 0; d < shard.level.size(); ++d) {
      const auto begin = static_cast<std::size_t>(shard.starts[d]), end = static_cast<std::size_t>(shard.starts[d + 1]);
      CHECK(end - begin <= 14'000);
      CHECK(shard.ids[begin] == tokenizer.find_id("<｜begin▁of▁sentence｜>"));
      CHECK(shard.ids[end - 1] == tokenizer.find_id("<｜end▁of▁sentence｜>"));
      CHECK(shard.learnt[begin] == 0);
      CHECK(shard.learnt[end - 1] == 1);
      // The opener before the first reply tells the mode.
      const auto first = std::find(shard.learnt.begin() + shard.starts[d], shard.learnt.end(), 1) - shard.learnt.begin();
      CHECK(shard.ids[static_cast<std::size_t>(first) - 1] == tokenizer.find_id(shard.mode[d] == 1 ? "</think>" : "<think>"));
      chat += shard.mode[d];
    }
    CHECK(entry.at("documents") == shard.level.size());
    CHECK(entry.at("tokens") == shard.ids.size());
    documents += static_cast<std::int64_t>(shard.level.size());
    tokens += static_cast<std::int64_t>(shard.ids.size());
    learnt += std::count(shard.learnt.begin(), shard.learnt.end(), 1);
    if (i + 1 < manifest.at("shards").size()) CHECK(shard.ids.size() >= 100'000);
  }
  CHECK(documents == 25);
  CHECK(manifest.at("tokens") == tokens);
  CHECK(manifest.at("learnt_tokens") == learnt);
  CHECK(manifest.at("documents_by_mode").at("chat") == chat);
  for (const auto& [name, bytes] : contents(folder.file("out"))) CHECK(name.find(".tmp") == std::string::npos);
}

TEST_CASE("text has the agent's pieces apart from the environment's") {
  const ScratchFolder folder;
  auto options = oracle_options(folder.file("out"));
  options.tokenizer.clear();
  options.text = true;
  options.count = 5;
  CHECK(export_tokens(options) == 0);
  std::ifstream file(folder.file("out") + "/text-00000.jsonl");
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    const Json document = Json::parse(line);
    const Json& pieces = document.at("pieces");
    for (std::size_t i = 0; i < pieces.size(); ++i) CHECK(pieces[i].at("agent") == (i % 2 == 1));
    CHECK(pieces[0].at("text").get<std::string>().starts_with("<｜begin▁of▁sentence｜>"));
    CHECK(pieces.back().at("text").get<std::string>().ends_with("<｜end▁of▁sentence｜>"));
    CHECK((document.at("mode") == "thinking" || document.at("mode") == "chat"));
  }
  CHECK(lines == 5);
  CHECK(read_json_file(folder.file("out") + "/tokens.json").at("format") == "gauntlet.text/1");
}

TEST_CASE("shards of an earlier export are not mixed with new ones") {
  const ScratchFolder folder;
  auto options = oracle_options(folder.file("out"));
  export_tokens(options);
  CHECK(refusal(options).find("holds shards or a manifest already") != std::string::npos);
  options.overwrite = true;
  options.count = 2;
  CHECK(export_tokens(options) == 0);
  CHECK(contents(folder.file("out")).size() == 2);
}

TEST_CASE("a shard waits while too many lie in the folder") {
  const ScratchFolder folder;
  ShardWriter writer({.folder = folder.file("out"), .vocab = 100'000, .shard_tokens = 3, .most_waiting = 1});
  const ShardDocument document{.tokens = {.ids = {1, 2, 70'000}, .learnt = {0, 1, 1}, .logprobs = {}}, .level = 2};
  for (int i = 0; i < 2; ++i) {
    CHECK_FALSE(writer.is_full());
    writer.add(document);
    CHECK(writer.is_full());
    CHECK(writer.has_room());
    writer.write();
  }
  CHECK_FALSE(writer.has_room());
  fs::remove(folder.file("out") + "/tokens-00000.safetensors");
  CHECK(writer.has_room());
  const Checkpoint file(folder.file("out") + "/tokens-00001.safetensors");
  CHECK(values<std::int32_t>(file, "input_ids", DType::I32) == std::vector<std::int32_t>{1, 2, 70'000});  // too many ids for 16 bits
  CHECK(file.find("logprobs") == nullptr);
  CHECK(file.find("logprobs_recorded") == nullptr);
}

TEST_CASE("where a shard has log-probabilities it says which were recorded: one of 0 is not the 0 of a token without") {
  const ScratchFolder folder;
  ShardWriter writer({.folder = folder.file("out"), .vocab = 10});
  const ShardDocument without{.tokens = {.ids = {1, 2}, .learnt = {0, 1}, .logprobs = {}}, .level = 1};
  const ShardDocument with{.tokens = {.ids = {3, 4}, .learnt = {0, 1}, .logprobs = {0.0f, 0.0f}, .recorded = {0, 1}}, .level = 1};
  for (const auto* document : {&without, &with, &without}) writer.add(*document);
  writer.finish(Json::object());
  const Checkpoint file(folder.file("out") + "/tokens-00000.safetensors");
  CHECK(values<float>(file, "logprobs", DType::F32) == std::vector<float>(6, 0.0f));
  CHECK(values<std::uint8_t>(file, "logprobs_recorded", DType::U8) == std::vector<std::uint8_t>{0, 0, 0, 1, 0, 0});
}

TEST_CASE("an export that is stopped ends with a whole shard and the manifest") {
  const ScratchFolder folder;
  const std::string script = R"("$0" export tokens --oracle trip_planning --levels 1 --tokenizer "$1" --max-tokens 14000 --shard-tokens 100000 --most-waiting 2 --threads 2 --out out & export=$!
while [ ! -e out/tokens-00002.safetensors ] && kill -0 $export; do :; done
kill -INT $export; wait $export; echo "status $?")";
  const auto result = sample::run_process({"sh", "-c", script, kProgram, kTokenizer}, {.folder = folder.path()});
  CHECK(result.out == "status 0\n");
  const Json manifest = read_json_file(folder.file("out") + "/tokens.json");
  std::int64_t documents = 0;
  for (const auto& entry : manifest.at("shards")) documents += static_cast<std::int64_t>(Shard(folder.file("out") + "/" + entry.at("file").get<std::string>()).level.size());
  CHECK(manifest.at("documents") == documents);
  CHECK(manifest.at("shards").size() >= 3);
}

TEST_CASE("wrong requests are refused before anything is written") {
  const ScratchFolder folder;
  const auto with = [&](auto change) {
    auto options = oracle_options(folder.file("out"));
    change(options);
    const std::string message = refusal(options);
    CHECK_FALSE(fs::exists(folder.file("out")));
    return message;
  };
  using O = ExportTokensOptions;
  CHECK(with([](O& o) { o.store = "x.db"; }).find("give either --oracle DOMAIN") == 0);
  CHECK(with([](O& o) { o.text = true; }).find("give either --tokenizer, or --text") == 0);
  CHECK(with([](O& o) { o.levels = "1:2,7:1"; }) == "--levels: found the level \"7\"; accepted: 1, 2, 3, 4, 5");
  CHECK(with([](O& o) { o.levels = "1:x"; }).find("--levels: found \"1:x\"") == 0);
  CHECK(with([](O& o) { o.levels = "1,1"; }) == "--levels: \"1\" is given twice");
  CHECK(with([](O& o) { o.levels = "1:nan"; }).find("--levels: found \"1:nan\"") == 0);
  CHECK(with([](O& o) { o.levels = "1:0"; }) == "the weights of the levels are all 0");
  CHECK(with([](O& o) { o.modes = "loud"; }) == "--modes: found the mode \"loud\"; accepted: thinking, chat");
  CHECK(with([](O& o) { o.count = -1; }).find("--count: found -1") == 0);
  CHECK(with([](O& o) { o.shard_tokens = 0; }).find("--shard-tokens: found 0") == 0);
  CHECK(with([](O& o) { o.oracle = "trip_planing"; }).find("trip_planning") != std::string::npos);
  CHECK(with([](O& o) { o.tokenizer = "nowhere.json"; }).find("could not open nowhere.json") == 0);
  CHECK(with([](O& o) { o.tokenizer = std::string(kTestData) + "/golden/tokenizer/gpt2.tokenizer.json"; }).find("the tokenizer lacks") == 0);
  CHECK(with([&](O& o) { o.exclude = folder.write("list", "not an id\n"); }).find("list:1: found \"not an id\"") != std::string::npos);
}

TEST_CASE("an export that can never make a document says why") {
  const ScratchFolder folder;
  auto options = oracle_options(folder.file("out"));
  options.max_tokens = 10;
  options.levels = "1";
  CHECK(refusal(options).find("draws in a row gave no document") != std::string::npos);
}

/// A store with two tasks, and a run "oracle" that passed both.
std::string stored_run(const ScratchFolder& folder) {
  const auto done = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    const auto result = sample::run_process(arguments, {.folder = folder.path()});
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
  };
  done({"synth", "trip_planning", "--count", "2", "--difficulty", "1", "--random-tries", "100", "--db", "t.db"});
  done({"bench", "--db", "t.db", "--model", "oracle", "--run", "oracle"});
  return folder.file("t.db");
}

TEST_CASE("stored episodes are exported: as written where no ids were recorded, with the recorded ids and log-probabilities where they were") {
  const ScratchFolder folder;
  ExportTokensOptions options;
  options.store = stored_run(folder);
  options.run = "oracle";
  options.tokenizer = kTokenizer;
  options.max_tokens = 30'000;
  options.out = folder.file("written");
  CHECK(export_tokens(options) == 0);
  const Shard written(folder.file("written") + "/tokens-00000.safetensors");
  REQUIRE(written.level.size() == 2);
  CHECK(written.level == std::vector<std::uint8_t>{1, 1});

  // The same episodes as a local model would have left them, one with a token more in its last reply.
  const auto tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(kTokenizer));
  Store store(options.store, StoreMode::ReadWrite);
  RunRecord run = *store.find_run("oracle");
  run.run_id = "local";
  store.put_run(run);
  TaskShelf shelf(options.store);
  std::vector<Episode> episodes;
  store.for_each_episode({.run_id = "oracle"}, [&](const StoredEpisode& stored) {
    Episode episode = stored.episode;
    episode.run_id = "local";
    const auto ready = shelf.task(episode.task_id);
    const TrainingText text = TrainingTextWriter(*ready->environment->tools).write(episode.messages, ThinkingMode::Thinking);
    episode.tokens.clear();
    std::vector<std::int32_t> ids;
    for (const auto& part : text) {
      const auto more = tokenizer->encode(part.pieces).ids;
      if (part.agent) episode.tokens.push_back({.prompt_ids = ids, .ids = more, .logprobs = std::vector<float>(more.size(), -0.25f)});
      ids.insert(ids.end(), more.begin(), more.end());
    }
    if (episodes.empty()) {
      TokenTrace& last = episode.tokens.back();
      last.ids.insert(last.ids.end() - 1, tokenizer->encode(" ", SpecialTokens::AsText).front());
      last.logprobs.push_back(-0.25f);
    }
    episodes.push_back(std::move(episode));
  });
  store.put_episodes(episodes);
  options.run = "local";
  options.out = folder.file("recorded");
  options.threads = 3;
  CHECK(export_tokens(options) == 0);
  const Shard recorded(folder.file("recorded") + "/tokens-00000.safetensors");
  REQUIRE(recorded.level.size() == 2);
  CHECK(recorded.starts[1] == written.starts[1] + 1);
  CHECK(std::equal(written.ids.begin() + written.starts[1], written.ids.end(), recorded.ids.begin() + recorded.starts[1]));
  CHECK(std::equal(written.learnt.begin() + written.starts[1], written.learnt.end(), recorded.learnt.begin() + recorded.starts[1]));
  const Checkpoint shard(folder.file("recorded") + "/tokens-00000.safetensors");
  const auto logprobs = values<float>(shard, "logprobs", DType::F32);
  const auto known = values<std::uint8_t>(shard, "logprobs_recorded", DType::U8);
  REQUIRE(known.size() == logprobs.size());
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    if (recorded.learnt[i] == 1) CHECK(known[i] == 1);
    CHECK(logprobs[i] == (known[i] == 1 ? -0.25f : 0.0f));
  }
  CHECK(logprobs.front() == 0.0f);

  // Both runs, but nothing of another level; and a run that is not there.
  options.run.clear();
  options.out = folder.file("both");
  CHECK(export_tokens(options) == 0);
  // Documents of the oracle are learnt from beside sampled ones, and only the latter have log-probabilities.
  const Checkpoint both(folder.file("both") + "/tokens-00000.safetensors");
  const auto both_known = values<std::uint8_t>(both, "logprobs_recorded", DType::U8);
  CHECK(std::count(both_known.begin(), both_known.end(), 1) == std::count(known.begin(), known.end(), 1));
  CHECK(read_json_file(folder.file("both") + "/tokens.json").at("documents") == 4);
  options.out = folder.file("none");
  options.level = 4;
  CHECK(refusal(options).find("--level: found 4; ") == 0);
  CHECK(refusal(options).find("t.db holds tasks of level 1") != std::string::npos);
  options.level = -4;
  CHECK(refusal(options) == "--level: found -4; accepted: 1 to 5, or 0 for tasks without a level");
  options.level.reset();
  options.min_score = NAN;
  CHECK(refusal(options) == "--min-score: found nan; accepted: 0 to 1");
  options.min_score = 1.0;
  CHECK_FALSE(fs::exists(options.out));
  options.run = "lokal";
  CHECK(refusal(options).find("did you mean \"local\"") != std::string::npos);
}

}  // namespace
}  // namespace gauntlet
