#include <fmt/format.h>

#include <filesystem>

#include "cli/bench_command.h"
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

void heading(const std::string& text) { write_out("\n" + Style::of_stdout().bold("== " + text) + "\n"); }

/// The verdict of one failed episode says more about the verifier than a passed one.
std::int64_t episode_to_show(const std::string& store_path, const std::string& run) {
  const Store store(store_path, StoreMode::ReadOnly);
  std::int64_t id = 0;
  int calls = 0;
  store.for_each_outcome(run, [&](const Outcome& outcome) {
    if (id != 0 && outcome.tool_calls >= calls) return;  // the shortest
    id = outcome.episode_id;
    calls = outcome.tool_calls;
  });
  return id;
}

void run_demo(const DemoOptions& options, Context& context) {
  require(options.count >= 1 && options.count <= 1000, ErrorKind::Usage, fmt::format("--count: found {}; accepted: 1 to 1000", options.count));
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  require(!error, ErrorKind::Infrastructure, fmt::format("could not make the folder {}: {}", options.folder, error.message()));
  const std::string store = options.folder + "/gauntlet.db";
  const auto stopped = [&] { return context.cancel.load() || context.exit_code > 1; };

  heading("Tasks are made, and each is certified");
  for (const char* level : {"1", "2", "3", "4"}) {
    if (!stopped()) run_synth({.domains = {"trip_planning"}, .count = options.count, .difficulty = level, .store = store}, context);
  }
  if (!stopped()) run_synth({.domains = {"trip_planning"}, .named = "paper", .store = store}, context);

  std::string oracle_run;
  for (const char* agent : {"random", "greedy", "oracle"}) {
    if (stopped()) break;
    heading(fmt::format("The {} agent plays them", agent));
    BenchOptions bench;
    bench.store = store;
    bench.model.model = agent;
    bench.repeats = 2;
    const std::string run = run_bench(bench, context);
    if (!stopped()) write_out(report_text(build_report(Store(store, StoreMode::ReadOnly), run)));
    oracle_run = run;
  }
  if (stopped()) return;

  heading("One transcript, with its verdict");
  run_show({.store = store, .id = std::to_string(episode_to_show(store, oracle_run))});
  heading("Everything is judged again from the store, without any model");
  run_verify({.store = store}, context);
  heading("Training data");
  run_export_rl({.store = store, .out = options.folder + "/rl", .validation_share = 0.1, .overwrite = true});
  run_export_sft({.store = store, .out = options.folder + "/sft", .validation_share = 0.1, .overwrite = true, .run = oracle_run});
  write_out(fmt::format("\nAll of it is in {0}/. To go on:\n  gauntlet report --db {1}\n  gauntlet bench --db {1} --model http://127.0.0.1:8000/v1   # your own model\n", options.folder, store));
}

}  // namespace

void add_demo_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("demo", "The whole path, small: make tasks, play them, judge, report, export");
  auto options = std::make_shared<DemoOptions>();
  command->add_option("--out", options->folder, "Folder for the store and the exports; a second call resumes")->capture_default_str();
  command->add_option("--count", options->count, "Tasks of each level")->capture_default_str();
  command->callback([options, &context] { run_demo(*options, context); });
}

}  // namespace gauntlet
