#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "cli/bench_command.h"
#include "cli/builtin_model.h"
#include "cli/environments.h"
#include "cli/export_command.h"
#include "cli/export_tokens_command.h"
#include "cli/option_checks.h"
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
  std::int64_t count = 4;
  ModelOptions model{.model = kBuiltinModel};
};

constexpr int kLevels = 3;
constexpr int kReplyTokens = 2048;            ///< of one reply; far more than a task of these levels needs
constexpr std::int64_t kEpisodeTokens = 16'384;

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

/// One demo: what its steps share.
class Demo {
 public:
  Demo(const DemoOptions& options, Context& context) : options_(options), context_(context), path_(options.folder + "/gauntlet.db") {}

  void run() {
    make_tasks();
    if (stopped()) return;
    const Store store(path_, StoreMode::ReadOnly);
    find_tasks(store);
    play_all(store);
    if (stopped()) return;
    show_one(store);
    heading("Everything is judged again from the store", "Without any model: the same answers, worlds built anew, the same verdicts.");
    run_verify({.store = path_}, context_);
    write_exports(store);
    tell_next();
  }

 private:
  bool stopped() const { return context_.cancel.load() || context_.exit_code > 1; }

  void make_tasks() {
    heading("Tasks are made and certified", "Trips of one to three days. A task is kept only with evidence that it can be solved through its tools, and checked.");
    for (int level = 1; level <= kLevels && !stopped(); ++level) {
      run_synth({.domains = {"trip_planning"}, .count = options_.count, .difficulty = std::to_string(level), .store = path_}, context_);
    }
    if (!stopped()) run_synth({.domains = {"trip_planning"}, .named = "paper", .store = path_}, context_);
  }

  /// Of an earlier call with a larger --count only what was asked for now.
  void find_tasks(const Store& store) {
    for (int level = 1; level <= kLevels; ++level) store.for_each_task({.level = level, .limit = options_.count}, [&](const Task& task) { tasks_.push_back(task.task_id); });
    store.for_each_task({}, [&](const Task& task) {
      if (task.named == "paper") paper_ = task;
    });
    tasks_.push_back(paper_.task_id);
    write_out(fmt::format("{} in {}. The evidence kept with one of them, the instance printed in the DeepSeek-V3.2 paper ({}):\n", counted(store.count_tasks({}), "task"), path_, paper_.task_id));
    show_certificate_summary(paper_);
  }

  std::string play(const ModelOptions& model) {
    BenchOptions bench;
    bench.store = path_;
    bench.model = model;
    bench.tasks = tasks_;
    bench.sampling.temperature = 0;
    bench.sampling.max_tokens = kReplyTokens;
    bench.limits.max_completion_tokens = kEpisodeTokens;
    bench.progress_by_level = true;
    return run_bench(bench, context_);
  }

  void play_all(const Store& store) {
    heading("A model plays them", fmt::format("{} attempts by {}, thinking kept across tool calls; a language model writes its most likely token. Failing is a result.", tasks_.size(),
                                              options_.model.model == kBuiltinModel ? "the built-in model, on this machine" : options_.model.model));
    model_run_ = play(options_.model);
    if (stopped()) return;
    const Report report = build_report(store, model_run_);
    write_out(report_text(report));
    std::string rows = row(options_.model.model, report);
    heading("Agents that need no model, beside it", "The oracle must pass all; agents that guess must not.");
    for (const char* agent : {"oracle", "greedy", "random", "noop"}) {
      if (stopped()) return;
      const std::string run = options_.model.model == agent ? model_run_ : play({.model = agent});
      if (std::string_view(agent) == "oracle") oracle_run_ = run;
      if (std::string_view(agent) == "greedy") greedy_run_ = run;
      if (run != model_run_) rows += row(agent, build_report(store, run));
    }
    write_out("\n" + Style::of_stdout().bold(fmt::format("{:<20} {:>8} {:>8} {:>24} {:>12}", "agent", "episodes", "passed", "pass@1 (95 % interval)", "calls each")) + "\n" + rows);
  }

  static std::string row(const std::string& agent, const Report& report) {
    const auto& pass = report.overall.wilson;
    const double share = report.overall.scored > 0 ? static_cast<double>(report.overall.passed) / static_cast<double>(report.overall.scored) : 0;
    const std::string rate = pass ? fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * share, 100 * pass->low, 100 * pass->high) : "–";
    return fmt::format("{:<20} {:>8} {:>8} {:>24} {:>12.1f}\n", agent, report.overall.scored, report.overall.passed, rate, report.overall.means.tool_calls);
  }

  /// The shortest attempt of the model that passed, else the shortest; and why one failed, the model's or else that of an agent that guesses.
  void show_one(const Store& store) {
    const std::int64_t passed = shortest_episode(store, model_run_, 1.0), own_failure = shortest_episode(store, model_run_, 0.0);
    if (const std::int64_t shown = passed != 0 ? passed : own_failure; shown != 0) {
      heading("One transcript, with its verdict", "The model thinks, calls tools, and hands in. Every requirement is checked by program, with the values found.");
      StoredEpisode episode = *store.find_episode(shown);
      std::erase_if(episode.episode.messages, [](const Message& message) { return message.role == Role::System; });  // the same in all
      show_episode(episode, {.store = path_});
    }
    const std::int64_t failed = passed != 0 && own_failure != 0 ? own_failure : shortest_episode(store, greedy_run_, 0.0);
    if (failed == 0) return;
    heading("Why another attempt fails", fmt::format("Episode {}, of {}.", failed, failed == own_failure ? "the same model" : "the greedy agent"));
    show_verdict(store.find_episode(failed)->episode);
  }

  void write_exports(const Store& store) const {
    heading("Training data is exported", "All tasks as prompts for reinforcement learning; trajectories that passed for fine-tuning, as text (the oracle's) and as the tokens that the model sampled.");
    const auto folder = [&](const char* name) { return fmt::format("{}/{}", options_.folder, name); };
    for (const char* format : {"superset", "nemo_gym"}) run_export_rl({.store = path_, .out = folder("rl_") + format, .format = format, .validation_share = 0.1, .overwrite = true});
    for (const char* format : {"messages", "sharegpt"}) run_export_sft({.store = path_, .out = folder("sft_") + format, .format = format, .validation_share = 0.1, .overwrite = true, .run = oracle_run_});
    const std::string model = resolve_model(options_.model.model);
    if (is_model_folder(model) && build_report(store, model_run_).overall.passed > 0) {
      run_export_tokens({.store = path_, .run = model_run_, .tokenizer = model, .out = folder("tokens"), .overwrite = true}, context_);
    }
  }

  void tell_next() const {
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    write_out("\n" + Style::of_stdout().bold(fmt::format("Done in {:.0f} s. All of it is in {}/. To go on:", seconds, options_.folder)) + "\n");
    const std::string shown = fmt::format("gauntlet show --db {}", path_);
    const std::vector<std::pair<std::string, std::string>> commands = {{shown, "what is in the store"},
                                                                       {fmt::format("{} {}", shown, paper_.task_id), "the task of the paper"},
                                                                       {fmt::format("{} {} --failed", shown, model_run_), "attempts that did not pass"},
                                                                       {fmt::format("gauntlet bench --db {} --model http://127.0.0.1:8000/v1", path_), "a model of your own"}};
    std::size_t width = 0;
    for (const auto& command : commands) width = std::max(width, command.first.size());
    for (const auto& [command, what] : commands) write_out(fmt::format("  {:<{}}  {}\n", command, width, what));
  }

  const DemoOptions& options_;
  Context& context_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::string path_;
  std::vector<std::string> tasks_;
  Task paper_;
  std::string model_run_, oracle_run_, greedy_run_;
};

void run_demo(const DemoOptions& options, Context& context) {
  require(options.count >= 1 && options.count <= 1000, ErrorKind::Usage, fmt::format("--count: found {}; accepted: 1 to 1000", options.count));
  require_known_model(options.model.model);
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  require(!error, ErrorKind::Infrastructure, fmt::format("could not make the folder {}: {}", options.folder, error.message()));
  Demo(options, context).run();
}

}  // namespace

void add_demo_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("demo", "The main job, small: make tasks, run the built-in model through them, judge, report, export");
  command->group("Make tasks and run agents");
  auto options = std::make_shared<DemoOptions>();
  command->add_option("--model", options->model.model, "Who plays: builtin (the model that comes with this program), a checkpoint's folder, or anything that bench takes")->type_name("MODEL")->capture_default_str();
  check_path(command->add_option("--out", options->folder, "Folder for the store and the exports; a second call resumes")->type_name("DIR")->capture_default_str());
  command->add_option("--count", options->count, "Tasks of each difficulty level")->type_name("N")->capture_default_str();
  add_local_engine_options(*command, options->model.local);
  context.manuals[command] = {.description = "Makes trip-planning tasks of three difficulty levels and the instance of the DeepSeek-V3.2 paper, runs the built-in model through them with its thinking kept, "
                                             "beside it the oracle and agents that guess, shows a report with intervals, a transcript and a failure, judges everything again, and writes "
                                             "training data in five formats. It needs neither a GPU nor a network.",
                              .examples = {{"In the folder gauntlet-demo", "gauntlet demo"},
                                           {"Larger, and kept elsewhere", "gauntlet demo --count 100 --out /tmp/demo"},
                                           {"A checkpoint of your own", "gauntlet demo --model DIR"}},
                              .exit_status = {{0, "done, whether the model passed or not"}, {1, "fewer tasks could be made, or a verdict differs"}, {2, "wrong usage"}, {3, "could not be done, or stopped by Ctrl-C"}},
                              .see_also = {"docs/agents.md", "docs/model.md"}};
  command->callback([options, &context] { run_demo(*options, context); });
}

}  // namespace gauntlet
