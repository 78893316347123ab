// Answers judged by what exported rows carry: without the store, one by one and by a process that is kept, from C++ and from Python.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/cli_support.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using sample::contains;
using sample::gauntlet_run;
using sample::json_lines;
using sample::ProcessResult;

/// Rows of tasks of both ends, level 5 with an objective; the store is gone.
std::vector<Json> exported_rows(const sample::TemporaryFolder& folder) {
  const std::string store = folder.file("t.db");
  for (const char* level : {"1", "5"}) {
    const ProcessResult made = gauntlet_run({"synth", "trip_planning", "--count", "2", "--difficulty", level, "--random-tries", "100", "--db", store});
    if (made.exit_code != 0) throw std::runtime_error("could not make tasks: " + made.err);
  }
  const ProcessResult exported = gauntlet_run({"export", "rl", "--db", store, "--with-oracle-answer", "--out", folder.file("rl")});
  if (exported.exit_code != 0) throw std::runtime_error("could not export: " + exported.err);
  std::filesystem::remove(store);
  return json_lines(read_text_file(folder.file("rl/train.jsonl")));
}

Json truth_of(const Json& row) { return parse_json(row.at("reward_model").at("ground_truth").get<std::string>(), "ground truth"); }

ProcessResult batch(const std::vector<Json>& lines, std::vector<std::string> more = {}) {
  std::string input;
  for (const auto& line : lines) input += (line.is_string() ? line.get<std::string>() : dump_json(line)) + "\n";
  std::vector<std::string> words = {"verify", "--batch"};
  words.insert(words.end(), more.begin(), more.end());
  return gauntlet_run(words, {.input = input});
}

/// The Python block of docs/exports.md.
std::string documented_reward_function() {
  const std::string page = read_text_file(std::string(kTestData) + "/../docs/exports.md");
  const std::string head = "```python\n";
  const auto begin = page.find(head);
  if (begin == std::string::npos) throw std::runtime_error("docs/exports.md has no Python");
  const auto end = page.find("```", begin + head.size());
  return page.substr(begin + head.size(), end - begin - head.size());
}

}  // namespace

TEST_CASE("a batch judges exported rows without their store: the text of the ground truth or the object, and answers in every form") {
  const sample::TemporaryFolder folder;
  const auto rows = exported_rows(folder);
  REQUIRE(rows.size() == 4);
  std::vector<Json> lines;
  std::vector<int> expected;
  const auto ask = [&](const Json& truth, const Json& answer, int value) {
    lines.push_back({{"ground_truth", truth}, {"answer", answer}});
    expected.push_back(value);
  };
  int objectives = 0;
  for (const auto& row : rows) {
    const Json truth = truth_of(row);
    objectives += truth.at("optimum").is_null() ? 0 : 1;
    const Json& right = truth.at("oracle_answer");
    Json wrong = right;
    wrong[0]["city"] = "Atlantis";
    ask(row.at("label"), dump_json(right), 1);
    ask(truth, right, 1);
    ask(truth, "```json\n" + right.dump(1) + "\n```", 1);
    ask(row.at("label"), dump_json(wrong), 0);
    ask(row.at("label"), nullptr, 0);
    ask(row.at("label"), "I do not know.", 0);
  }
  CHECK(objectives == 2);
  const ProcessResult result = batch(lines);
  CHECK(result.exit_code == 0);
  const auto verdicts = json_lines(result.out);
  REQUIRE(verdicts.size() == expected.size());
  for (std::size_t i = 0; i < verdicts.size(); ++i) {
    CAPTURE(lines[i].at("answer"));
    CHECK(verdicts[i].at("value") == expected[i]);
    CHECK(verdicts[i].at("summary").is_string());
    if (expected[i] == 1) CHECK(verdicts[i].at("components").size() > 4);
  }
}

TEST_CASE("an answer that is not optimal does not pass by an exported optimum either") {
  const sample::TemporaryFolder folder;
  for (const auto& row : exported_rows(folder)) {
    Json truth = truth_of(row);
    if (truth.at("optimum").is_null()) continue;
    const Json right = truth.at("oracle_answer");
    truth["optimum"] = truth.at("optimum").get<double>() - 0.001;
    CHECK(json_lines(batch({{{"ground_truth", truth}, {"answer", right}}}).out).at(0).at("value") == 0);
    truth.erase("optimum");
    CHECK(contains(json_lines(batch({{{"ground_truth", truth}, {"answer", right}}}).out).at(0).at("error").at("message"), "holds no optimum"));
  }
}

TEST_CASE("lines that cannot be judged are answered with an error each, and the others are judged") {
  const sample::TemporaryFolder folder;
  const Json row = exported_rows(folder).at(0);
  const Json truth = truth_of(row);
  const auto changed = [&](const std::string& key, const Json& value) {
    Json out = truth;
    out[key] = value;
    return Json{{"ground_truth", out}, {"answer", "[]"}};
  };
  const std::vector<std::pair<Json, std::string>> cases = {
      {"no JSON", "could not read the line as JSON"},
      {"[]", "expected an object with \"ground_truth\" and \"answer\", found []"},
      {{{"ground_truth", truth}}, "answer"},
      {{{"answer", "[]"}}, "ground_truth"},
      {{{"ground_truth", truth}, {"anwser", "[]"}}, "anwser"},
      {{{"ground_truth", 7}, {"answer", "[]"}}, "/ground_truth: expected an object or its text, found 7"},
      {{{"ground_truth", "{"}, {"answer", "[]"}}, "could not read the ground truth as JSON"},
      {changed("environment", "moon_base"), "found \"moon_base\", which does not come with this program; give the file of its spec with --spec"},
      {changed("env_sha256", std::string(64, '0')), "found 000000000000, another version of trip_planning"},
      {changed("world", 1), "/world: expected an object"},
      {changed("optimun", 1), "optimun"}};
  std::vector<Json> lines;
  for (const auto& [line, message] : cases) lines.push_back(line);
  lines.push_back({{"ground_truth", truth}, {"answer", truth.at("oracle_answer")}});
  const ProcessResult result = batch(lines);
  CHECK(result.exit_code == 1);
  const auto answers = json_lines(result.out);
  REQUIRE(answers.size() == lines.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(dump_json(answers[i]));
    CHECK(answers[i].at("error").at("code") == "input");
    CHECK(contains(answers[i].at("error").at("message"), cases[i].second));
  }
  CHECK(answers.back().at("value") == 1);
}

TEST_CASE("one answer is judged by a ground truth in a file, and rows of an environment of one's own by its spec") {
  const sample::TemporaryFolder folder;
  const std::string library = std::string(kTestData) + "/../examples/library.json", store = folder.file("t.db");
  REQUIRE(gauntlet_run({"synth", library, "--count", "1", "--difficulty", "1", "--random-tries", "100", "--db", store}).exit_code == 0);
  REQUIRE(gauntlet_run({"export", "rl", "--format", "nemo_gym", "--db", store, "--with-oracle-answer", "--out", folder.file("rl")}).exit_code == 0);
  const std::string text = json_lines(read_text_file(folder.file("rl/train.jsonl"))).at(0).at("verifier_metadata").at("ground_truth");
  std::ofstream(folder.file("truth.json")) << text;
  std::ofstream(folder.file("answer.json")) << dump_json(parse_json(text, "truth").at("oracle_answer"));
  std::vector<std::string> words = {"verify", "--ground-truth", folder.file("truth.json"), "--answer", folder.file("answer.json"), "--json"};
  const ProcessResult without = gauntlet_run(words);
  CHECK(without.exit_code == 3);
  CHECK(contains(without.err, "does not come with this program; give the file of its spec with --spec"));
  words.insert(words.end(), {"--spec", library});
  const ProcessResult good = gauntlet_run(words);
  CHECK(good.exit_code == 0);
  CHECK(parse_json(good.out, "verdict").at("value") == 1);
  CHECK(json_lines(batch({{{"ground_truth", text}, {"answer", "[]"}}}, {"--spec", library}).out).at(0).at("value") == 0);
  std::ofstream(folder.file("answer.json")) << "[]";
  CHECK(gauntlet_run(words).exit_code == 1);
}

TEST_CASE("options of verify that would go unread are refused") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--certificates", "--answer", "a.json", "--task", "t"}, "verify --answer: found --certificates beside it; accepted beside it: --task, --db, --json"},
      {{"--certificates", "--run", "r"}, "verify --certificates: found --run beside it; accepted beside it: --task, --db, --json"},
      {{"--answer", "a.json", "--task", "t", "--update"}, "verify --answer: found --update beside it"},
      {{"--batch", "--db", "t.db"}, "verify --batch: found --db beside it; accepted beside it: --spec, --json"},
      {{"--ground-truth", "g.json", "--answer", "a.json", "--task", "t"}, "verify --ground-truth: found --task beside it"},
      {{"--ground-truth", "g.json"}, "verify --ground-truth: give the answer with --answer FILE"},
      {{"--spec", "s.json"}, "verify --spec: it goes with --ground-truth or --batch"},
      {{"--answer", "a.json"}, "verify --answer: give the task with --task, or a row's ground truth with --ground-truth"},
      {{"--task", "t"}, "verify --task: give an answer with --answer FILE, or --certificates"}};
  for (const auto& [more, message] : cases) {
    std::vector<std::string> words = {"verify"};
    words.insert(words.end(), more.begin(), more.end());
    const ProcessResult result = gauntlet_run(words);
    CAPTURE(result.err);
    CHECK(result.exit_code == 2);
    CHECK(contains(result.err, message));
  }
}

TEST_CASE("the reward function of docs/exports.md judges rows as a trainer would, one process for all") {
  const sample::TemporaryFolder folder;
  const auto rows = exported_rows(folder);
  std::ofstream(folder.file("reward.py")) << documented_reward_function() << R"(
rows = [json.loads(line) for line in open("rl/train.jsonl", encoding="utf-8")]
for row in rows:
    truth = row["reward_model"]["ground_truth"]
    right = json.dumps(json.loads(truth)["oracle_answer"])
    print(reward(truth, right), reward(truth, "[]"), reward(truth, None))
try:
    reward("{}", "[]")
except RuntimeError as error:
    print("refused:", error)
)";
  const std::string path = "PATH=" + std::filesystem::path(kProgram).parent_path().string() + ":" + std::getenv("PATH");
  const ProcessResult result = sample::run_process({"env", path, "python3", "reward.py"}, {.folder = folder.path()});
  if (result.exit_code == 127) {
    MESSAGE("skipped: python3 is not installed");
    return;
  }
  CAPTURE(result.err);
  CHECK(result.exit_code == 0);
  const auto lines = sample::lines_of(result.out);
  REQUIRE(lines.size() == rows.size() + 1);
  CHECK(std::all_of(lines.begin(), lines.end() - 1, [](const std::string& line) { return line == "1.0 0.0 0.0"; }));
  CHECK(contains(lines.back(), "refused: "));
}

}  // namespace gauntlet
