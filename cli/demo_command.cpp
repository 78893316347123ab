#include <fmt/format.h>

#include <filesystem>

#include "cli/bench_command.h"
#include "cli/environments.h"
#include "cli/export_command.h"
#include "cli/output.h"
#include "cli/show_command.h"
#include "cli/synth_command.h"
#include "cli/verify_command.h"
#include "core/error.h"
#include "datasets/report.h"

namespace gauntlet {
namespace {

struct DemoOptions {
  std::string folder = "gauntlet-demo";
  std::int64_t count = 10;
};

void heading(const std::string& title, const std::string& text) {
  const Style style = Style::of_stdout();
  write_out("\n" + style.bold("== " + title) + "\n" + style.dim(text) + "\n\n");
}

/// Of the run's episodes with that value, the one with the fewest calls; 0 if there is none.
std::int64_t shortest_episode(const Store& store, const std::string& run, double value) {
  std::int64_t id = 0;
  int calls = 0;
  store.for_each_outcome(run, [&](const Outcome& outcome) {
    if (outcome.value != value || (id != 0 && outcome.tool_calls >= calls)) return;
    id = outcome.episode_id;
    calls = outcome.tool_calls;
  });
  return id;
}

void make_tasks(const DemoOptions& options, const std::string& store, Context& context) {
  heading("Tasks are made and certified", "Trips of one to several days. A task is kept only with evidence that it can be solved through its tools, and checked.");
  for (const char* level : {"1", "2", "3", "4", "5"}) {
    if (!context.cancel.load() && context.exit_code <= 1) run_synth({.domains = {"trip_planning"}, .count = options.count, .difficulty = level, .store = store}, context);
  }
  if (!context.cancel.load() && context.exit_code <= 1) run_synth({.domains = {"trip_planning"}, .named = "paper", .store = store}, context);
}

std::string play(const std::string& agent, const std::string& store, Context& context) {
  BenchOptions bench;
  bench.store = store;
  bench.model.model = agent;
  bench.repeats = 2;
  return run_bench(bench, context);
}

std::string comparison_row(const std::string& agent, const Report& report) {
  const auto pass = report.overall.pass_at.find(1);
  const std::string rate = pass == report.overall.pass_at.end()
                               ? "–"
                               : fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * pass->second.value, 100 * pass->second.interval.low, 100 * pass->second.interval.high);
  return fmt::format("{:<10} {:>8} {:>8} {:>24} {:>12.1f}\n", agent, report.overall.scored, report.overall.passed, rate, report.overall.means.tool_calls);
}

void write_exports(const DemoOptions& options, const std::string& store, const std::string& oracle_run) {
  heading("Training data is exported", "The oracle's trajectories for fine-tuning, and all tasks as prompts for reinforcement learning; a tenth of the tasks is for validation.");
  const auto folder = [&](const char* name) { return fmt::format("{}/{}", options.folder, name); };
  run_export_rl({.store = store, .out = folder("rl_superset"), .format = "superset", .validation_share = 0.1, .overwrite = true});
  run_export_rl({.store = store, .out = folder("rl_nemo_gym"), .format = "nemo_gym", .validation_share = 0.1, .overwrite = true});
  run_export_sft({.store = store, .out = folder("sft_messages"), .format = "messages", .validation_share = 0.1, .overwrite = true, .run = oracle_run});
  run_export_sft({.store = store, .out = folder("sft_sharegpt"), .format = "sharegpt", .validation_share = 0.1, .overwrite = true, .run = oracle_run});
}

void run_demo(const DemoOptions& options, Context& context) {
  require(options.count >= 1 && options.count <= 1000, ErrorKind::Usage, fmt::format("--count: found {}; accepted: 1 to 1000", options.count));
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  require(!error, ErrorKind::Infrastructure, fmt::format("could not make the folder {}: {}", options.folder, error.message()));
  const std::string path = options.folder + "/gauntlet.db";
  const auto stopped = [&] { return context.cancel.load() || context.exit_code > 1; };
  const Style style = Style::of_stdout();

  make_tasks(options, path, context);
  if (stopped()) return;
  const Store store(path, StoreMode::ReadOnly);
  Task paper;
  store.for_each_task({}, [&](const Task& task) {
    if (task.named == "paper") paper = task;
  });
  write_out(fmt::format("{} in {}. The evidence kept with one of them, the instance printed in the DeepSeek-V3.2 paper ({}):\n", counted(store.count_tasks({}), "task"), path, paper.task_id));
  show_certificate(paper);

  heading("Agents play them", "Two attempts at each task. The oracle must pass all; agents that guess must not. No language model is needed.");
  std::string rows, failing_run, oracle_run;
  for (const char* agent : {"noop", "random", "greedy", "oracle"}) {
    if (stopped()) return;
    const std::string run = play(agent, path, context);
    rows += comparison_row(agent, build_report(store, run));
    if (std::string_view(agent) == "greedy") failing_run = run;
    oracle_run = run;
  }
  write_out("\n" + style.bold(fmt::format("{:<10} {:>8} {:>8} {:>24} {:>12}", "agent", "episodes", "passed", "pass@1 (95 % interval)", "calls each")) + "\n" + rows);
  if (stopped()) return;

  heading("The report of one run", "By difficulty, with intervals; nothing is lost: requested = completed + failed + cancelled + missing.");
  write_out(report_text(build_report(store, oracle_run)));

  const std::int64_t shown = shortest_episode(store, oracle_run, 1.0), failed = shortest_episode(store, failing_run, 0.0);
  if (shown != 0) {
    heading("One transcript, with its verdict", "The oracle thinks aloud, calls tools, and hands in. Every requirement is checked by program, with the values found.");
    show_episode(*store.find_episode(shown), {.store = path});
  }
  if (failed != 0) {
    heading("Why another attempt fails", fmt::format("Episode {} of the greedy agent.", failed));
    show_verdict(store.find_episode(failed)->episode);
  }
  heading("Everything is judged again from the store", "Without any model: the same answers, worlds built anew, the same verdicts.");
  run_verify({.store = path}, context);
  write_exports(options, path, oracle_run);

  write_out(fmt::format("\n{1}\n  gauntlet show --db {0}                      what is in the store\n  gauntlet show --db {0} {2}        the task of the paper\n"
                        "  gauntlet report --db {0}\n  gauntlet bench --db {0} --model http://127.0.0.1:8000/v1      your own model\n",
                        path, style.bold(fmt::format("All of it is in {}/. To go on:", options.folder)), paper.task_id));
}

}  // namespace

void add_demo_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("demo", "The whole path, small: make tasks, play them, judge, report, export");
  command->group("Make tasks and run agents");
  auto options = std::make_shared<DemoOptions>();
  command->add_option("--out", options->folder, "Folder for the store and the exports; a second call resumes")->type_name("DIR")->capture_default_str();
  command->add_option("--count", options->count, "Tasks of each difficulty level")->type_name("N")->capture_default_str();
  context.manuals[command] = {.description = "Makes trip-planning tasks of five difficulty levels and the instance of the DeepSeek-V3.2 paper, lets the oracle and agents that guess play "
                                             "them, shows a report, a transcript and a failure, judges everything again, and writes training data in four formats. It needs neither "
                                             "a model, a GPU nor a network.",
                              .examples = {{"In the folder gauntlet-demo", "gauntlet demo"}, {"Larger, and kept elsewhere", "gauntlet demo --count 100 --out /tmp/demo"}},
                              .exit_status = {{0, "done"}, {1, "fewer tasks could be made, or a verdict differs"}, {2, "wrong usage"}, {3, "could not be done, or stopped by Ctrl-C"}},
                              .see_also = {}};
  command->callback([options, &context] { run_demo(*options, context); });
}

}  // namespace gauntlet
