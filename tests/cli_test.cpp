// The program as scripts use it: the whole path twice with the same outcome, and every contract on what stdout holds.

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "datasets/sqlite.h"
#include "tests/cli_support.h"
#include "test_paths.h"

using gauntlet::sample::contains;
using gauntlet::sample::gauntlet_run;
using gauntlet::sample::json_lines;
using gauntlet::sample::ProcessResult;
using gauntlet::sample::TemporaryFolder;

namespace gauntlet {
namespace {

std::string sorted_lines(const std::string& text) {
  auto lines = sample::lines_of(text);
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

/// What differs from time to time is taken out: clocks.
Json without_times(Json value) {
  if (value.is_object()) value.erase("wall_ms");
  if (value.is_structured()) {
    for (auto& item : value) item = without_times(item);
  }
  return value;
}

std::map<std::string, std::string> walk_whole_path(const std::string& folder) {
  const std::string store = folder + "/t.db";
  std::map<std::string, std::string> outcome;
  const auto step = [&](const std::string& name, const std::vector<std::string>& words) {
    const ProcessResult result = gauntlet_run(words);
    CAPTURE(name);
    CAPTURE(result.err);
    REQUIRE(result.exit_code == 0);
    outcome[name] = result.out;
    return result.out;
  };
  const std::string made = step("synth", {"synth", "trip_planning", "--count", "3", "--difficulty", "2", "--random-tries", "200", "--seed", "7", "--db", store, "--json"});
  const std::string task = json_lines(made).at(0).at("task_id");
  const Json bench = parse_json(step("bench", {"bench", "--db", store, "--model", "oracle", "--repeats", "2", "--json"}), "bench");
  CHECK(bench.at("passed") == 6);
  outcome["bench"].clear();
  outcome["report"] = dump_json(without_times(parse_json(step("report", {"report", "--db", store, "--json"}), "report")));
  step("show", {"show", "--db", store, task, "--json"});
  step("show text", {"show", "--db", store, task});
  outcome.erase("show text");  // it names the store
  step("verify", {"verify", "--db", store});
  step("certificates", {"verify", "--db", store, "--certificates"});
  const std::vector<std::pair<std::string, std::string>> formats = {{"superset", "rl"}, {"nemo_gym", "rl"}, {"messages", "sft"}, {"sharegpt", "sft"}};
  for (const auto& [format, kind] : formats) {
    step(format, {"export", kind, "--format", format, "--db", store, "--out", folder + "/" + format, "--validation-share", "0.4"});
    for (const char* split : {"train", "validation"}) {
      const std::string path = folder + "/" + format + "/" + split + ".jsonl";
      // Episodes are stored as they finish, so their order is no promise.
      if (std::filesystem::exists(path)) outcome[format + split] = sorted_lines(read_text_file(path));
    }
  }
  CHECK(outcome.at("supersettrain").size() + outcome["supersetvalidation"].size() > 1000);
  return outcome;
}

}  // namespace

TEST_CASE("the whole path gives the same tasks, verdicts and exports a second time") {
  const TemporaryFolder first, second;
  const auto before = walk_whole_path(first.path()), after = walk_whole_path(second.path());
  REQUIRE(before.size() == after.size());
  for (const auto& [name, text] : before) {
    CAPTURE(name);
    CHECK(text == after.at(name));
  }
}

TEST_CASE("synth gives a line a task, and show gives the object that scripts rely on") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const auto ids = sample::make_small_store(store);
  REQUIRE(ids.size() == 2);
  const ProcessResult shown = gauntlet_run({"show", "--db", store, "--json", ids[0]});
  REQUIRE(shown.exit_code == 0);
  const Json task = parse_json(shown.out, "show");
  CHECK(task.at("task_id") == ids[0]);
  CHECK(task.at("domain") == "trip_planning");
  CHECK(task.at("difficulty").at("level") == 1);
  CHECK(task.at("difficulty").at("vector").at("minimal_tool_calls").is_number());
  CHECK(contains(task.at("prompt"), "submit_result"));
  REQUIRE(task.at("tools").size() == 15);
  for (const auto& tool : task.at("tools")) {
    CHECK(tool.at("type") == "function");
    CHECK(tool.at("function").at("parameters").at("type") == "object");
  }
  CHECK(task.at("constraints").size() > 4);
  CHECK(task.at("constraints")[0].is_string());
  const Json& certificate = task.at("certificate");
  CHECK(certificate.at("solution_count").get<std::int64_t>() > 0);
  CHECK(certificate.at("solution_count_exact").is_boolean());
  CHECK(certificate.at("minimal_tool_calls").get<int>() >= 4);
  CHECK(certificate.at("random_pass_rate").is_number());
  CHECK(certificate.at("true_negative_rate") == 1.0);
  CHECK(certificate.at("true_positive_rate") == 1.0);
  CHECK(certificate.at("oracle_answer")[0].contains("hotel"));
}

TEST_CASE("a named task is made once, and asking again changes nothing") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const std::vector<std::string> words = {"synth", "trip_planning", "--named", "paper", "--random-tries", "100", "--db", store, "--json"};
  const ProcessResult first = gauntlet_run(words), second = gauntlet_run(words);
  REQUIRE(first.exit_code == 0);
  CHECK(json_lines(first.out).at(0).at("named") == "paper");
  CHECK(second.out == first.out);
  CHECK(contains(second.err, "1 task in "));
}

TEST_CASE("verify scores one answer: 0 when it passes, 1 when it does not") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const std::string task = sample::make_small_store(store).at(0);
  Json answer = parse_json(gauntlet_run({"show", "--db", store, "--json", task}).out, "show").at("certificate").at("oracle_answer");
  const auto verify = [&](const std::string& text) {
    std::ofstream(folder.file("answer.json")) << text;
    return gauntlet_run({"verify", "--db", store, "--task", task, "--answer", folder.file("answer.json"), "--json"});
  };
  const ProcessResult good = verify(dump_json(answer));
  CHECK(good.exit_code == 0);
  const Json verdict = parse_json(good.out, "verify");
  CHECK(verdict.at("value") == 1);
  REQUIRE(verdict.at("components").size() > 4);
  for (const auto& component : verdict.at("components")) {
    CHECK(component.at("holds") == true);
    CHECK(component.at("constraint").is_string());
    CHECK(component.at("explanation").is_string());
  }
  CHECK(verify("```json\n" + answer.dump(2) + "\n```\n").exit_code == 0);

  answer[0]["city"] = "Atlantis";
  const ProcessResult wrong = verify(dump_json(answer));
  CHECK(wrong.exit_code == 1);
  CHECK(parse_json(wrong.out, "verify").at("value") == 0);
  const std::vector<std::string> broken_answers = {"", "[{\"time\": ", "null", "[]", "{\"a\": 1}", "no JSON", "[1, 2]", std::string(5000, '['), "\xff\xfe"};
  for (const auto& broken : broken_answers) {
    CAPTURE(broken);
    const ProcessResult result = verify(broken);
    CHECK(result.exit_code == 1);
    CHECK(parse_json(result.out, "verify").at("value") == 0);
  }
  const ProcessResult piped = gauntlet_run({"verify", "--db", store, "--task", task, "--answer", "-"}, {.input = "[]", .folder = "", .environment = {}});
  CHECK(piped.exit_code == 1);
  CHECK(contains(piped.out, "does not pass: "));
}

TEST_CASE("the report has accounts and pass rates for the run, by domain and by level") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--repeats", "3", "--run", "r"}).exit_code == 0);
  const Json report = parse_json(gauntlet_run({"report", "--db", store, "--run", "r", "--json"}).out, "report");
  for (const Json* group : {&report, &report.at("by_domain").at("trip_planning"), &report.at("by_level").at("1")}) {
    CHECK(group->at("n") == 6);
    CHECK(group->at("scored") == 6);
    CHECK(group->at("infrastructure_faults") == 0);
    for (const char* rates : {"pass_at", "pass_hat"}) {
      REQUIRE(group->at(rates).contains("3"));
      CHECK(group->at(rates).at("3").at("value") == 1.0);
      CHECK(group->at(rates).at("3").at("low").get<double>() < 1.0);
      CHECK(group->at(rates).at("3").at("high") == 1.0);
    }
  }
}

TEST_CASE("bench resumes what is missing and grows a run") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  std::string told;
  const auto bench = [&](const std::string& repeats) {
    const ProcessResult result = gauntlet_run({"bench", "--db", store, "--model", "noop", "--repeats", repeats, "--json"});
    CHECK(result.exit_code == 0);
    told = result.err;
    return parse_json(result.out, "bench");
  };
  const Json first = bench("1"), again = bench("1");
  CHECK(contains(told, "2/2 episodes  all stored already, 0 of them pass"));
  const Json more = bench("2");
  CHECK(first.at("completed") == 2);
  CHECK(first.at("passed") == 0);
  CHECK(again.at("completed") == 0);
  CHECK(again.at("completed_before") == 2);
  CHECK(more.at("run") == first.at("run"));
  CHECK(more.at("requested") == 4);
  CHECK(more.at("completed") == 2);
}

TEST_CASE("chat encode and chat parse answer every published vector") {
  std::ifstream file(std::string(kTestData) + "/golden/encoding/public.jsonl");
  std::map<std::string, std::string> lines;
  std::map<std::string, std::vector<Json>> vectors;
  for (std::string line; std::getline(file, line);) {
    Json vector = Json::parse(line);
    const std::string kind = vector.at("kind");
    lines[kind] += line + "\n";
    vectors[kind].push_back(std::move(vector));
  }
  struct Kind {
    std::string name;
    std::size_t count;
    std::string key;
  };
  for (const Kind& kind : {Kind{"encode", 66, "text"}, Kind{"parse", 49, "message"}}) {
    const ProcessResult result = gauntlet_run({"chat", kind.name}, {.input = lines[kind.name], .folder = "", .environment = {}});
    CHECK(result.exit_code == 1);  // some vectors are refusals
    const auto answers = json_lines(result.out);
    REQUIRE(answers.size() == kind.count);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Json& vector = vectors[kind.name][i];
      CAPTURE(vector.at("id").get<std::string>());
      if (vector.contains("error")) CHECK(answers[i].at("error").at("code") == vector.at("error").at("type"));
      else CHECK(canonical_json(answers[i].at(kind.key)) == canonical_json(vector.at("expected")));
    }
  }
  CHECK(gauntlet_run({"chat", "parse", "--lenient"}, {.input = lines["parse_lenient"], .folder = "", .environment = {}}).exit_code == 0);
  const ProcessResult broken = gauntlet_run({"chat", "encode"}, {.input = "not JSON\n", .folder = "", .environment = {}});
  CHECK(broken.exit_code == 1);
  CHECK(json_lines(broken.out).at(0).at("error").at("message").is_string());
}

TEST_CASE("a certificate that cannot be read is told of, and the others are still checked") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const auto tasks = sample::make_small_store(store);
  REQUIRE(tasks.size() >= 2);
  Database(store, DatabaseAccess::ReadWrite, std::chrono::seconds(1)).prepare("UPDATE certificates SET certificate = '{\"version\":2}' WHERE task_id = ?", "spoil").run(tasks[0]);
  const ProcessResult result = gauntlet_run({"verify", "--db", store, "--certificates", "--json"});
  CHECK(result.exit_code == 1);
  REQUIRE(json_lines(result.out).size() == 1);
  CHECK(json_lines(result.out)[0].at("task_id") == tasks[0]);
  CHECK(contains(json_lines(result.out)[0].at("problem").get<std::string>(), "it cannot be read"));
  CHECK(contains(result.err, std::to_string(tasks.size() - 1) + " equal to the byte, 1 not"));
}

TEST_CASE("env dump writes the tables and columns that scripts rely on") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const std::string task = sample::make_small_store(store).at(0);
  REQUIRE(gauntlet_run({"env", "dump", "--db", store, "--task", task, "--out", folder.file("w.db")}).exit_code == 0);
  const Database world(folder.file("w.db"), DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  const std::map<std::string, std::vector<std::string>> tables = {{"city", {"name"}},
                                                                  {"hotel", {"name", "city", "price", "rating"}},
                                                                  {"restaurant", {"name", "city", "price", "rating"}},
                                                                  {"attraction", {"name", "city", "price", "rating"}},
                                                                  {"inter_city_transport", {"from_city", "to_city", "mode", "price", "duration_minutes"}},
                                                                  {"city_transport", {"city", "mode", "price"}},
                                                                  {"weather", {"city", "date", "condition", "high_c", "low_c"}}};
  for (const auto& [table, columns] : tables) {
    CAPTURE(table);
    for (const auto& column : columns) {
      CHECK(world.query_integer("SELECT count(*) FROM pragma_table_info('" + table + "') WHERE name = '" + column + "'", "look") == 1);
    }
    CHECK(world.query_integer("SELECT count(*) FROM " + table, "count") > 0);
  }
  const ProcessResult again = gauntlet_run({"env", "dump", "--db", store, "--task", task, "--out", folder.file("w.db")});
  CHECK(again.exit_code != 0);
  CHECK(contains(again.err, "will not overwrite"));
}

TEST_CASE("stdout is data, stderr is for people") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const ProcessResult synth = gauntlet_run({"synth", "trip_planning", "--count", "1", "--difficulty", "1", "--random-tries", "100", "--db", store});
  CHECK(synth.out == "");
  CHECK(contains(synth.err, "trip_planning: 1 of 1 task made and certified"));
  const ProcessResult bench = gauntlet_run({"bench", "--db", store});
  CHECK(bench.out == "");
  CHECK(contains(bench.err, "1/1 episodes"));
  const ProcessResult report = gauntlet_run({"report", "--db", store});
  CHECK(report.err == "");
  CHECK(contains(report.out, "requested 1 = completed 1 + failed 0 + cancelled 0 + missing 0"));
  CHECK_FALSE(contains(report.out, "\033["));
  const ProcessResult transcript = gauntlet_run({"show", "--db", store, "1"});
  CHECK(transcript.err == "");
  CHECK_FALSE(contains(transcript.out, "\033["));
  CHECK(contains(transcript.out, "passes: all "));
}

TEST_CASE("verify tells what was changed behind its back, and --update stores it") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const std::string task = sample::make_small_store(store).at(0);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle"}).exit_code == 0);
  CHECK(gauntlet_run({"verify", "--db", store}).exit_code == 0);
  { Database(store, DatabaseAccess::ReadWrite, std::chrono::seconds(1)).execute("UPDATE scores SET value = 0 WHERE episode_id = 1", "tamper"); }
  const ProcessResult changed = gauntlet_run({"verify", "--db", store, "--json"});
  CHECK(changed.exit_code == 1);
  REQUIRE(json_lines(changed.out).size() == 1);
  CHECK(json_lines(changed.out)[0].at("episode") == 1);
  CHECK(json_lines(changed.out)[0].at("now").at("value") == 1.0);
  CHECK(gauntlet_run({"verify", "--db", store, "--update"}).exit_code == 1);
  CHECK(gauntlet_run({"verify", "--db", store}).exit_code == 0);
  {
    Database(store, DatabaseAccess::ReadWrite, std::chrono::seconds(1))
        .execute("UPDATE certificates SET certificate = json_set(certificate, '$.minimal_tool_calls', 1) WHERE task_id = '" + task + "'", "tamper");
  }
  const ProcessResult certificates = gauntlet_run({"verify", "--db", store, "--certificates"});
  CHECK(certificates.exit_code == 1);
  CHECK(contains(certificates.out, task + ": the certificate differs: minimal_tool_calls: stored 1"));
}

TEST_CASE("show lists what a store holds, the episodes of a run, and takes the beginning of a task's id") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const auto ids = sample::make_small_store(store);
  for (const char* agent : {"oracle", "noop"}) REQUIRE(gauntlet_run({"bench", "--db", store, "--model", agent, "--run", agent}).exit_code == 0);
  const Json listed = parse_json(gauntlet_run({"show", "--db", store, "--json"}).out, "show");
  REQUIRE(listed.at("tasks").size() == 2);
  CHECK(listed.at("tasks")[0].at("task_id") == ids[0]);
  CHECK(listed.at("runs") == Json::parse(R"([{"run": "oracle", "requested": 2, "episodes": 2, "scored": 2, "passed": 2}, {"run": "noop", "requested": 2, "episodes": 2, "scored": 2, "passed": 0}])"));
  const ProcessResult shortened = gauntlet_run({"show", "--db", store, "--limit", "1"});
  CHECK(contains(shortened.out, "and 1 more (--limit 0 lists all)"));

  CHECK(json_lines(gauntlet_run({"show", "--db", store, "oracle", "--json"}).out).size() == 2);
  CHECK(gauntlet_run({"show", "--db", store, "oracle", "--failed", "--json"}).out == "");
  const auto failed = json_lines(gauntlet_run({"show", "--db", store, "noop", "--failed", "--json"}).out);
  REQUIRE(failed.size() == 2);
  CHECK(failed[0].at("value") == 0.0);

  const std::string beginning = ids[0].substr(0, ids[0].size() - 4);
  CHECK(gauntlet_run({"show", "--db", store, beginning}).out == gauntlet_run({"show", "--db", store, ids[0]}).out);
  const ProcessResult several = gauntlet_run({"show", "--db", store, "trip_planning-"});
  CHECK(several.exit_code == 2);
  CHECK(contains(several.err, "is the beginning of 2 tasks"));
}

TEST_CASE("a transcript shows thinking, calls, results and failed requirements first") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--run", "good"}).exit_code == 0);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "greedy", "--run", "bad"}).exit_code == 0);
  const std::string good = gauntlet_run({"show", "--db", store, "1"}).out;
  for (const char* part : {"assistant thinks", "call get_all_hotels_by_city(city: \"", "result of get_all_hotels_by_city", "call submit_result(answer_text: …)", "\"afternoon_restaurant\":", "verdict", "holds the city"}) {
    CAPTURE(part);
    CHECK(contains(good, part));
  }
  const std::string bad = gauntlet_run({"show", "--db", store, "3"}).out;
  REQUIRE(contains(bad, "  fails "));
  CHECK(bad.find("  fails ") < bad.find("  holds "));
  CHECK(contains(bad, "does not pass: "));
}

TEST_CASE("doctor tells what the machine has, and whether a store is sound") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  const Json machine = parse_json(gauntlet_run({"doctor", "--json"}).out, "doctor");
  CHECK(machine.at("cores").get<int>() > 0);
  CHECK(machine.at("domains").size() >= 2);
  CHECK_FALSE(machine.at("vectors").get<std::string>().empty());
  CHECK_FALSE(machine.at("cuda").get<std::string>().empty());  // a device, or why there is none
  const ProcessResult sound = gauntlet_run({"doctor", "--db", store});
  CHECK(sound.exit_code == 0);
  CHECK(contains(sound.out, "2 tasks"));
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "noop"}).exit_code == 0);
  { Database(store, DatabaseAccess::ReadWrite, std::chrono::seconds(1)).execute("UPDATE episodes SET message_count = 99", "tamper"); }
  const ProcessResult unsound = gauntlet_run({"doctor", "--db", store});
  CHECK(unsound.exit_code == 1);
  CHECK(contains(unsound.out, "problem: "));
}

}  // namespace gauntlet
