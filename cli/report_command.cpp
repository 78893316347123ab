#include "cli/context.h"
#include "cli/output.h"
#include "datasets/report.h"

namespace gauntlet {

void add_report_command(CLI::App& app, Context& /*context*/) {
  CLI::App* command = app.add_subcommand("report", "Pass rates with intervals, by domain and difficulty; effort; accounts");
  struct Options {
    std::string store = "gauntlet.db", run;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("--db", options->store, "The store")->capture_default_str();
  command->add_option("--run", options->run, "The run; default: the latest");
  command->add_flag("--json", options->json, "One JSON object (docs/store.md lists its fields)");
  command->footer(
      "pass@k is the unbiased estimate of the chance that one of k attempts passes, pass^k that all k pass. Intervals are 95 %, clustered\n"
      "by task; for pass@1 the Wilson interval over episodes stands beside it. Episodes without a score are shown, never counted as failures.\n\n"
      "Example:\n  gauntlet report --db t.db --json | python3 -m json.tool");
  command->callback([options] {
    const Store store(options->store, StoreMode::ReadOnly);
    const Report report = build_report(store, options->run);
    if (options->json) return write_json_line(to_json(report));
    write_out(report_text(report));
  });
}

}  // namespace gauntlet
