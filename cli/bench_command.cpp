#include "cli/bench_command.h"

#include <fmt/format.h>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>

#include "agent/progress.h"
#include "agent/runner.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/version.h"
#include "core/error.h"
#include "core/rng.h"
#include "core/sha256.h"

namespace gauntlet {
namespace {

ThinkingMode parse_mode(const std::string& text) {
  if (text == "thinking") return ThinkingMode::Thinking;
  if (text == "chat") return ThinkingMode::Chat;
  fail(ErrorKind::Usage, fmt::format("--mode: found \"{}\"; accepted: thinking, chat", text));
}

/// Nothing: each environment's built-in one.
std::optional<std::string> read_system_prompt(const BenchOptions& options) {
  if (options.system_prompt.empty()) return std::nullopt;
  return options.system_prompt == "none" ? "" : read_text_file(options.system_prompt);
}

template <class Whole>
Whole whole_number(const char* name, Whole value, std::int64_t least) {
  require(value >= least, ErrorKind::Usage, fmt::format("{}: found {}; accepted: {} or more", name, value, least));
  return value;
}

void check(const BenchOptions& options) {
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) { whole_number(name, value, least); };
  at_least("--repeats", options.repeats, 1);
  at_least("--in-flight", options.in_flight, 1);
  at_least("--max-steps", options.limits.max_steps, 1);
  at_least("--max-tool-calls", options.limits.max_tool_calls, 1);
  at_least("--max-completion-tokens", options.limits.max_completion_tokens, 1);
  at_least("--max-attempts", options.model.max_attempts, 1);
  at_least("--silence-seconds", options.model.silence_seconds, 1);
  at_least("--max-tokens", options.sampling.max_tokens, 1);
  at_least("--retries-on-fault", options.retries_on_fault, 0);
  at_least("--abort-after-faults", options.abort_after_faults, 1);
  require(options.sampling.temperature >= 0 && options.sampling.temperature <= 2, ErrorKind::Usage, fmt::format("--temperature: found {}; accepted: 0 to 2", options.sampling.temperature));
  const auto amount = [](const char* name, double value) {
    require(std::isfinite(value) && value >= 0, ErrorKind::Usage, fmt::format("{}: found {}; accepted: 0 or more", name, value));
  };
  amount("--max-cost", options.limits.max_cost);
  amount("--prompt-price", options.prompt_price);
  amount("--completion-price", options.completion_price);
  require(options.limits.max_cost == 0 || options.prompt_price > 0 || options.completion_price > 0, ErrorKind::Usage,
          "--max-cost: found no prices to count by; give --prompt-price or --completion-price too");
  require(options.sampling.top_p > 0 && options.sampling.top_p <= 1, ErrorKind::Usage, fmt::format("--top-p: found {}; accepted: above 0, to 1", options.sampling.top_p));
}

/// What must not change when a run is resumed. Tasks and repeats are not in it: a run may grow.
Json configuration(const BenchOptions& options, const ModelChoice& model, const std::optional<std::string>& system_prompt) {
  return {{"model", model.description},
          {"mode", options.mode},
          {"thinking_policy", options.thinking_policy},
          {"system_prompt", options.system_prompt.empty() || options.system_prompt == "none" ? options.system_prompt : sha256_hex(*system_prompt)},
          {"seed", options.seed},
          {"temperature", options.sampling.temperature},
          {"top_p", options.sampling.top_p},
          {"max_tokens", options.sampling.max_tokens},
          {"max_steps", options.limits.max_steps},
          {"max_tool_calls", options.limits.max_tool_calls},
          {"max_completion_tokens", options.limits.max_completion_tokens},
          {"max_wall_ms", options.limits.max_wall_ms},
          {"max_cost", options.limits.max_cost},
          {"prompt_price", options.prompt_price},
          {"completion_price", options.completion_price}};
}

/// Progress for people on stderr, and on request a line on stdout for each episode once nothing can lose it any more.
class BenchProgress : public ConsoleProgress {
 public:
  explicit BenchProgress(bool acknowledge) : ConsoleProgress(stderr, err_is_terminal()), acknowledge_(acknowledge) {}

  void on_stored(const Episode& episode) override {
    ConsoleProgress::on_stored(episode);
    if (!acknowledge_) return;
    const Json value = episode.score.scored ? Json(episode.score.value) : Json(nullptr);
    write_json_line(Json{{"stored", {{"run", episode.run_id}, {"task_id", episode.task_id}, {"sample", episode.sample}, {"attempt", episode.attempt}, {"stop", stop_reason_name(episode.stop)}, {"value", value}}}});
  }

 private:
  bool acknowledge_;
};

/// Each episode at an endpoint holds two descriptors of its connection.
void allow_connections(int in_flight) {
  const rlim_t needed = 2 * static_cast<rlim_t>(in_flight) + 100;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  require(limit.rlim_max >= needed, ErrorKind::Usage, fmt::format("--in-flight: {} connections need {} open files, and the system allows {} (ulimit -Hn)", in_flight, needed, limit.rlim_max));
  limit.rlim_cur = needed;
  setrlimit(RLIMIT_NOFILE, &limit);
}

std::vector<Store::Slot> list_work(const BenchOptions& options, const Store& store) {
  std::vector<Store::Slot> work;
  std::vector<std::string> tasks;
  for (const auto& id : options.tasks) tasks.push_back(get_task(store, id).task_id);
  store.for_each_task({.task_ids = tasks, .environment = options.environment, .level = options.level, .limit = options.limit}, [&](const Task& task) {
    for (int sample = 0; sample < options.repeats; ++sample) work.push_back({.task_id = task.task_id, .sample = sample});
  });
  require(!work.empty(), ErrorKind::Usage, fmt::format("no task in {} matches; gauntlet synth makes tasks", store.path()));
  return work;
}

/// Passes everything on, and counts why episodes could not be played.
class FaultCounter : public RunObserver {
 public:
  explicit FaultCounter(RunObserver& inner) : inner_(inner) {}

  void on_start(std::int64_t requested, std::int64_t already_done) override { inner_.on_start(requested, already_done); }
  void on_stored(const Episode& episode) override {
    if (is_infrastructure(episode.stop)) ++faults_[fmt::format("{}: {}", episode.fault_class, episode.fault_message)];
    inner_.on_stored(episode);
  }
  void on_message(const std::string& message) override { inner_.on_message(message); }
  void on_finish(const RunSummary& summary) override { inner_.on_finish(summary); }
  void on_tick() override { inner_.on_tick(); }

  /// The most frequent first.
  std::vector<std::pair<std::int64_t, std::string>> faults() const {
    std::vector<std::pair<std::int64_t, std::string>> out;
    for (const auto& [message, n] : faults_) out.emplace_back(n, message);
    std::sort(out.rbegin(), out.rend());
    return out;
  }

 private:
  RunObserver& inner_;
  std::map<std::string, std::int64_t> faults_;
};

constexpr std::size_t kShownFaults = 3;

void tell_faults(const FaultCounter& counter) {
  const auto faults = counter.faults();
  for (std::size_t i = 0; i < std::min(faults.size(), kShownFaults); ++i) write_note(fmt::format("  {:>5} x {}", faults[i].first, printable(faults[i].second)));
  if (faults.size() > kShownFaults) write_note(fmt::format("  and {} more kinds", faults.size() - kShownFaults));
}

}  // namespace

std::string run_bench(const BenchOptions& options, Context& context) {
  check(options);
  const ThinkingMode mode = parse_mode(options.mode);
  const ThinkingPolicy policy = parse_thinking_policy(options.thinking_policy);
  Store store(options.store, StoreMode::ReadWrite);
  TaskShelf shelf(options.store);
  const ModelChoice model = choose_model(options.model, shelf, context.cancel);
  if (!model.warning.empty()) write_note(model.warning);
  if (model.description.at("kind") == "openai") allow_connections(options.in_flight);
  const std::optional<std::string> system_prompt = read_system_prompt(options);
  const Json config = configuration(options, model, system_prompt);
  const std::string hash = sha256_hex(canonical_json(config));

  RunPlan plan;
  plan.record = {.run_id = options.run.empty() ? fmt::format("{}-{}", config.at("model").value("name", config.at("model").value("kind", "run")), hash.substr(0, 8)) : options.run,
                 .config = config,
                 .config_sha256 = hash,
                 .code_version = std::string(kVersion),
                 .started_unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
  plan.work = list_work(options, store);
  plan.in_flight = options.in_flight;
  plan.retries_on_fault = options.retries_on_fault;
  plan.abort_after_faults = options.abort_after_faults;
  plan.store_retry_seconds = options.store_retry_seconds;
  plan.prepare = [&](const Store::Slot& slot, int attempt) {
    const auto ready = shelf.task(slot.task_id);
    const std::uint64_t seed = Rng(options.seed).split(slot.task_id).split(static_cast<std::uint64_t>(slot.sample)).split(static_cast<std::uint64_t>(attempt)).next();
    // Made before the aggregate: code by g++ 12 destroys a member twice when the initialiser of a later one throws.
    std::unique_ptr<ChatModel> own_model = model.make ? model.make(*ready, slot, seed) : nullptr;
    PreparedEpisode prepared{.setup = {.session = Session(ready->environment->runtime, ready->world),
                                       .system_prompt = system_prompt ? *system_prompt : default_system_prompt(*ready->environment->spec),
                                       .user_prompt = ready->task.prompt,
                                       .tools = ready->environment->tools,
                                       .limits = options.limits,
                                       .thinking = policy,
                                       .mode = mode,
                                       .sampling = options.sampling,
                                       .prices = {.prompt = options.prompt_price, .completion = options.completion_price},
                                       .judge = [ready](const std::optional<std::string>& answer) { return ready->judge(answer); },
                                       .seed = seed},
                             .own_model = std::move(own_model),
                             .shared_model = model.shared.get()};
    prepared.setup.sampling.seed = seed & 0x7fffffff;  // Several servers refuse seeds of more than 31 bits.
    return prepared;
  };

  BenchProgress console(options.acknowledge);
  if (model.sampled_tokens) console.watch_tokens(model.sampled_tokens);
  if (options.progress_by_level) console.count_by_level([&shelf](const Episode& episode) { return shelf.task(episode.task_id)->task.level; });
  FaultCounter progress(console);
  const RunSummary summary = run_all(plan, store, progress, context.cancel);
  tell_faults(progress);
  if (options.json) {
    write_json_line(Json{{"run", plan.record.run_id},
                   {"requested", summary.requested},
                   {"completed_before", summary.completed_before},
                   {"passed_before", summary.passed_before},
                   {"completed", summary.completed},
                   {"passed", summary.passed},
                   {"infrastructure_faults", summary.faults},
                   {"cancelled", summary.cancelled},
                   {"stopped_by", summary.stopped_by}});
  } else {
    write_note(fmt::format("run {0}: gauntlet report --db {1} --run {0}, gauntlet show --db {1} {0}", plan.record.run_id, options.store));
  }
  if (!summary.stopped_by.empty() || summary.faults > 0) context.exit_code = 3;
  return plan.record.run_id;
}

void add_bench_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("bench", "Run an agent through stored tasks, judge and store every episode; resumable");
  command->group("Make tasks and run agents");
  auto options = std::make_shared<BenchOptions>();
  BenchOptions& o = *options;
  check_path(command->add_option("--db", o.store, "The store with the tasks; episodes go there too")->type_name("FILE")->capture_default_str());
  command->add_option("--model", o.model.model, "builtin (the model that comes with this program), oracle, tutor, noop, constant, echo, random, greedy, replay:RUN, a checkpoint's folder, or the URL of an OpenAI-compatible endpoint")->type_name("MODEL")->capture_default_str();
  command->add_option("--model-name", o.model.model_name, "Model at the endpoint; default: the first that it lists")->type_name("NAME");
  command->add_option("--api-key-env", o.model.api_key_env, "Environment variable that holds the endpoint's key; default: no key is sent")->type_name("VARIABLE");
  command->add_flag("--stream,!--no-stream", o.model.stream, "Ask the endpoint for a stream (the default), or for whole replies");
  command->add_option("--max-attempts", o.model.max_attempts, "Tries of one request to an endpoint, with growing pauses")->type_name("N")->capture_default_str();
  command->add_option("--silence-seconds", o.model.silence_seconds, "Seconds after which an endpoint that sends nothing is asked again")->type_name("SECONDS")->capture_default_str();
  add_local_engine_options(*command, o.model.local);
  command->add_option("--run", o.run, "Name of the run; default: made from the configuration, so that the same command resumes")->type_name("NAME");
  command->add_option("--repeats", o.repeats, "Episodes of each task (the largest k of pass@k)")->type_name("N")->capture_default_str();
  command->add_option("--in-flight", o.in_flight, "Episodes at once")->type_name("N")->capture_default_str();
  check_seed(command->add_option("--seed", o.seed, "Seed of everything that is drawn")->type_name("SEED")->capture_default_str());
  command->add_option("--environment", o.environment, "Only tasks of this environment")->type_name("NAME");
  const auto set_level = [options](int level) { options->level = whole_number("--level", level, 0); };
  command->add_option_function<int>("--level", set_level, "Only tasks of this difficulty level; 0: tasks without one")->type_name("N");
  const auto set_limit = [options](std::int64_t limit) { options->limit = whole_number("--limit", limit, 1); };
  command->add_option_function<std::int64_t>("--limit", set_limit, "Only the first so many tasks")->type_name("N");
  command->add_option("--task", o.tasks, "Only these tasks, by their ids or the beginnings of them")->type_name("ID");
  command->add_option("--mode", o.mode, "thinking or chat")->type_name("MODE")->capture_default_str();
  command->add_option("--thinking-policy", o.thinking_policy, "Which earlier thinking the model sees again: since_last_user, all, last, none")->type_name("POLICY")->capture_default_str();
  command->add_option("--system-prompt", o.system_prompt, "A file with the system prompt, or \"none\"; default: a short built-in one")->type_name("FILE");
  command->add_option("--temperature", o.sampling.temperature, "Sampling temperature, 0 to 2")->type_name("X")->capture_default_str();
  command->add_option("--top-p", o.sampling.top_p, "Nucleus sampling, above 0, to 1")->type_name("X")->capture_default_str();
  command->add_option("--max-tokens", o.sampling.max_tokens, "Tokens of one reply")->type_name("N")->capture_default_str();
  command->add_option("--max-steps", o.limits.max_steps, "Replies of one episode")->type_name("N")->capture_default_str();
  command->add_option("--max-tool-calls", o.limits.max_tool_calls, "Tool calls of one episode")->type_name("N")->capture_default_str();
  command->add_option("--max-completion-tokens", o.limits.max_completion_tokens, "Tokens of all replies of one episode")->type_name("N")->capture_default_str();
  command->add_option_function<double>("--timeout-seconds", [options](double seconds) {
        require(seconds >= 0.001 && seconds <= 1e8, ErrorKind::Usage, fmt::format("--timeout-seconds: found {}; accepted: 0.001 to 100000000", seconds));
        options->limits.max_wall_ms = static_cast<std::int64_t>(seconds * 1000);
      }, "Seconds that one episode may take; one that takes longer is not scored")
      ->type_name("SECONDS")
      ->default_str(fmt::format("{}", o.limits.max_wall_ms / 1000));
  command->add_option("--max-cost", o.limits.max_cost, "Cost of one episode by the prices given; 0: no limit")->type_name("X")->capture_default_str();
  command->add_option("--prompt-price", o.prompt_price, "Price of a million prompt tokens, in any currency")->type_name("X")->capture_default_str();
  command->add_option("--completion-price", o.completion_price, "Price of a million completion tokens")->type_name("X")->capture_default_str();
  command->add_option("--retries-on-fault", o.retries_on_fault,
                      "Further tries of an episode that ended in an infrastructure fault; one that was refused, or ran out of time or context, is left to the next time")
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--abort-after-faults", o.abort_after_faults, "So many faulty episodes in a row end the run; those that ran out of time do not count")->type_name("N")->capture_default_str();
  command->add_option("--store-retry-seconds", o.store_retry_seconds, "Seconds that a full disk or a locked store is waited for")->type_name("SECONDS")->capture_default_str();
  command->add_flag("--json", o.json, "The accounts of the run as one JSON object on stdout");
  command->add_flag("--ack", o.acknowledge, "One line {\"stored\": {run, task_id, sample, attempt, stop, value}} on stdout for each episode, once it is stored durably");
  context.manuals[command] = {
      .description = "An episode counts as done once it is stored durably. Episodes that end in infrastructure faults (endpoint gone, time-outs, replies that are no replies) are "
                     "stored unscored and tried again by the same command; they are never scored as failures. Nor are episodes that run out of --timeout-seconds: "
                     "time is a matter of the machine and of --in-flight, not of the agent. Ctrl-C stops cleanly, and the same command plays what is missing. "
                     "More --repeats or more tasks make a run grow.\n\n"
                     "Built-in agents need no language model. oracle solves through the tools alone; tutor does so in small steps, each written down; noop says that it is done; constant hands in an empty answer; echo hands in "
                     "the task's own text; random looks around at random; greedy takes the first or the cheapest of everything. replay:RUN plays the messages of another run again.",
      .examples = {{"The built-in model, always its most likely token", "gauntlet bench --db t.db --model builtin --temperature 0"},
                   {"The oracle, four episodes of each task", "gauntlet bench --db t.db --model oracle --repeats 4"},
                   {"A checkpoint on this machine", "gauntlet bench --db t.db --model models/my-model --in-flight 32"},
                   {"A model behind an endpoint, 32 episodes at once", "gauntlet bench --db t.db --model http://127.0.0.1:8000/v1 --model-name my-model --in-flight 32 --api-key-env MY_KEY"}},
      .exit_status = {{0, "all episodes are done, whether they passed or not"}, {2, "wrong usage"}, {3, "some could not be done, or the run was stopped"}},
      .see_also = {"docs/store.md"}};
  command->callback([options, &context] { run_bench(*options, context); });
}

}  // namespace gauntlet
