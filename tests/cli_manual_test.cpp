// Help texts, the manual in docs/, and completion in real shells.

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "datasets/sqlite.h"
#include "tests/cli_support.h"
#include "test_paths.h"

using gauntlet::sample::contains;
using gauntlet::sample::gauntlet_run;
using gauntlet::sample::lines_of;
using gauntlet::sample::ProcessResult;

namespace gauntlet {
namespace {

/// "export rl" for "## gauntlet export rl" in the manual; the root is "".
std::vector<std::string> command_paths() {
  std::vector<std::string> out;
  const std::string head = "## gauntlet";
  for (const auto& line : lines_of(gauntlet_run({"help", "--format", "markdown"}).out)) {
    if (line.starts_with(head)) out.push_back(line.size() > head.size() ? line.substr(head.size() + 1) : "");
  }
  return out;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> out;
  for (std::string word; stream >> word;) out.push_back(word);
  return out;
}

/// What bash offers for the last word.
std::vector<std::string> bash_offers(const std::string& line) {
  auto words = words_of(line);
  if (line.ends_with(' ')) words.emplace_back();
  std::string array;
  for (const auto& word : words) array += "'" + word + "' ";
  const std::string script = "source <(\"$0\" completion bash); COMP_WORDS=(" + array + "); COMP_CWORD=" + std::to_string(words.size() - 1) + "; _gauntlet; printf '%s\\n' \"${COMPREPLY[@]}\"";
  return lines_of(sample::run_process({"bash", "-c", script, kProgram}).out);
}

bool offers(const std::vector<std::string>& offered, const std::string& word) { return std::find(offered.begin(), offered.end(), word) != offered.end(); }

}  // namespace

TEST_CASE("every command has a page: usage, options with what they take, examples where they help, exit status") {
  const auto paths = command_paths();
  CHECK(paths.size() >= 20);
  for (const auto& path : paths) {
    CAPTURE(path);
    auto words = words_of(path);
    words.emplace_back("--help");
    const ProcessResult page = gauntlet_run(words);
    CHECK(page.exit_code == 0);
    CHECK(page.err == "");
    CHECK(page.out.starts_with("gauntlet" + (path.empty() ? "" : " " + path) + " - "));
    for (const char* part : {"\nUsage: gauntlet", "\nOptions:\n", "  -h, --help", "\nExit status:\n  0  "}) CHECK(contains(page.out, part));
    for (const auto& line : lines_of(page.out)) {
      if (!line.starts_with("  gauntlet ") && !line.starts_with("  echo ")) CHECK(line.size() <= 104);  // examples are not broken
    }
    words.pop_back();
    words.insert(words.begin(), "help");
    CHECK(gauntlet_run(words).out == page.out);
    words.insert(words.end(), {"--format", "man"});
    const std::string roff = gauntlet_run(words).out;
    CHECK(roff.starts_with(".TH GAUNTLET"));
    CHECK(contains(roff, ".SH EXIT STATUS"));
  }
}

TEST_CASE("docs/commands.md is what the program says of itself") {
  const std::string told = gauntlet_run({"help", "--format", "markdown"}).out;
  const std::string written = read_text_file(std::string(kTestData) + "/../docs/commands.md");
  const bool same = told == written;
  INFO("make it anew: build/release/gauntlet help --format markdown > docs/commands.md");
  CHECK(same);
}

TEST_CASE("the queries of docs/store.md run on a store that the program made") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("t.db");
  const std::string task = sample::make_small_store(path).at(0);
  REQUIRE(gauntlet_run({"bench", "--db", path, "--model", "greedy", "--run", "r1"}).exit_code == 0);
  const Database store(path, DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  bool inside = false;
  std::string query;
  std::vector<std::int64_t> rows;
  for (const auto& line : lines_of(read_text_file(std::string(kTestData) + "/../docs/store.md"))) {
    if (line.starts_with("```")) inside = line == "```sql";
    else if (inside) query += line + "\n";
    if (query.empty() || !line.ends_with(';')) continue;
    const std::string placeholder = "trip_planning-0123456789abcdef";
    if (const auto at = query.find(placeholder); at != std::string::npos) query.replace(at, placeholder.size(), task);
    CAPTURE(query);
    Statement statement = store.prepare(query, "run a query of the docs");
    statement.start();
    rows.push_back(0);
    while (statement.next()) ++rows.back();
    query.clear();
  }
  REQUIRE(rows.size() == 4);
  for (const std::int64_t count : rows) CHECK(count > 0);
}

TEST_CASE("the version is told on stdout") {
  const ProcessResult version = gauntlet_run({"--version"});
  CHECK(version.exit_code == 0);
  CHECK(version.out.starts_with("gauntlet "));
}

TEST_CASE("bash completes commands, options, values and built-in names") {
  CHECK(offers(bash_offers("gauntlet ex"), "export"));
  CHECK_FALSE(offers(bash_offers("gauntlet "), "recheck-tasks"));
  CHECK(bash_offers("gauntlet export s") == std::vector<std::string>{"sft"});
  CHECK(bash_offers("gauntlet synth trip") == std::vector<std::string>{"trip_planning"});
  CHECK(offers(bash_offers("gauntlet bench --max-st"), "--max-steps"));
  CHECK(bash_offers("gauntlet bench --mode ") == std::vector<std::string>{"thinking", "chat"});
  CHECK(bash_offers("gauntlet export sft --format s") == std::vector<std::string>{"sharegpt"});
  CHECK(bash_offers("gauntlet bench --repeats ") == std::vector<std::string>{""});
  CHECK(offers(bash_offers("gauntlet report --db /et"), "/etc"));
}

TEST_CASE("bash completes models, devices and the forms that a model takes") {
  CHECK(bash_offers("gauntlet bench --model builti") == std::vector<std::string>{"builtin"});
  CHECK(offers(bash_offers("gauntlet bench --model /et"), "/etc"));
  for (const std::string command : {"model logits", "model recall", "model bench", "serve model"}) {
    CAPTURE(command);
    CHECK(offers(bash_offers("gauntlet " + command + " --model builti"), "builtin"));
    CHECK(offers(bash_offers("gauntlet " + command + " --model /et"), "/etc"));
  }
  CHECK(bash_offers("gauntlet model info builti") == std::vector<std::string>{"builtin"});
  CHECK(bash_offers("gauntlet bench --device ") == std::vector<std::string>{"auto", "cpu", "cuda"});
  CHECK(bash_offers("gauntlet model logits --device ") == std::vector<std::string>{"cpu", "cuda"});
  CHECK(bash_offers("gauntlet serve model --weights ") == std::vector<std::string>{"exact", "int8"});
  CHECK(bash_offers("gauntlet model random --size t") == std::vector<std::string>{"tiny"});
  CHECK(bash_offers("gauntlet serve model --mode ") == std::vector<std::string>{"thinking", "chat"});
}

TEST_CASE("zsh takes the completion script and offers the same") {
  // The completion system needs a terminal, so its functions are replaced by ones that print.
  const std::string script =
      "compdef() { : }; _describe() { print -l -- \"${(@P)2}\" }; _files() { print files }; compadd() { print -l -- \"$@\" }; source <(\"$0\" completion zsh); "
      "words=(gauntlet export ''); CURRENT=3; _gauntlet; words=(gauntlet bench --mode ''); CURRENT=4; _gauntlet; words=(gauntlet report --db ''); CURRENT=4; _gauntlet";
  ProcessResult result;
  try {
    result = sample::run_process({"zsh", "-f", "-c", script, kProgram});
  } catch (const std::exception&) {
    MESSAGE("skipped: zsh is not installed");
    return;
  }
  CAPTURE(result.err);
  const auto offered = lines_of(result.out);
  CHECK(std::any_of(offered.begin(), offered.end(), [](const std::string& line) { return line.starts_with("sft:Episodes as conversations"); }));
  CHECK(offers(offered, "thinking"));
  CHECK(offers(offered, "files"));
}

}  // namespace gauntlet
