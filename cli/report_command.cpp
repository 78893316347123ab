#include "cli/context.h"
#include "cli/option_checks.h"
#include "cli/output.h"
#include "datasets/report.h"

namespace gauntlet {

void add_report_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("report", "Pass rates with intervals, by domain and difficulty; effort; accounts");
  command->group("Look and judge");
  struct Options {
    std::string store = "gauntlet.db", run;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  check_path(command->add_option("--db", options->store, "The store")->type_name("FILE")->capture_default_str());
  command->add_option("--run", options->run, "The run; default: the one of which an episode was stored last")->type_name("NAME");
  command->add_flag("--json", options->json, "One JSON object; docs/store.md lists its fields");
  context.manuals[command] = {
      .description = "requested = completed + failed + cancelled + missing, always. Episodes without a score (infrastructure faults, cancelled) are shown and never counted as "
                     "failures.\n\n"
                     "pass@k is the unbiased estimate of the chance that at least one of k attempts passes, pass^k that all k pass, each over "
                     "the tasks with k scored attempts. Intervals are 95 % and clustered by task; for pass@1 Wilson's interval over episodes stands beside them. tokens, calls, errors and ms are means of an "
                     "episode: tokens of prompt and completion, tool calls, tool results that were errors, and milliseconds. A reply whose calls could not be read counts as one malformed call, and their share is of all calls.",
      .examples = {{"The latest run", "gauntlet report --db t.db"}, {"One figure of one run", "gauntlet report --db t.db --run oracle-1a2b3c4d --json | jq '.pass_at[\"1\"].value'"}},
      .exit_status = {},
      .see_also = {"docs/store.md"}};
  command->callback([options] {
    const Store store(options->store, StoreMode::ReadOnly);
    const Report report = build_report(store, options->run);
    if (options->json) return write_json_line(to_json(report));
    write_out(printable(report_text(report)));
  });
}

}  // namespace gauntlet
