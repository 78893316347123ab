// What the program says to wrong commands, files and machines: what was found, what is accepted, and an exit code that tells which.

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/scripted_endpoint.h"
#include "datasets/sqlite.h"
#include "tests/cli_support.h"
#include "test_paths.h"

using gauntlet::sample::contains;
using gauntlet::sample::gauntlet_run;
using gauntlet::sample::ProcessResult;
using gauntlet::sample::TemporaryFolder;

namespace gauntlet {
namespace {

struct Refusal {
  std::vector<std::string> words;
  int exit_code;
  std::vector<std::string> said;
};

void check_refusal(const Refusal& refusal, const std::string& folder) {
  const ProcessResult result = gauntlet_run(refusal.words, {.input = "", .folder = folder, .environment = {}});
  std::string line;
  for (const auto& word : refusal.words) line += word + " ";
  CAPTURE(line);
  CAPTURE(result.err);
  CHECK(result.exit_code == refusal.exit_code);
  CHECK(result.out == "");
  for (const auto& part : refusal.said) {
    CAPTURE(part);
    CHECK(contains(result.err, part));
  }
}

/// The library example with one thing changed.
Json library() { return read_json_file(std::string(kTestData) + "/../examples/library.json"); }

}  // namespace

TEST_CASE("misspelt words are told with the nearest right one") {
  const TemporaryFolder folder;
  const std::vector<Refusal> refusals = {
      {{"syth"}, 2, {"has no command \"syth\"; did you mean \"synth\"?"}},
      {{"export", "rll"}, 2, {"gauntlet export has no command \"rll\"; did you mean \"rl\"?", "there are: rl, sft"}},
      {{"synth", "trip_planning", "--cout", "3"}, 2, {"gauntlet synth has no option --cout; did you mean \"--count\"?", "gauntlet synth --help says more"}},
      {{"report", "--db", "t.db", "--jsn"}, 2, {"did you mean \"--json\"?"}},
      {{"synth", "trip_plannin"}, 2, {"unknown domain \"trip_plannin\"", "did you mean \"trip_planning\"?"}},
      {{"synth", "trip_planning", "--named", "papr"}, 2, {"no named task \"papr\" (did you mean \"paper\"?)"}},
      {{"env", "show", "bookngs"}, 2, {"did you mean \"bookings\"?"}},
      {{"help", "expot"}, 2, {"did you mean \"export\"?"}},
      {{"completion", "fish"}, 2, {"found \"fish\"; accepted: bash, zsh"}},
  };
  for (const auto& refusal : refusals) check_refusal(refusal, folder.path());
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("values out of range are told with what is accepted, and nothing is written") {
  const TemporaryFolder folder;
  const std::vector<Refusal> refusals = {
      {{"synth", "trip_planning", "--count", "0"}, 2, {"--count: found 0; accepted: 1 to "}},
      {{"synth", "trip_planning", "--count", "abc"}, 2, {"--count: found \"abc\"; accepted: a whole number"}},
      {{"synth", "trip_planning", "--count"}, 2, {"--count"}},
      {{"synth", "trip_planning", "--difficulty", "9"}, 2, {"found 9; accepted: 1, 2, 3, 4, 5"}},
      {{"synth", "trip_planning", "--difficulty", "minimal_tol_calls=3..4"}, 2, {"unknown entry \"minimal_tol_calls\"; accepted: level, log10_density"}},
      {{"synth", "trip_planning", "--threads", "-1"}, 2, {"--threads: found -1"}},
      {{"synth"}, 2, {"DOMAIN is missing"}},
      {{"synth", "trip_planning", "--named", "paper", "--count", "3"}, 2, {"--count 3 with --named: a named task is one certain task; leave --count out"}},
      {{"env", "dump", "bookings", "--domain", "bookings", "--out", "w.db"}, 2, {"give the environment once"}},
      {{"env", "dump", "bookings", "--task", "t", "--out", "w.db"}, 2, {"give an environment or --task, not both"}},
      {{"synth", "bookings"}, 2, {"environment bookings has no task templates"}},
      {{"demo", "--count", "0"}, 2, {"--count: found 0; accepted: 1 to 1000"}},
      {{"demo", "--model", "orcle", "--out", "d"}, 2, {"--model: found \"orcle\"; accepted: builtin, ", "did you mean \"oracle\"?"}},
      {{"demo", "--out", ""}, 2, {"--out: found \"\"; accepted: the path of a file or folder"}},
      {{"synth", "trip_planning", "--db", ""}, 2, {"--db: found \"\"; accepted: "}},
      {{"synth", "trip_planning", "--difficulty", "abc"}, 2, {"found \"abc\"; accepted: 1, 2, 3, 4, 5, or figures with ranges"}},
      {{"synth", "trip_planning", "--seed", "-1"}, 2, {"--seed: found \"-1\"; accepted: a whole number from 0 to 18446744073709551615"}},
      {{"bench", "--seed", "99999999999999999999"}, 2, {"--seed: found \"99999999999999999999\"; accepted: a whole number"}},
      {{"env", "dump", "bookings", "--seed", "-1", "--out", "w.db"}, 2, {"--seed: found \"-1\""}},
      {{"env", "dump", "bookings", "--out", ""}, 2, {"--out: found \"\""}},
      {{"export", "rl", "--out", ""}, 2, {"--out: found \"\""}},
      {{"report", "--db", ""}, 2, {"--db: found \"\""}},
  };
  for (const auto& refusal : refusals) check_refusal(refusal, folder.path());
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("without a command the page is shown, on stderr") {
  const std::vector<std::vector<std::string>> incomplete = {{}, {"env"}, {"export"}, {"chat"}};
  for (const auto& words : incomplete) {
    const ProcessResult result = gauntlet_run(words);
    CHECK(result.exit_code == 2);
    CHECK(result.out == "");
    CHECK(contains(result.err, "Usage: gauntlet"));
    CHECK(contains(result.err, ": name a command"));
  }
}

TEST_CASE("what a store does not hold is told with what it holds") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const std::string task = sample::make_small_store(store).at(0);
  std::string misspelt = task;
  misspelt.back() = misspelt.back() == '0' ? '1' : '0';
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--run", "first"}).exit_code == 0);
  const std::vector<Refusal> refusals = {
      {{"show", "--db", store, misspelt}, 2, {"holds 2 tasks and not this one; did you mean \"" + task + "\"?"}},
      {{"show", "--db", store, "nothing"}, 2, {"gauntlet show --db lists them"}},
      {{"show", "--db", store, "99"}, 2, {"looked for episode 99", "--run NAME lists the episodes of a run"}},
      {{"show", "--db", store, "--run", "frist"}, 2, {"did you mean \"first\"?"}},
      {{"show", "--db", store, "--run", "first", "1"}, 2, {"show: give either an ID or --run; found \"1\" and --run first"}},
      {{"report", "--db", store, "--run", "frist"}, 2, {"first"}},
      {{"verify", "--db", store, "--run", "frist"}, 2, {"did you mean \"first\"?"}},
      {{"export", "sft", "--db", store, "--run", "frist", "--out", folder.file("x")}, 2, {"did you mean \"first\"?"}},
      {{"export", "rl", "--db", store, "--format", "supreset", "--out", folder.file("x")}, 2, {"did you mean \"superset\"?"}},
      {{"export", "rl", "--db", store, "--validation-share", "1.5", "--out", folder.file("x")}, 2, {"1.5"}},
      {{"bench", "--db", store, "--model", "oracl"}, 2, {"did you mean \"oracle\"?"}},
      {{"bench", "--db", store, "--mode", "chatty"}, 2, {"accepted: thinking, chat"}},
      {{"bench", "--db", store, "--level", "7"}, 2, {"no task in "}},
      {{"bench", "--db", store, "--repeats", "0"}, 2, {"--repeats: found 0"}},
      {{"bench", "--db", store, "--limit", "-1"}, 2, {"--limit: found -1; accepted: 1 or more"}},
      {{"bench", "--db", store, "--level", "-5"}, 2, {"--level: found -5; accepted: 0 or more"}},
      {{"bench", "--db", store, "--task", "trip_planning-zzz"}, 2, {"looked for the task \"trip_planning-zzz\""}},
      {{"bench", "--db", store, "--task", "trip_planning-"}, 2, {"is the beginning of 2 tasks"}},
      {{"bench", "--db", store, "--prompt-price", "nan"}, 2, {"--prompt-price: found nan; accepted: 0 or more"}},
      {{"bench", "--db", store, "--completion-price", "inf"}, 2, {"--completion-price: found inf; accepted: 0 or more"}},
      {{"bench", "--db", store, "--prompt-price", "-5"}, 2, {"--prompt-price: found -5; accepted: 0 or more"}},
      {{"bench", "--db", store, "--prompt-price", "1", "--max-cost", "nan"}, 2, {"--max-cost: found nan; accepted: 0 or more"}},
      {{"bench", "--db", store, "--temperature", "nan"}, 2, {"--temperature: found nan; accepted: 0 to 2"}},
      {{"bench", "--db", store, "--top-p", "nan"}, 2, {"--top-p: found nan; accepted: above 0, to 1"}},
      {{"bench", "--db", store, "--timeout-seconds", "inf"}, 2, {"--timeout-seconds: found inf; accepted: 0.001 to"}},
      {{"bench", "--db", store, "--run", "first", "--model", "noop"}, 2, {"first"}},
      {{"bench", "--db", store, "--model", "http://127.0.0.1:9/v1", "--api-key-env", "GAUNTLET_NO_SUCH_VARIABLE"}, 2, {"GAUNTLET_NO_SUCH_VARIABLE is not set"}},
      {{"verify", "--db", store, "--task", task}, 2, {"--answer FILE"}},
      {{"verify", "--db", store, "--task", task, "--answer", folder.file("none.json")}, 3, {"none.json"}},
      {{"env", "dump", "--db", store, "--out", folder.file("w.db")}, 2, {"give --db and --task"}},
  };
  for (const auto& refusal : refusals) check_refusal(refusal, folder.path());
}

TEST_CASE("files that are no stores are refused and left as they are") {
  const TemporaryFolder folder;
  std::ofstream(folder.file("junk.db")) << "hello, this is some text and no database at all\n";
  { Database(folder.file("other.db"), DatabaseAccess::Create, std::chrono::seconds(1)).execute("CREATE TABLE t (x)", "make"); }
  const std::string newer = folder.file("newer.db");
  sample::make_small_store(newer);
  { Database(newer, DatabaseAccess::ReadWrite, std::chrono::seconds(1)).execute("PRAGMA user_version = 999", "age"); }
  const std::vector<Refusal> refusals = {
      {{"report", "--db", folder.file("missing.db")}, 3, {"missing.db: there is no such file"}},
      {{"bench", "--db", folder.file("missing.db")}, 3, {"there is no such file"}},
      {{"report", "--db", folder.file("junk.db")}, 3, {"is not an SQLite database"}},
      {{"synth", "trip_planning", "--count", "1", "--db", folder.file("junk.db")}, 3, {"is not an SQLite database"}},
      {{"synth", "trip_planning", "--count", "1", "--db", folder.file("other.db")}, 3, {"other.db"}},
      {{"report", "--db", newer}, 3, {"999"}},
      {{"bench", "--db", newer}, 3, {"999"}},
      {{"doctor", "--db", folder.path()}, 3, {folder.path()}},
      {{"env", "check", folder.path()}, 3, {folder.path() + ": it is a folder; accepted: a file"}},
      {{"synth", folder.path(), "--count", "1", "--db", folder.file("t.db")}, 3, {folder.path() + ": it is a folder; accepted: a file"}},
      {{"synth", "trip_planning", "--count", "1", "--db", folder.file("no/such/folder/t.db")}, 3, {"no/such/folder/t.db"}},
  };
  for (const auto& refusal : refusals) check_refusal(refusal, folder.path());
  CHECK(contains(read_text_file(folder.file("junk.db")), "hello"));
}

TEST_CASE("a store on a read-only file system can be read and exported, and writing says why not") {
  const TemporaryFolder folder, elsewhere;
  const std::string store = folder.file("t.db");
  const std::string task = sample::make_small_store(store).at(0);
  // Permissions do not bind root, so the folder is mounted again, read-only.
  const auto confined = [&](std::vector<std::string> words) {
    const std::vector<std::string> bwrap = {"bwrap", "--dev-bind", "/", "/", "--ro-bind", folder.path(), folder.path(), kProgram};
    words.insert(words.begin(), bwrap.begin(), bwrap.end());
    return sample::run_process(words);
  };
  try {
    if (confined({"--version"}).exit_code != 0) {
      MESSAGE("skipped: bwrap cannot mount here");
      return;
    }
  } catch (const std::exception& error) {
    MESSAGE("skipped: ", error.what());
    return;
  }
  const ProcessResult bench = confined({"bench", "--db", store, "--model", "noop"});
  CHECK(bench.exit_code == 3);
  CHECK(contains(bench.err, "its folder is read-only"));
  CHECK(confined({"synth", "trip_planning", "--count", "1", "--db", folder.file("new.db")}).exit_code == 3);
  CHECK(confined({"show", "--db", store, task}).exit_code == 0);
  const ProcessResult exported = confined({"export", "rl", "--db", store, "--out", elsewhere.file("rl")});
  CHECK(exported.exit_code == 0);
  CHECK(contains(exported.err, "is not in the store's log"));
  CHECK(std::filesystem::exists(elsewhere.file("rl/train.jsonl")));
  const ProcessResult inside = confined({"export", "rl", "--db", store, "--out", folder.file("rl")});
  CHECK(inside.exit_code == 3);
  CHECK(contains(inside.err, folder.file("rl")));
}

TEST_CASE("what this user may not touch is told with its name") {
  const TemporaryFolder folder;  // of this user alone
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  const bool root = ::geteuid() == 0;  // whom permissions do not bind
  if (!root) std::filesystem::permissions(folder.path(), std::filesystem::perms::none);
  const auto barred = [&](std::vector<std::string> words) {
    const std::vector<std::string> program = root ? std::vector<std::string>{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", kProgram}
                                                  : std::vector<std::string>{kProgram};
    words.insert(words.begin(), program.begin(), program.end());
    return sample::run_process(words);
  };
  const bool can = barred({"--version"}).exit_code == 0;
  const std::vector<std::vector<std::string>> attempts = {{"report", "--db", store},
                                                          {"synth", "trip_planning", "--count", "1", "--db", folder.file("new.db")},
                                                          {"env", "check", folder.file("spec.json")},
                                                          {"env", "dump", "--domain", "bookings", "--out", folder.file("w.db")},
                                                          {"demo", "--model", "oracle", "--out", folder.file("demo")}};
  for (const auto& words : attempts) {
    if (!can) break;
    const ProcessResult result = barred(words);
    CAPTURE(words.front());
    CAPTURE(result.err);
    CHECK(result.exit_code == 3);
    CHECK(contains(result.err, folder.path()));
  }
  if (!root) std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  if (!can) MESSAGE("skipped: the program cannot be run as another user");
}

TEST_CASE("an endpoint that refuses or answers HTML is told at once, and nothing is scored") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  std::string refusing;
  {
    const ScriptedEndpoint gone(std::vector<ScriptedAnswer>(1));
    refusing = gone.base_url() + "/v1";
  }
  const ProcessResult refused = gauntlet_run({"bench", "--db", store, "--model", refusing});
  CHECK(refused.exit_code == 3);
  CHECK(contains(refused.err, "could not ask " + refusing + " for its models (connection)"));
  CHECK(contains(refused.err, ": Connection refused)"));
  CHECK(contains(refused.err, "--model-name"));

  const ScriptedAnswer page = {.status = 200, .content_type = "text/html", .pieces = {"<html><title>It works</title></html>"}, .headers = {}};
  const ScriptedEndpoint html(std::vector<ScriptedAnswer>{page});
  const ProcessResult answered = gauntlet_run({"bench", "--db", store, "--model", html.base_url() + "/v1"});
  CHECK(answered.exit_code == 3);
  CHECK(contains(answered.err, "(protocol)"));
  CHECK(contains(answered.err, "<html>"));
  CHECK(gauntlet_run({"show", "--db", store, "--json"}).out.find("\"runs\":[]") != std::string::npos);

  // With the model named the run starts, and its faults are told, stored unscored, and tried again by the same command.
  const ProcessResult run = gauntlet_run({"bench", "--db", store, "--model", html.base_url() + "/v1", "--model-name", "m", "--max-attempts", "1", "--retries-on-fault", "0", "--run", "r", "--json"});
  CHECK(run.exit_code == 3);
  CHECK(contains(run.err, "2 x protocol: "));
  const Json accounts = parse_json(run.out, "bench");
  CHECK(accounts.at("infrastructure_faults") == 2);
  CHECK(accounts.at("completed") == 0);
  const Json report = parse_json(gauntlet_run({"report", "--db", store, "--run", "r", "--json"}).out, "report");
  CHECK(report.at("n") == 2);
  CHECK(report.at("scored") == 0);
  CHECK(report.at("pass_at") == Json::object());
}

TEST_CASE("a task that does not fit an endpoint's context is a fault, played once, and show tells what the endpoint said") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  const std::string said = R"({"error":{"message":"This model's maximum context length is 64 tokens. However, your messages resulted in 900 tokens."}})";
  const ScriptedEndpoint small(std::vector<ScriptedAnswer>{{.status = 400, .pieces = {said}, .headers = {}}});
  const ProcessResult run = gauntlet_run({"bench", "--db", store, "--model", small.base_url(), "--model-name", "m", "--run", "r", "--json"});
  CHECK(run.exit_code == 3);
  CHECK(contains(run.err, "2 x context_length: "));
  CHECK(parse_json(run.out, "bench").at("infrastructure_faults") == 2);
  CHECK(small.seen().size() == 2);
  const ProcessResult shown = gauntlet_run({"show", "--db", store, "1"});
  CHECK(contains(shown.out, "your messages resulted in 900 tokens"));
  CHECK(contains(shown.out, "not scored"));
}

TEST_CASE("an episode that runs out of time is unscored, counted with the faults, and tried again by the next command") {
  const TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  const auto ids = sample::make_small_store(store);
  ScriptedAnswer working = {.content_type = "text/event-stream", .pieces = {"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n"}, .headers = {}};
  working.hold = true;
  const ScriptedEndpoint slow(std::vector<ScriptedAnswer>{working});
  const auto bench = [&] {
    const std::string prefix = ids[0].substr(0, ids[0].size() - 1);
    return gauntlet_run({"bench", "--db", store, "--task", prefix, "--model", slow.base_url(), "--model-name", "m", "--run", "r", "--timeout-seconds", "0.3", "--json"});
  };
  for (std::size_t round = 1; round <= 2; ++round) {
    const ProcessResult run = bench();
    CHECK(run.exit_code == 3);
    CHECK(contains(run.err, "1 x out_of_time: the episode's 0.3 s passed"));
    CHECK(parse_json(run.out, "bench").at("infrastructure_faults") == 1);
    CHECK(slow.seen().size() == round);
  }
  const Json report = parse_json(gauntlet_run({"report", "--db", store, "--run", "r", "--json"}).out, "report");
  CHECK(report.at("scored") == 0);
  CHECK(report.at("infrastructure_faults") == 1);
  CHECK(report.at("stop_reasons") == Json{{"time_limit", 1}});
}

TEST_CASE("a replay of a run that is not there is a usage error; one that lacks some tasks leaves them unscored") {
  const TemporaryFolder folder;
  const std::string store = folder.file("s.db");
  const auto ids = sample::make_small_store(store);
  const ProcessResult unknown = gauntlet_run({"bench", "--db", store, "--model", "replay:nope"});
  CHECK(unknown.exit_code == 2);
  CHECK(contains(unknown.err, "looked for the run \"nope\""));
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--task", ids[0], "--run", "one"}).exit_code == 0);
  const ProcessResult partly = gauntlet_run({"bench", "--db", store, "--model", "replay:one", "--retries-on-fault", "0", "--json"});
  CHECK(partly.exit_code == 3);
  const Json accounts = parse_json(partly.out, "bench");
  CHECK(accounts.at("completed") == 1);
  CHECK(accounts.at("passed") == 1);
  CHECK(accounts.at("infrastructure_faults") == 1);
}

TEST_CASE("env check names the place of every fault in a spec") {
  const TemporaryFolder folder;
  const auto check = [&](const Json& spec) {
    std::ofstream(folder.file("spec.json")) << spec.dump(1);
    const ProcessResult text = gauntlet_run({"env", "check", folder.file("spec.json")});
    const Json json = parse_json(gauntlet_run({"env", "check", "--json", folder.file("spec.json")}).out, "env check");
    CHECK(json.at("ok") == (text.exit_code == 0));
    return std::pair(text.exit_code, text.out);
  };
  CHECK(check(library()).first == 0);

  Json missing_column = library();
  missing_column["tools"][2]["statements"][0] = "SELECT branch, genre, pages, stars FROM book WHERE title = :title";
  const auto [code, said] = check(missing_column);
  CHECK(code == 1);
  CHECK(contains(said, "/tools/2/statements/0"));
  CHECK(contains(said, "stars"));

  Json undeclared = library();
  undeclared["tools"][2]["reads"]["book"] = Json::array({"title", "branch", "genre"});
  CHECK(check(undeclared).first == 1);
  CHECK(contains(check(undeclared).second, "pages"));

  Json unknown_member = library();
  unknown_member["entities"][0]["colums"] = Json::array();
  CHECK(contains(check(unknown_member).second, "/entities/0"));

  Json writes = library();
  writes["tools"][2]["statements"][0] = "DELETE FROM book WHERE title = :title";
  CHECK(check(writes).first == 1);

  std::ofstream(folder.file("spec.json")) << "{\"format\": ";
  CHECK(gauntlet_run({"env", "check", folder.file("spec.json")}).exit_code == 1);
  CHECK(gauntlet_run({"env", "check", folder.file("none.json")}).exit_code == 3);
  CHECK(gauntlet_run({"synth", folder.file("none.json")}).exit_code == 3);
}

TEST_CASE("the example environment is good, and tasks are made of it, played and certified again") {
  const TemporaryFolder folder;
  const std::string spec = std::string(kTestData) + "/../examples/library.json", store = folder.file("library.db");
  CHECK(gauntlet_run({"env", "check", spec}).exit_code == 0);
  const ProcessResult made = gauntlet_run({"synth", spec, "--count", "3", "--difficulty", "1", "--random-tries", "200", "--db", store, "--json"});
  CAPTURE(made.err);
  REQUIRE(made.exit_code == 0);
  CHECK(sample::json_lines(made.out).size() == 3);
  const ProcessResult played = gauntlet_run({"bench", "--db", store, "--model", "oracle", "--json"});
  CHECK(parse_json(played.out, "bench").at("passed") == 3);
  CHECK(parse_json(gauntlet_run({"bench", "--db", store, "--model", "greedy", "--json"}).out, "bench").at("passed") == 0);
  CHECK(gauntlet_run({"verify", "--db", store, "--certificates"}).exit_code == 0);
}

TEST_CASE("a run whose name is a number is shown by --run, an episode of that number by itself") {
  const sample::TemporaryFolder folder;
  const std::string store = folder.file("t.db");
  sample::make_small_store(store);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "noop", "--run", "first"}).exit_code == 0);
  REQUIRE(gauntlet_run({"bench", "--db", store, "--model", "oracle", "--run", "1"}).exit_code == 0);
  const auto run = sample::json_lines(gauntlet_run({"show", "--db", store, "--run", "1", "--json"}).out);
  REQUIRE(run.size() == 2);
  CHECK(run[0].at("run") == "1");
  CHECK(parse_json(gauntlet_run({"show", "--db", store, "1", "--json"}).out, "show").at("run") == "first");
}

TEST_CASE("output that nobody takes is not a success") {
  const ProcessResult result = sample::run_process({"bash", "-c", "\"$0\" help --format markdown > /dev/full", kProgram});
  CHECK(result.exit_code == 3);
  CHECK(contains(result.err, "could not write to standard output"));
}

}  // namespace gauntlet
