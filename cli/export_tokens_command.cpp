#include "cli/export_tokens_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>
#include <unordered_set>

#include "cli/builtin_model.h"
#include "cli/document_source.h"
#include "cli/export_filters.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "cli/version.h"
#include "core/error.h"
#include "core/ordered_results.h"
#include "core/sha256.h"
#include "synth/blueprint.h"
#include "synth/neighbours.h"
#include "synth/seed_ranges.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;
using Results = OrderedResults<MadeDocuments>;

constexpr int kMaxThreads = 256;
constexpr std::size_t kWindow = 32;              // results ahead of the writer, for each thread
constexpr std::int64_t kMostFruitless = 2000;    // draws in a row without a document, after which there will be none
constexpr double kWeightUnit = 1000.0;
constexpr double kMostWeight = 1e6;
constexpr auto kPatience = std::chrono::milliseconds(100);
constexpr auto kTerminalInterval = std::chrono::milliseconds(200);
constexpr auto kPlainInterval = std::chrono::seconds(5);

/// "a:2,b:0.5,c": names with weights, 1 where none is given.
std::vector<std::pair<std::string, std::uint32_t>> parse_weights(const std::string& text, const std::string& option) {
  std::vector<std::pair<std::string, std::uint32_t>> out;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    const std::size_t colon = part.find(':');
    const std::string number = colon == std::string::npos ? "1" : part.substr(colon + 1);
    char* stop = nullptr;
    const double weight = std::strtod(number.c_str(), &stop);
    require(!number.empty() && *stop == '\0' && weight >= 0 && weight <= kMostWeight, ErrorKind::Usage, fmt::format("{}: found \"{}\"; accepted: NAME:WEIGHT with a weight of 0 to {:.0f}", option, part, kMostWeight));
    const std::string name = part.substr(0, colon);
    require(std::none_of(out.begin(), out.end(), [&](const auto& known) { return known.first == name; }), ErrorKind::Usage, fmt::format("{}: \"{}\" is given twice", option, name));
    out.emplace_back(name, static_cast<std::uint32_t>(std::lround(weight * kWeightUnit)));
  }
  return out;
}

TrajectoryRequest oracle_request(const ExportTokensOptions& options) {
  TrajectoryRequest request;
  request.spec = std::make_shared<const EnvSpec>(load_env_spec(options.oracle));
  request.system_prompt = default_system_prompt(*request.spec);
  request.seed = options.seed;
  if (options.levels.empty()) {
    for (const int level : task_levels(*request.spec)) request.levels.emplace_back(level, static_cast<std::uint32_t>(kWeightUnit));
  } else {
    for (const auto& [name, weight] : parse_weights(options.levels, "--levels")) {
      require(name.size() == 1 && name[0] >= '1' && name[0] <= '5', ErrorKind::Usage, fmt::format("--levels: found the level \"{}\"; accepted: 1, 2, 3, 4, 5", name));
      request.levels.emplace_back(name[0] - '0', weight);
    }
  }
  require(options.expert == "tutor" || options.expert == "oracle", ErrorKind::Usage, fmt::format("--expert: found \"{}\"; accepted: tutor, oracle", options.expert));
  request.expert = options.expert == "tutor" ? Expert::Tutor : Expert::Oracle;
  request.thinking_weight = request.chat_weight = 0;
  for (const auto& [name, weight] : parse_weights(options.modes, "--modes")) {
    require(name == "thinking" || name == "chat", ErrorKind::Usage, fmt::format("--modes: found the mode \"{}\"; accepted: thinking, chat", name));
    (name == "chat" ? request.chat_weight : request.thinking_weight) = weight;
  }
  if (!options.exclude.empty()) request.excluded = parse_exclusions(read_text_file(options.exclude), options.exclude);
  return request;
}

std::string tokenizer_sha256(const std::string& path) {
  std::error_code error;
  return sha256_hex(read_text_file(std::filesystem::is_directory(path, error) ? (std::filesystem::path(path) / "tokenizer.json").string() : path));
}

void check(const ExportTokensOptions& options) {
  const auto between = [](const char* name, std::int64_t value, std::int64_t least, std::int64_t most) {
    require(value >= least && value <= most, ErrorKind::Usage, fmt::format("{}: found {}; accepted: {} to {}", name, value, least, most));
  };
  require(options.oracle.empty() != options.store.empty(), ErrorKind::Usage, "give either --oracle DOMAIN, to generate documents, or --db FILE, for stored episodes");
  require(options.text != !options.tokenizer.empty(), ErrorKind::Usage, "give either --tokenizer, or --text for documents that are not tokenised");
  between("--count", options.count, 0, 1'000'000'000);
  between("--threads", options.threads, 0, kMaxThreads);
  between("--shard-tokens", options.shard_tokens, 1, 1'000'000'000);
  between("--max-tokens", options.max_tokens, 1, 1'000'000'000);
  between("--most-waiting", options.most_waiting, 0, 1'000'000);
  const ExportFilters filters{.environment = options.environment, .level = options.level, .min_score = options.min_score};
  check_filters(filters);
  if (!options.store.empty()) require_tasks(Store(options.store, StoreMode::ReadOnly), filters);
}

class Progress {
 public:
  void show(const ShardWriter& writer, std::int64_t dropped, bool waiting) {
    const auto now = Clock::now();
    if (now - shown_ < (err_is_terminal() ? std::chrono::duration_cast<Clock::duration>(kTerminalInterval) : std::chrono::duration_cast<Clock::duration>(kPlainInterval))) return;
    shown_ = now;
    fmt::print(stderr, "{}{}, {} tokens so far ({:.2f} M/min), {} written, {} dropped{}{}", err_is_terminal() ? "\r\033[K" : "", counted(writer.documents(), "document"), writer.tokens(),
               static_cast<double>(writer.tokens()) * 60e-6 / seconds(), counted(static_cast<std::int64_t>(writer.shards()), "shard"), dropped, waiting ? "  waiting: the trainer has shards enough" : "",
               err_is_terminal() ? "" : "\n");
    std::fflush(stderr);
  }
  double seconds() const { return std::max(1e-3, std::chrono::duration<double>(Clock::now() - start_).count()); }
  void end() const {
    if (err_is_terminal()) fmt::print(stderr, "\r\033[K");
  }

 private:
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

void produce(const DocumentSource& source, std::atomic<std::int64_t>& next, Results& results, const CancelFlag& halt) {
  try {
    const auto maker = source.make_maker();
    while (true) {
      const std::int64_t index = next.fetch_add(1);
      if (source.size() >= 0 && index >= source.size()) return;
      if (!results.wait_for_turn(index)) return;
      MadeDocuments made = maker->make(index, halt);
      if (made.cancelled) return;
      results.put(index, std::move(made));
    }
  } catch (...) {
    results.fail(std::current_exception());
  }
}

/// Takes results in order and writes them.
class Export {
 public:
  Export(const ExportTokensOptions& options, const DocumentSource& source, ShardWriter& writer, const CancelFlag& cancel) : options_(options), source_(source), writer_(writer), cancel_(cancel) {}

  void run() {
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    const int threads = options_.threads > 0 ? options_.threads : std::min(cores, kMaxThreads);
    Results results(static_cast<std::size_t>(threads) * kWindow);
    std::atomic<std::int64_t> next{0};
    CancelFlag halt{false};
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back([&] { produce(source_, next, results, halt); });
    const auto stop = [&] {
      halt = true;
      results.stop();
    };
    try {
      consume(results);
    } catch (...) {
      stop();
      throw;
    }
    stop();
    progress_.end();
  }

  bool is_done() const { return options_.count > 0 ? writer_.documents() >= options_.count : source_.size() < 0 || taken_ >= source_.size(); }
  const std::map<std::string, std::int64_t>& dropped() const { return dropped_; }
  double seconds() const { return progress_.seconds(); }
  Json shares() const { return {{"documents_by_level", by_level_}, {"documents_by_mode", by_mode_}}; }

 private:
  void consume(Results& results) {
    std::int64_t fruitless = 0;
    while (!cancel_.load() && !(options_.count > 0 && writer_.documents() >= options_.count) && !(source_.size() >= 0 && taken_ >= source_.size())) {
      auto made = results.take(kPatience);
      progress_.show(writer_, total_dropped(), false);
      if (!made) continue;
      ++taken_;
      const std::int64_t before = writer_.documents();
      take(*made);
      fruitless = writer_.documents() > before ? 0 : fruitless + 1;
      require(source_.size() >= 0 || fruitless < kMostFruitless, ErrorKind::Usage, fmt::format("{} draws in a row gave no document: {}", fruitless, reasons()));
    }
  }

  void take(MadeDocuments& made) {
    for (const auto& [reason, n] : made.dropped) dropped_[reason] += n;
    if (made.documents.empty()) return;
    // 64 bits of the id's hash: a false alarm drops one document.
    if (source_.distinct_tasks() && !seen_.insert(hash_text(made.task_id)).second) {
      ++dropped_["the same task again"];
      return;
    }
    for (const auto& document : made.documents) {
      if (options_.count > 0 && writer_.documents() >= options_.count) return;
      writer_.add(document);
      ++by_level_[std::to_string(document.level)];
      ++by_mode_[document.mode == ThinkingMode::Chat ? "chat" : "thinking"];
      if (!writer_.is_full()) continue;
      while (!writer_.has_room() && !cancel_.load()) {
        progress_.show(writer_, total_dropped(), true);
        std::this_thread::sleep_for(kPatience);
      }
      writer_.write();
    }
  }

  std::int64_t total_dropped() const {
    std::int64_t total = 0;
    for (const auto& [reason, n] : dropped_) total += n;
    return total;
  }
  std::string reasons() const {
    std::string out;
    for (const auto& [reason, n] : dropped_) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", n, reason);
    return out;
  }

  const ExportTokensOptions& options_;
  const DocumentSource& source_;
  ShardWriter& writer_;
  const CancelFlag& cancel_;
  Progress progress_;
  std::map<std::string, std::int64_t> dropped_, by_level_, by_mode_;
  std::unordered_set<std::uint64_t> seen_;
  std::int64_t taken_ = 0;
};

}  // namespace

void run_export_tokens(const ExportTokensOptions& options, Context& context) {
  check(options);
  DocumentStyle style{.tokenizer = nullptr, .max_tokens = options.max_tokens};
  if (!options.text) style.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(resolve_model(options.tokenizer)));
  const EpisodeChoice episodes{
      .store = options.store, .run = options.run, .environment = options.environment, .level = options.level.value_or(-1), .min_score = options.min_score};
  const auto source = options.oracle.empty() ? make_episode_source(episodes, style) : make_oracle_source(oracle_request(options), style);
  source->make_maker();  // An unfit tokenizer is told before anything is written.
  ShardWriter writer({.folder = options.out,
                      .form = options.text ? DocumentForm::Text : DocumentForm::Tokens,
                      .vocab = options.text ? 0 : style.tokenizer->vocab_size(),
                      .shard_tokens = options.shard_tokens,
                      .most_waiting = options.most_waiting,
                      .overwrite = options.overwrite});
  Export work(options, *source, writer, context.cancel);
  work.run();

  Json manifest = source->describe();
  manifest["format"] = options.text ? "gauntlet.text/1" : "gauntlet.tokens/1";
  manifest["code_version"] = std::string(kVersion);
  if (!options.text) {
    manifest["tokenizer_sha256"] = tokenizer_sha256(resolve_model(options.tokenizer));
    manifest["vocab_size"] = style.tokenizer->vocab_size();
    manifest["max_tokens"] = options.max_tokens;
  }
  manifest["dropped"] = work.dropped();
  manifest.update(work.shares());
  writer.finish(manifest);
  if (options.json) {
    write_json_line(Json{{"out", options.out}, {"documents", writer.documents()}, {"tokens", writer.tokens()}, {"learnt_tokens", writer.learnt()}, {"shards", writer.shards()}, {"dropped", work.dropped()}});
  } else {
    const std::string tokens = options.text ? "" : fmt::format(", {} tokens of which {} are learnt ({:.2f} M tokens/min)", writer.tokens(), writer.learnt(), static_cast<double>(writer.tokens()) * 60e-6 / work.seconds());
    write_note(fmt::format("{}: {}{}, {} in {:.1f} s", options.out, counted(writer.documents(), "document"), tokens, counted(static_cast<std::int64_t>(writer.shards()), "shard"), work.seconds()));
    for (const auto& [reason, n] : work.dropped()) write_note(fmt::format("  dropped {:>5}  {}", n, reason));
  }
  if (!work.is_done()) context.exit_code = context.cancel.load() ? 3 : 1;
  if (writer.documents() == 0 && context.exit_code == 0) context.exit_code = 1;
}

void add_export_tokens_command(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("tokens", "Token ids with loss masks, of the oracle's or of stored episodes, for training");
  auto options = std::make_shared<ExportTokensOptions>();
  ExportTokensOptions& o = *options;
  check_path(command->add_option("--out", o.out, "Folder for the shards and tokens.json; made if missing")->type_name("DIR")->required());
  command->add_option("--tokenizer", o.tokenizer, "A tokenizer.json, a folder with one, or builtin: the built-in model's")->type_name("PATH");
  command->add_flag("--text", o.text, "Text in place of tokens, as JSON Lines: what a tokenizer is trained on");
  command->add_option("--oracle", o.oracle, "Generate: the oracle plays new tasks of this environment (a built-in name or the path of a spec)")->type_name("DOMAIN");
  command->add_option("--levels", o.levels, "With --oracle: difficulty levels and their weights, 1:2,2:3,5:0.2; default: all alike")->type_name("LEVELS");
  command->add_option("--expert", o.expert, "With --oracle: who plays: tutor (works in small steps and writes each one down; other tasks than it knows go to the oracle) or oracle")->type_name("NAME")->capture_default_str();
  command->add_option("--modes", o.modes, "With --oracle: thinking and chat with their weights, thinking:4,chat:1")->type_name("MODES")->capture_default_str();
  check_seed(command->add_option("--seed", o.seed, "With --oracle: equal seeds give equal documents, with any number of threads; no task is one that synth makes")
                 ->type_name("SEED")->capture_default_str());
  command->add_option("--exclude", o.exclude, "With --oracle: a list of what must not be made, as synth's")->type_name("FILE");
  check_path(command->add_option("--db", o.store, "The store whose episodes are exported")->type_name("FILE"));
  command->add_option("--run", o.run, "With --db: only this run; default: all")->type_name("NAME");
  command->add_option("--environment", o.environment, "With --db: only tasks of this environment")->type_name("NAME");
  command->add_option("--level", o.level, "With --db: only tasks of this difficulty level, 1 to 5; 0: those without one")->type_name("N");
  command->add_option("--min-score", o.min_score, "With --db: episodes with a lower score, 0 to 1, are left out; unscored ones always are")->type_name("X")->capture_default_str();
  command->add_option("--count", o.count, "Documents; 0: all episodes, and with --oracle until stopped")->type_name("N")->capture_default_str();
  command->add_option("--max-tokens", o.max_tokens, "Longer documents are dropped")->type_name("N")->capture_default_str();
  command->add_option("--shard-tokens", o.shard_tokens, "Tokens of a shard, about: it holds whole documents")->type_name("N")->capture_default_str();
  command->add_option("--most-waiting", o.most_waiting, "Pause while more shards than this lie in the folder; 0: never. A trainer deletes those that it has read")->type_name("N")->capture_default_str();
  command->add_option("--threads", o.threads, "Threads; 0: one for each core")->type_name("N")->capture_default_str();
  command->add_flag("--overwrite", o.overwrite, "Replace the shards and the manifest that are there already");
  command->add_flag("--json", o.json, "The summary as one JSON object on stdout");
  context.manuals[command] = {
      .description = fmt::format("One document a conversation, in DeepSeek's format, with the ids that an episode of a local model would have: each prompt, each reply and what the environment adds "
                                 "are tokenised by themselves. The loss mask is 1 on what the agent writes, its end-of-sentence token included, but 0 on the arguments of calls that were answered with "
                                 "an error. Stored episodes of a local model keep their recorded ids and log-probabilities.\n\n"
                                 "With --oracle each task is drawn anew and only its answer is verified. Draws come from a stream of their own, so training meets no task of "
                                 "gauntlet synth; synth's seeds {} to {} are those of evaluation. Ctrl-C ends with a whole last shard and the manifest.",
                                 kFirstEvaluationSeed, kLastEvaluationSeed),
      .examples = {{"A thousand documents of three levels", "gauntlet export tokens --oracle trip_planning --levels 1:1,2:2,3:3 --tokenizer tokenizer.json --count 1000 --out tokens"},
                   {"Beside a trainer, until stopped", "gauntlet export tokens --oracle trip_planning --modes thinking:4,chat:1 --tokenizer tokenizer.json --most-waiting 8 --out tokens"},
                   {"Texts for training a tokenizer", "gauntlet export tokens --oracle trip_planning --text --count 2000 --out texts"},
                   {"What a local model sampled", "gauntlet export tokens --db t.db --tokenizer model --out sampled"}},
      .exit_status = {{0, "done; with --oracle and without --count also when stopped by Ctrl-C, since nothing else ends it"},
                      {1, "fewer documents than --count, or none"},
                      {2, "wrong usage"},
                      {3, "could not be done, or stopped by Ctrl-C before it was"}},
      .see_also = {"docs/exports.md"}};
  command->callback([options, &context] { run_export_tokens(*options, context); });
}

}  // namespace gauntlet
