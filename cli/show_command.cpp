#include "cli/show_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/run_name.h"
#include "core/error.h"

namespace gauntlet {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Json task_line(const Task& task) {
  const Json& certificate = task.certificate;
  return {{"task_id", task.task_id},
          {"domain", task.environment},
          {"level", task.level},
          {"named", task.named},
          {"solution_count", certificate.value("solution_count", Json())},
          {"minimal_tool_calls", certificate.value("minimal_tool_calls", Json())},
          {"random_pass_rate", certificate.value("random_pass_rate", Json())}};
}

Json run_line(const Store& store, const RunRecord& run) {
  std::int64_t episodes = 0, scored = 0, passed = 0;
  store.for_each_outcome(run.run_id, [&](const Outcome& outcome) {
    ++episodes;
    scored += outcome.value ? 1 : 0;
    passed += outcome.value == 1.0 ? 1 : 0;
  });
  return {{"run", run.run_id}, {"requested", run.requested}, {"episodes", episodes}, {"scored", scored}, {"passed", passed}};
}

std::string field(const Json& line, const char* key) {
  const Json& value = line.at(key);
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : dump_json(value);
}

void show_store(const Store& store, const ShowOptions& options) {
  Json tasks = Json::array(), runs = Json::array();
  store.for_each_task({.limit = options.limit > 0 ? options.limit : -1}, [&](const Task& task) { tasks.push_back(task_line(task)); });
  for (const auto& run : store.list_runs()) runs.push_back(run_line(store, run));
  if (options.json) return write_json_line(Json{{"tasks", tasks}, {"runs", runs}});

  const Style style = Style::of_stdout();
  std::string out = style.bold(fmt::format("{:<34} {:>5} {:<8} {:>12} {:>10} {:>9}", "task", "level", "named", "solutions", "min calls", "random %")) + "\n";
  for (const auto& line : tasks) {
    const Json& rate = line.at("random_pass_rate");
    out += fmt::format("{:<34} {:>5} {:<8} {:>12} {:>10} {:>9}\n", field(line, "task_id"), line.at("level") == 0 ? "–" : field(line, "level"), field(line, "named"),
                       field(line, "solution_count"), field(line, "minimal_tool_calls"), rate.is_number() ? fmt::format("{:.1f}", 100 * rate.get<double>()) : "");
  }
  const std::int64_t more = store.count_tasks({}) - static_cast<std::int64_t>(tasks.size());
  if (more > 0) out += style.dim(fmt::format("and {} more (--limit 0 lists all)", more)) + "\n";
  out += "\n" + style.bold(fmt::format("{:<34} {:>9} {:>9} {:>9} {:>9}", "run", "requested", "episodes", "scored", "passed")) + "\n";
  for (const auto& line : runs) {
    out += fmt::format("{:<34} {:>9} {:>9} {:>9} {:>9}\n", printable(field(line, "run")), field(line, "requested"), field(line, "episodes"), field(line, "scored"),
                       field(line, "passed"));
  }
  if (runs.empty()) out += style.dim("none yet; gauntlet bench makes one") + "\n";
  write_out(out);
}

void show_run(const Store& store, const std::string& run, const ShowOptions& options) {
  const Style style = Style::of_stdout();
  std::string out = style.bold(fmt::format("{:>8} {:<34} {:>6} {:<18} {:<14} {:>6} {:>9}", "episode", "task", "sample", "stop", "verdict", "calls", "tokens")) + "\n";
  std::int64_t listed = 0, matching = 0;
  store.for_each_outcome(run, [&](const Outcome& outcome) {
    if (options.failed && outcome.value == 1.0) return;
    ++matching;
    if (options.limit > 0 && listed >= options.limit) return;
    ++listed;
    const std::int64_t tokens = outcome.usage.prompt_tokens + outcome.usage.completion_tokens;
    if (options.json) {
      return write_json_line(Json{{"episode", outcome.episode_id}, {"run", run}, {"task_id", outcome.task_id}, {"domain", outcome.environment}, {"level", outcome.level},
                                  {"sample", outcome.sample}, {"attempt", outcome.attempt}, {"stop", stop_reason_name(outcome.stop)},
                                  {"value", outcome.value ? Json(*outcome.value) : Json()}, {"tool_calls", outcome.tool_calls}, {"tokens", tokens}});
    }
    const std::string verdict = fmt::format("{:<14}", !outcome.value ? "not scored" : *outcome.value == 1.0 ? "passes" : "does not pass");
    out += fmt::format("{:>8} {:<34} {:>6} {:<18} {} {:>6} {:>9}\n", outcome.episode_id, outcome.task_id, outcome.sample, stop_reason_name(outcome.stop),
                       outcome.value == 1.0 ? style.good(verdict) : style.bad(verdict), outcome.tool_calls, tokens);
  });
  if (options.json) return;
  if (matching > listed) out += style.dim(fmt::format("and {} more (--limit 0 lists all)", matching - listed)) + "\n";
  write_out(out);
}

}  // namespace

void run_show(const ShowOptions& options) {
  require(options.limit >= 0, ErrorKind::Usage, fmt::format("--limit: found {}; accepted: 0 (all) or more", options.limit));
  require(options.id.empty() || options.run.empty(), ErrorKind::Usage, fmt::format("show: give either an ID or --run; found \"{}\" and --run {}", options.id, options.run));
  const Store store(options.store, StoreMode::ReadOnly);
  if (!options.run.empty()) return show_run(store, get_run(store, options.run).run_id, options);
  if (options.id.empty()) return show_store(store, options);
  if (is_number(options.id) && options.id.size() < 18) {
    const auto stored = store.find_episode(std::stoll(options.id));
    if (stored) return show_episode(*stored, options);
  }
  if (store.find_run(options.id)) return show_run(store, options.id, options);
  require(!is_number(options.id), ErrorKind::Usage,
          fmt::format("looked for episode {} in {}, which does not hold it; gauntlet show --db {} --run NAME lists the episodes of a run", options.id, options.store,
                      shell_word(options.store)));
  show_task(*TaskShelf(options.store).task(options.id), options);
}

void add_show_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("show", "What a store holds; a task with certificate and world; a transcript with its verdict");
  command->group("Look and judge");
  auto options = std::make_shared<ShowOptions>();
  command->add_option("ID", options->id, "A task's id or the beginning of it, a run's name (lists its episodes), or an episode's number; none: lists tasks and runs");
  check_path(command->add_option("--db", options->store, "The store")->type_name("FILE")->capture_default_str());
  command->add_option("--run", options->run, "In place of ID: the run of this name, be it a number too")->type_name("NAME");
  command->add_flag("--failed", options->failed, "Of a run: only episodes that did not pass");
  command->add_option("--limit", options->limit, "Lines of a list; 0: all")->type_name("N")->capture_default_str();
  command->add_flag("--full", options->full, "Do not shorten long messages and tables");
  command->add_flag("--json", options->json, "JSON with everything; for the episodes of a run one object a line");
  context.manuals[command] = {
      .description = "A task is shown with its prompt, its difficulty, the evidence of its certificate and an excerpt of its world. An episode is shown as it went: thinking, calls, "
                     "results, and the verdict of each requirement with the values found, failed ones first. Colours are used on a terminal unless NO_COLOR is set.",
      .examples = {{"What is in the store", "gauntlet show --db t.db"},
                   {"Episodes of a run that did not pass", "gauntlet show --db t.db --run greedy-828d9e3e --failed"},
                   {"One transcript", "gauntlet show --db t.db 17 | less -R"},
                   {"A task, by the beginning of its id", "gauntlet show --db t.db trip_planning-41dd"}},
      .exit_status = {{0, "done"}, {2, "there is no such thing in the store, or wrong usage"}, {3, "the store could not be read"}},
      .see_also = {"docs/store.md", "docs/certificates.md"}};
  command->callback([options] { run_show(*options); });
}

}  // namespace gauntlet
