#include "cli/synth_command.h"

#include <fmt/format.h>

#include <chrono>
#include <iostream>

#include "cli/output.h"
#include "core/error.h"
#include "datasets/store.h"
#include "synth/synthesize.h"

namespace gauntlet {
namespace {

constexpr std::size_t kBatch = 64;               // tasks in one transaction
constexpr std::string_view kRecheck = "recheck-tasks";

class Progress {
 public:
  Progress(std::string domain, std::int64_t count) : domain_(std::move(domain)), count_(count), start_(std::chrono::steady_clock::now()), shown_(start_) {}

  void made() {
    ++made_;
    const auto now = std::chrono::steady_clock::now();
    if (!err_is_terminal() || now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    const double rate = static_cast<double>(made_) / seconds();
    fmt::print(stderr, "\r\033[K{}: {}/{} tasks  {:.1f}/s  {:.0f}s left", domain_, made_, count_, rate, static_cast<double>(count_ - made_) / rate);
    std::fflush(stderr);
  }
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  void end() const {
    if (err_is_terminal()) fmt::print(stderr, "\r\033[K");
  }

 private:
  std::string domain_;
  std::int64_t count_;
  std::int64_t made_ = 0;
  std::chrono::steady_clock::time_point start_, shown_;
};

void report_domain(const std::string& name, const SynthReport& report, std::int64_t wanted, double seconds) {
  write_note(fmt::format("{}: {} of {} tasks made and certified from {} draws in {:.1f} s ({:.1f}/s)", name, report.made, wanted, report.drawn, seconds,
                         static_cast<double>(report.made) / std::max(seconds, 1e-9)));
  for (const auto& [reason, n] : report.dropped) write_note(fmt::format("  dropped {:>5}  {}, for example: {}", n, reason, report.examples.at(reason)));
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
  store.put_environment(request.spec->name, request.spec->sha256, request.spec->source);
  Progress progress(request.spec->name, request.count);
  std::vector<Task> batch;
  std::size_t fresh = 0;
  const auto flush = [&] {
    fresh += store.put_tasks(batch);
    for (const auto& task : batch) {
      if (options.json) write_json_line(Json{{"task_id", task.task_id}, {"domain", task.environment}, {"level", task.level}, {"named", task.named}, {"difficulty", task.difficulty.at("vector")}});
    }
    batch.clear();
  };
  const SynthReport report = synthesize(
      request,
      [&](const Task& task) {
        batch.push_back(task);
        progress.made();
        if (batch.size() >= kBatch) flush();
      },
      context.cancel);
  flush();
  progress.end();
  report_domain(request.spec->name, report, request.count, progress.seconds());
  if (fresh < static_cast<std::size_t>(report.made)) write_note(fmt::format("  {} of them were in {} already", static_cast<std::size_t>(report.made) - fresh, store.path()));
  if (report.made < request.count) context.exit_code = context.cancel.load() ? 3 : 1;
}

}  // namespace

void run_synth(const SynthOptions& options, Context& context) {
  require(options.count >= 1 && options.count <= 10'000'000, ErrorKind::Usage, fmt::format("--count: found {}; accepted: 1 to 10000000", options.count));
  require(options.threads >= 0 && options.threads <= 64, ErrorKind::Usage, fmt::format("--threads: found {}; accepted: 0 (one for each core) to 64", options.threads));
  require(options.random_tries >= 100 && options.random_tries <= 1'000'000, ErrorKind::Usage, fmt::format("--random-tries: found {}; accepted: 100 to 1000000", options.random_tries));
  for (const auto& domain : options.domains) load_env_spec(domain);  // Wrong names are told before anything is written.
  Store store(options.store, StoreMode::Create);
  for (const auto& domain : options.domains) {
    if (!context.cancel.load()) synth_domain(domain, options, store, context);
  }
  write_note(fmt::format("{} tasks in {}", store.count_tasks({}), store.path()));
}

void add_synth_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("synth", "Make tasks, certify each one, and store them");
  auto options = std::make_shared<SynthOptions>();
  command->add_option("DOMAIN", options->domains, "Environments: built-in names or paths of spec files (gauntlet env list)")->required();
  command->add_option("--count", options->count, "Tasks to make for each domain")->capture_default_str();
  command->add_option("--seed", options->seed, "Equal seeds give equal tasks, on any machine and with any number of threads")->capture_default_str();
  command->add_option("--difficulty", options->difficulty, "A level (1 to 5), or ranges: level=4,minimal_tool_calls=30..40")->capture_default_str();
  command->add_option("--named", options->named, "A named task of the domain instead, such as trip_planning's \"paper\"");
  command->add_option("--db", options->store, "The store; made if missing")->capture_default_str();
  command->add_option("--threads", options->threads, "0: one for each core")->capture_default_str();
  command->add_option("--random-tries", options->random_tries, "Random answers that each task must withstand")->capture_default_str();
  command->add_flag("--json", options->json, "One JSON object a task on stdout");
  command->footer(
      "Each candidate passes an admission gate: it is solved exhaustively, its answer is reached through the tools alone, random and lazy\n"
      "agents must fail, wrong answers must be rejected and equivalent ones accepted, and another process must come to the same bytes.\n"
      "What was dropped, and why, is counted on stderr. docs/certificates.md says what a certificate holds.\n\n"
      "Exit status: 0 all made, 1 fewer could be made, 2 wrong usage, 3 could not.\n\n"
      "Examples:\n"
      "  gauntlet synth trip_planning --count 100 --difficulty 3 --db trips.db\n"
      "  gauntlet synth trip_planning --named paper --db trips.db --json");
  command->callback([options, &context] { run_synth(*options, context); });

  CLI::App* recheck = app.add_subcommand(std::string(kRecheck), "Checks tasks from standard input (started by synth)");
  recheck->group("");  // hidden
  recheck->callback([] {
    std::string line;
    require(static_cast<bool>(std::getline(std::cin, line)), ErrorKind::Usage, "recheck-tasks: expected an environment spec on the first line of standard input");
    const EnvSpec spec = parse_env_spec(parse_json(line, "standard input"), "standard input");
    recheck_tasks(spec, std::cin, std::cout);
  });
}

}  // namespace gauntlet
