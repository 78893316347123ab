#include "cli/model_recall_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/builtin_model.h"
#include "cli/environments.h"
#include "cli/model_command.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "inference/attention_recall.h"

namespace gauntlet {
namespace {

/// Null where no query had to choose: nothing was measured, which is not a recall of 0.
Json figures_json(const RecallFigures& figures) {
  const auto measured = [&](double value) { return figures.queries > 0 ? Json(value) : Json(); };
  return {{"queries", figures.queries},           {"mean", measured(figures.mean)},
          {"tenth", measured(figures.tenth)},     {"least", measured(figures.least)},
          {"attainable", measured(figures.attainable)}, {"of_attainable", measured(figures.of_attainable)}};
}

/// The ids of whole episodes as the model saw and wrote them: the last reply's prompt with the reply.
std::vector<std::vector<std::int32_t>> episode_ids(const ModelRecallOptions& options, const ModelConfig& config) {
  const Store store(options.store, StoreMode::ReadOnly);
  std::string run = options.run;
  if (run.empty()) {
    for (const RunRecord& known : store.list_runs()) {
      if (known.config.contains("model") && known.config["model"].contains("checkpoint_sha256")) run = known.run_id;
    }
    require(!run.empty(), ErrorKind::Usage, fmt::format("{} holds no run of a checkpoint on this machine", options.store));
  }
  get_run(store, run);
  std::vector<std::vector<std::int32_t>> out;
  store.for_each_episode({.run_id = run}, [&](const StoredEpisode& stored) {
    if (static_cast<std::int64_t>(out.size()) >= options.limit || stored.episode.tokens.empty()) return;
    const TokenTrace& last = stored.episode.tokens.back();
    std::vector<std::int32_t> ids = last.prompt_ids;
    ids.insert(ids.end(), last.ids.begin(), last.ids.end());
    const bool known = std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) { return id >= 0 && id < config.vocab; });
    require(known, ErrorKind::Input, fmt::format("episode {} has token ids outside the model's vocabulary of {}: another model played it", stored.episode_id, config.vocab));
    if (!last.prompt_ids.empty()) out.push_back(std::move(ids));
  });
  require(!out.empty(), ErrorKind::Usage, fmt::format("run \"{}\" has no episode with token ids; runs of a checkpoint on this machine have them", run));
  return out;
}

void print_report(const Json& report) {
  write_out(fmt::format("{} with {} tokens; the indexer chooses {} positions\n\n", counted(report.at("sequences").get<std::int64_t>(), "sequence"), report.at("tokens").get<std::int64_t>(), report.at("index_topk").get<int>()));
  write_out(fmt::format("{:<10} {:>10} {:>9} {:>9} {:>9} {:>11} {:>14}\n", "recall %", "queries", "mean", "tenth", "least", "attainable", "of attainable"));
  const auto line = [](const std::string& name, const Json& row) {
    const auto percent = [&](const char* key) { return row.at(key).is_null() ? "–" : fmt::format("{:.2f}", 100 * row.at(key).get<double>()); };
    write_out(fmt::format("{:<10} {:>10} {:>9} {:>9} {:>9} {:>11} {:>14}\n", name, row.at("queries").get<std::int64_t>(), percent("mean"), percent("tenth"),
                          percent("least"), percent("attainable"), percent("of_attainable")));
  };
  for (std::size_t i = 0; i < report.at("layers").size(); ++i) line(fmt::format("layer {}", i), report.at("layers")[i]);
  line("all", report.at("all"));
  if (report.at("all").at("queries") == 0) {
    write_out(fmt::format("\nNothing was measured: no sequence has more than {} tokens, so that no query had to choose.\n", report.at("index_topk").get<int>()));
  }
  write_out("\nOf queries with more positions than are chosen: the share of dense attention, mean over heads, that falls on the chosen. A tenth of the queries is below \"tenth\".\n"
            "\"attainable\" is the mean of what as many positions can have at most, those where the sum over heads is largest; \"of attainable\" is mean / attainable.\n");
}

}  // namespace

Json recall_report(const ModelRecallOptions& options) {
  require(options.ids.empty() != options.store.empty(), ErrorKind::Usage, "model recall: give either --ids or --db");
  require(options.limit >= 1, ErrorKind::Usage, fmt::format("--limit: found {}; accepted: 1 or more", options.limit));
  const ModelConfig config = load_model_config(options.folder);
  const auto sequences = options.ids.empty() ? episode_ids(options, config) : std::vector<std::vector<std::int32_t>>{read_token_ids(options.ids, config)};
  const Checkpoint checkpoint(options.folder);
  const ModelWeights weights = bind_weights(config, checkpoint);
  const RecallReport found = measure_recall(weights, sequences, options.threads, [&](std::size_t done) {
    if (err_is_terminal()) write_note(fmt::format("{} of {} sequences", done, sequences.size()));
  });
  Json layers = Json::array();
  for (const auto& layer : found.layers) layers.push_back(figures_json(layer));
  return {{"sequences", sequences.size()}, {"tokens", found.tokens}, {"index_topk", config.index_topk}, {"all", figures_json(found.all)}, {"layers", layers}};
}

void add_model_recall_command(CLI::App& parent, Context& context) {
  CLI::App* command = parent.add_subcommand("recall", "Measure how much of dense attention falls on the positions that the indexer chooses");
  auto options = std::make_shared<ModelRecallOptions>();
  ModelRecallOptions& o = *options;
  add_model_option(*command, "--model", o.folder, "config.json and safetensors weights");
  command->add_option("--ids", o.ids, "A file with a JSON array of token ids")->type_name("FILE");
  check_path(command->add_option("--db", o.store, "A store with a run of this checkpoint, whose episodes are read")->type_name("FILE"));
  command->add_option("--run", o.run, "The run; default: the latest of a checkpoint")->type_name("NAME");
  command->add_option("--limit", o.limit, "Only the first so many episodes")->type_name("N")->capture_default_str();
  command->add_option("--threads", o.threads, "Threads; 0: one for each core")->type_name("N")->check(CLI::Range(0, 1024))->capture_default_str();
  command->add_flag("--json", o.json, "One JSON object; shares from 0 to 1, null where nothing was measured");
  context.manuals[command] = {.description = "Runs the texts through the checkpoint on the CPU in float32, with sparse attention, and computes beside it what each query would pay to all positions. The recall is the share of "
                                             "that which the chosen positions have, averaged over heads; queries that need not choose are left out. Beside the mean stands what is attainable: the mean share of the "
                                             "best positions, as many as are chosen, for the same queries (where the attention summed over heads is largest), and the mean recall as a share of that.",
                              .examples = {{"Over the episodes of a run", "gauntlet model recall --model builtin --db t.db"}, {"Over a text, as JSON", "gauntlet model recall --model DIR --ids ids.json --json"}},
                              .exit_status = {},
                              .see_also = {"docs/model.md"}};
  command->callback([options] {
    const Json report = recall_report(*options);
    if (options->json) return write_json_line(report);
    print_report(report);
  });
}

}  // namespace gauntlet
