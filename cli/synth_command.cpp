#include "cli/synth_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "datasets/store.h"
#include "synth/neighbours.h"
#include "synth/synthesize.h"

namespace gauntlet {
namespace {

constexpr std::size_t kBatch = 64;               // tasks in one transaction
constexpr std::string_view kRecheck = "recheck-tasks";

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(5);

constexpr auto kFlushInterval = std::chrono::seconds(1);  // a made task is in the store after about so long

class Progress {
 public:
  Progress(std::string domain, std::int64_t count) : domain_(std::move(domain)), count_(count), start_(std::chrono::steady_clock::now()), shown_(start_) {}

  void show(const SynthReport& report) {
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < (err_is_terminal() ? kTerminalInterval : std::chrono::duration_cast<std::chrono::milliseconds>(kPlainInterval))) return;
    shown_ = now;
    const double rate = static_cast<double>(report.made) / seconds();
    const std::string left = report.made == 0 ? "" : fmt::format("  {:.0f}s left", static_cast<double>(count_ - report.made) / rate);
    fmt::print(stderr, "{}{}: {}/{} tasks from {}, {} dropped  {:.1f}/s{}{}", err_is_terminal() ? "\r\033[K" : "", domain_, report.made, count_, counted(report.drawn, "draw"),
               report.drawn - report.made, rate, left, err_is_terminal() ? "" : "\n");
    std::fflush(stderr);
  }
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  void end() const {
    if (err_is_terminal()) fmt::print(stderr, "\r\033[K");
  }

 private:
  std::string domain_;
  std::int64_t count_;
  std::chrono::steady_clock::time_point start_, shown_;
};

/// What the gate's reasons mean; a reason that is not here speaks for itself.
std::string reason_text(const std::string& reason) {
  static constexpr std::pair<std::string_view, std::string_view> kMeanings[] = {
      {"difficulty", "outside the difficulty asked for"},
      {"not_planted", "no answer fits the drawn requirements"},
      {"unsolvable", "no answer exists"},
      {"solver_limit", "undecided within the solver's limit"},
      {"not_observable", "rests on facts that no tool shows"},
      {"random_passes", "random answers pass too often"},
      {"oracle_failed", "not solved through the tools alone"},
      {"solvable_without_tools", "the prompt gives the answer away"},
      {"mutant_accepted", "a wrong answer is accepted"},
      {"verifier_disagrees", "the verifier and the reference judge differ on a changed answer"},
      {"oracle_search_limit", "undecided within the oracle's search limit"},
      {"duplicate", "the same task as an earlier or stored one"},
      {"excluded", "listed in --exclude"},
      {"equivalent_rejected", "a right answer is rejected"},
      {"not_reproducible", "a second build differs"},
  };
  for (const auto& [name, meaning] : kMeanings) {
    if (name == reason) return fmt::format("{} ({})", reason, meaning);
  }
  return reason;
}

void report_domain(const std::string& name, const SynthReport& report, std::int64_t wanted, double seconds) {
  write_note(fmt::format("{}: {} of {} made and certified from {} in {:.1f} s ({:.1f}/s)", name, report.made, counted(wanted, "task"), counted(report.drawn, "draw"), seconds,
                         static_cast<double>(report.made) / std::max(seconds, 1e-9)));
  for (const auto& [reason, n] : report.dropped) write_note(fmt::format("  dropped {:>5}  {}, for example: {}", n, reason_text(reason), report.examples.at(reason)));
}

void synth_domain(const std::string& domain, const SynthOptions& options, Store& store, Context& context) {
  SynthRequest request{.spec = std::make_shared<const EnvSpec>(load_env_spec(domain)),
                       .count = static_cast<int>(options.named.empty() ? options.count : 1),
                       .seed = options.seed,
                       .difficulty = parse_difficulty(options.difficulty),
                       .named = options.named,
                       .threads = options.threads,
                       .gate = {.random_tries = options.random_tries},
                       .recheck_command = {context.program, std::string(kRecheck)}};
  if (!options.exclude.empty()) request.excluded = parse_exclusions(read_text_file(options.exclude), options.exclude);
  request.known = [&](const std::function<void(const Task&)>& know) { store.for_each_task({.task_ids = {}, .environment = request.spec->name}, know); };
  store.put_environment(request.spec->name, request.spec->sha256, request.spec->source);
  Progress progress(request.spec->name, request.count);
  std::vector<Task> batch;
  std::size_t fresh = 0;
  auto flushed = std::chrono::steady_clock::now();
  const auto flush = [&] {
    flushed = std::chrono::steady_clock::now();
    if (batch.empty()) return;
    fresh += store.put_tasks(batch);
    for (const auto& task : batch) {
      if (options.json) write_json_line(Json{{"task_id", task.task_id}, {"domain", task.environment}, {"level", task.level}, {"named", task.named}, {"difficulty", task.difficulty.at("vector")}});
    }
    batch.clear();
  };
  request.progress = [&](const SynthReport& so_far) {
    progress.show(so_far);
    if (std::chrono::steady_clock::now() - flushed >= kFlushInterval) flush();
  };
  const SynthReport report = synthesize(
      request,
      [&](const Task& task) {
        batch.push_back(task);
        if (batch.size() >= kBatch) flush();
      },
      context.cancel);
  flush();
  progress.end();
  report_domain(request.spec->name, report, request.count, progress.seconds());
  if (fresh < static_cast<std::size_t>(report.made)) write_note(fmt::format("  {} of them were in {} already", static_cast<std::size_t>(report.made) - fresh, store.path()));
  if (report.made < request.count) context.exit_code = context.cancel.load() ? 3 : 1;
}

/// Wrong names are told before anything is written.
void check_request(const SynthOptions& options) {
  const DifficultyRequest difficulty = parse_difficulty(options.difficulty);
  for (const auto& domain : options.domains) {
    const EnvSpec spec = load_env_spec(domain);
    const auto levels = task_levels(spec);
    const auto named = named_tasks(spec);
    require(!levels.empty() || !named.empty(), ErrorKind::Usage, fmt::format("environment {} has no task templates, so no tasks can be made for it (gauntlet env list tells which have)", spec.name));
    if (options.named.empty()) {
      require(std::find(levels.begin(), levels.end(), difficulty.level) != levels.end(), ErrorKind::Usage,
              fmt::format("--difficulty: environment {} has no level {}; accepted: {}", spec.name, difficulty.level, fmt::join(levels, ", ")));
    } else if (std::find(named.begin(), named.end(), options.named) == named.end()) {
      const std::string nearest = nearest_word(options.named, named);
      fail(ErrorKind::Usage, fmt::format("--named: environment {} has no named task \"{}\"{}; accepted: {}", spec.name, options.named,
                                         nearest.empty() ? "" : fmt::format(" (did you mean \"{}\"?)", nearest), named.empty() ? "none" : fmt::format("{}", fmt::join(named, ", "))));
    }
  }
}

}  // namespace

void run_synth(const SynthOptions& options, Context& context) {
  require(options.count >= 1 && options.count <= 10'000'000, ErrorKind::Usage, fmt::format("--count: found {}; accepted: 1 to 10000000", options.count));
  require(options.threads >= 0 && options.threads <= 64, ErrorKind::Usage, fmt::format("--threads: found {}; accepted: 0 (one for each core) to 64", options.threads));
  require(options.random_tries >= 100 && options.random_tries <= 1'000'000, ErrorKind::Usage, fmt::format("--random-tries: found {}; accepted: 100 to 1000000", options.random_tries));
  require(options.named.empty() || !options.count_given || options.count == 1, ErrorKind::Usage,
          fmt::format("--count {} with --named: a named task is one certain task; leave --count out", options.count));
  check_request(options);
  Store store(options.store, StoreMode::Create);
  for (const auto& domain : options.domains) {
    if (!context.cancel.load()) synth_domain(domain, options, store, context);
  }
  write_note(fmt::format("{} in {}", counted(store.count_tasks({}), "task"), store.path()));
}

void add_synth_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("synth", "Make tasks, certify each one, and store them");
  command->group("Make tasks and run agents");
  auto options = std::make_shared<SynthOptions>();
  command->add_option("DOMAIN", options->domains, "Environments: built-in names (gauntlet env list) or paths of spec files")->required();
  command->add_option("--count", options->count, "Tasks to make for each domain")->type_name("N")->capture_default_str();
  command->add_option("--exclude", options->exclude, "A list of what must not be made: on each line a task id, a certificate's signature_sha256, or the sha-256 of a prompt")->type_name("FILE");
  command->add_option("--difficulty", options->difficulty, "A level, or ranges of difficulty figures: level=4,minimal_tool_calls=30..40")->type_name("LEVEL")->capture_default_str();
  command->add_option("--named", options->named, "One named task of the domain instead, such as trip_planning's \"paper\"")->type_name("NAME");
  check_seed(command->add_option("--seed", options->seed, "Equal seeds give equal tasks, on any machine and with any number of threads")->type_name("SEED")->capture_default_str());
  check_path(command->add_option("--db", options->store, "The store; made if missing")->type_name("FILE")->capture_default_str());
  command->add_option("--threads", options->threads, "Threads; 0: one for each core")->type_name("N")->capture_default_str();
  command->add_option("--random-tries", options->random_tries, "Random answers that each task must withstand")->type_name("N")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object a task on stdout: task_id, domain, level, named, difficulty");
  context.manuals[command] = {
      .description = "Draws candidate tasks from the templates of an environment and admits those that pass a gate: the task is solved exhaustively and its answers are counted, "
                     "an oracle reaches an answer through the tools alone, random and lazy agents fail, wrong answers are rejected and equivalent ones accepted, and another "
                     "process comes to the same bytes. The evidence is stored with the task as its certificate. What was dropped, and why, is counted on stderr.\n\n"
                     "Figures that --difficulty takes ranges of: " + fmt::format("{}", fmt::join(difficulty_entries(), ", ")) + ". A range replaces that of the level.",
      .examples = {{"A hundred tasks of medium difficulty", "gauntlet synth trip_planning --count 100 --difficulty 3 --db trips.db"},
                   {"Hard ones that need 30 to 40 calls", "gauntlet synth trip_planning --count 10 --difficulty level=4,minimal_tool_calls=30..40 --db trips.db"},
                   {"The instance printed in the paper", "gauntlet synth trip_planning --named paper --db trips.db --json"},
                   {"From an environment of your own", "gauntlet synth ./library.json --count 10 --difficulty 1 --db library.db"}},
      .exit_status = {{0, "all were made"}, {1, "fewer could be made"}, {2, "wrong usage"}, {3, "could not be done, or stopped by Ctrl-C"}},
      .see_also = {"docs/environments.md", "docs/certificates.md"}};
  command->callback([options, command, &context] {
    options->count_given = command->count("--count") > 0;
    run_synth(*options, context);
  });

  CLI::App* recheck = app.add_subcommand(std::string(kRecheck), "Checks tasks from standard input (started by synth)");
  recheck->group("");  // hidden
  recheck->callback([] {
    std::string line;
    std::ios_base::sync_with_stdio(false);  // Else each character is fetched by a call of its own.
    require(static_cast<bool>(std::getline(std::cin, line)), ErrorKind::Usage, "recheck-tasks: expected an environment spec on the first line of standard input");
    const EnvSpec spec = parse_env_spec(parse_json(line, "standard input"), "standard input");
    recheck_tasks(spec, std::cin, std::cout);
  });
}

}  // namespace gauntlet
