#include "cli/export_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/environments.h"
#include "cli/export_filters.h"
#include "cli/export_tokens_command.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "core/error.h"
#include "datasets/export_rl.h"
#include "datasets/export_sft.h"

namespace gauntlet {
namespace {

ExportTarget target(const ExportOptions& options) {
  return {.folder = options.out, .overwrite = options.overwrite ? Overwrite::Replace : Overwrite::Refuse, .validation_share = options.validation_share};
}

void tell(const ExportSummary& summary, const ExportOptions& options) {
  if (options.json) return write_json_line(to_json(summary));
  for (const auto& file : summary.files) write_note(fmt::format("{}: {}", file.path, counted(file.rows, "row")));
  for (const auto& [reason, n] : summary.skipped) write_note(fmt::format("  left out {:>5}  {}", n, reason));
}

/// The log needs a writable store; an export from a read-only one is still an export.
void log(const ExportOptions& options, const ExportSummary& summary) {
  try {
    Store(options.store, StoreMode::ReadWrite).log_export(to_json(summary));
  } catch (const Error& error) {
    write_note(fmt::format("the export is complete, but is not in the store's log: {}", error.what()));
  }
}

void add_common(CLI::App* command, const std::shared_ptr<ExportOptions>& options) {
  check_path(command->add_option("--db", options->store, "The store")->type_name("FILE")->capture_default_str());
  check_path(command->add_option("--out", options->out, "Folder for train.jsonl and validation.jsonl; made if missing")->type_name("DIR")->required());
  command->add_option("--validation-share", options->validation_share, "Share of tasks for validation.jsonl, 0 to below 1; by a hash of the task alone")->type_name("X")->capture_default_str();
  command->add_flag("--overwrite", options->overwrite, "Replace files that are there already");
  command->add_option("--environment", options->environment, "Only tasks of this environment")->type_name("NAME");
  command->add_option("--level", options->level, "Only tasks of this difficulty level, 1 to 5; 0: those without one")->type_name("N");
  command->add_flag("--json", options->json, "The summary as one JSON object on stdout");
}

void require_format(const std::string& format, const std::vector<std::string>& accepted) {
  if (std::find(accepted.begin(), accepted.end(), format) != accepted.end()) return;
  const std::string nearest = nearest_word(format, accepted);
  fail(ErrorKind::Usage, fmt::format("--format: found \"{}\"; accepted: {}{}", format, fmt::join(accepted, ", "), nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

}  // namespace

void run_export_rl(const ExportOptions& options) {
  require_format(options.format, {"superset", "nemo_gym"});
  const ExportFilters filters{.environment = options.environment, .level = options.level};
  check_filters(filters);
  require(options.limit >= 0, ErrorKind::Usage, fmt::format("--limit: found {}; accepted: 0 (all) or more", options.limit));
  TaskShelf shelf(options.store);
  const Store store(options.store, StoreMode::ReadOnly);
  require_tasks(store, filters);
  RlExportOptions rl;
  rl.format = options.format == "nemo_gym" ? RlFormat::NemoGym : RlFormat::Superset;
  rl.target = target(options);
  rl.tasks = {.environment = options.environment, .level = options.level.value_or(-1), .limit = options.limit > 0 ? options.limit : -1};
  rl.oracle_answer = options.oracle_answer ? OracleAnswer::Include : OracleAnswer::LeaveOut;
  rl.env_url = options.env_url;
  const ExportSummary summary = export_rl(store, shelf.infos(), rl);
  log(options, summary);
  tell(summary, options);
}

void run_export_sft(const ExportOptions& options) {
  require_format(options.format, {"messages", "sharegpt"});
  const ExportFilters filters{.environment = options.environment, .level = options.level, .min_score = options.min_score};
  check_filters(filters);
  TaskShelf shelf(options.store);
  const Store store(options.store, StoreMode::ReadOnly);
  require_tasks(store, filters);
  if (!options.run.empty()) get_run(store, options.run);
  SftExportOptions sft;
  sft.format = options.format == "sharegpt" ? SftFormat::ShareGpt : SftFormat::Messages;
  sft.target = target(options);
  sft.run_id = options.run;
  sft.environment = options.environment;
  sft.level = options.level.value_or(-1);
  sft.min_score = options.min_score;
  sft.arguments = options.object_arguments ? ArgumentsForm::Object : ArgumentsForm::String;
  sft.reasoning = options.drop_reasoning ? ReasoningExport::Drop : ReasoningExport::Keep;
  const ExportSummary summary = export_sft(store, shelf.infos(), sft);
  log(options, summary);
  tell(summary, options);
}

void add_export_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("export", "Write training data: prompts for reinforcement learning, conversations for fine-tuning, token ids with loss masks");
  command->group("Training data");
  command->require_subcommand(1);
  context.manuals[command] = {.description = "rl and sft write JSON Lines: FOLDER/train.jsonl, and FOLDER/validation.jsonl when a share is asked for. A file appears under its name only when it is "
                                             "complete. A task is in one split by a hash of its id alone, with all its episodes. tokens writes shards of token ids.",
                              .examples = {},
                              .exit_status = {},
                              .see_also = {"docs/exports.md"}};

  CLI::App* rl = command->add_subcommand("rl", "Tasks as prompts, with what is needed to judge answers");
  auto rl_options = std::make_shared<ExportOptions>();
  rl_options->format = "superset";
  rl->add_option("--format", rl_options->format, "superset (verl, SkyRL, slime, TRL, OpenRLHF) or nemo_gym (NeMo Gym, NeMo-RL, verifiers)")->type_name("FORMAT")->capture_default_str();
  add_common(rl, rl_options);
  rl->add_option("--limit", rl_options->limit, "Only the first so many tasks; 0: all")->type_name("N")->capture_default_str();
  rl->add_flag("--with-oracle-answer", rl_options->oracle_answer, "Put a correct answer into each row; a trainer that logs rows would leak it");
  rl->add_option("--env-url", rl_options->env_url, "Put into env_url: where a server of your own answers the tools' calls; gauntlet serves no environments")->type_name("URL");
  context.manuals[rl] = {.description = "One row a task: system and user message, tools, and the ground truth as JSON text, by which gauntlet verify --batch judges answers.",
                         .examples = {{"For NeMo Gym, a tenth of the tasks for validation", "gauntlet export rl --db t.db --format nemo_gym --validation-share 0.1 --out rl"}},
                         .exit_status = {},
                         .see_also = {"docs/exports.md"}};
  rl->callback([rl_options] { run_export_rl(*rl_options); });

  CLI::App* sft = command->add_subcommand("sft", "Episodes as conversations, with tools and thinking");
  auto sft_options = std::make_shared<ExportOptions>();
  sft_options->format = "messages";
  sft->add_option("--format", sft_options->format, "messages (OpenAI's form, with reasoning_content) or sharegpt (LLaMA-Factory)")->type_name("FORMAT")->capture_default_str();
  add_common(sft, sft_options);
  sft->add_option("--run", sft_options->run, "Only this run; default: all")->type_name("NAME");
  sft->add_option("--min-score", sft_options->min_score, "Episodes with a lower score, 0 to 1, are left out; unscored ones always are")->type_name("X")->capture_default_str();
  sft->add_flag("--drop-reasoning", sft_options->drop_reasoning, "Leave the thinking out");
  sft->add_flag("--object-arguments", sft_options->object_arguments, "Tool arguments as objects instead of JSON text (messages only)");
  context.manuals[sft] = {.description = "Episodes that a trainer would refuse or misread are left out and counted by reason on stderr.",
                          .examples = {{"What the oracle did", "gauntlet export sft --db t.db --run oracle-1a2b3c4d --out sft"},
                                       {"For LLaMA-Factory, with its dataset_info.json", "gauntlet export sft --db t.db --format sharegpt --out sharegpt"}},
                          .exit_status = {},
                          .see_also = {"docs/exports.md"}};
  sft->callback([sft_options] { run_export_sft(*sft_options); });

  add_export_tokens_command(*command, context);
}

}  // namespace gauntlet
