#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "cli/context.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/usage.h"
#include "cli/version.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailed = 3;

void add_commands(CLI::App& app, Context& context) {
  app.description("make verifiable tasks for agents, run agents through them, judge, store and export");
  app.set_version_flag("--version", fmt::format("gauntlet {}", kVersion), "Print the version");
  app.require_subcommand(1);
  app.fallthrough(false);
  add_demo_command(app, context);
  add_synth_command(app, context);
  add_bench_command(app, context);
  add_report_command(app, context);
  add_show_command(app, context);
  add_verify_command(app, context);
  add_export_command(app, context);
  add_env_command(app, context);
  add_chat_command(app, context);
  add_model_command(app, context);
  add_serve_command(app, context);
  add_doctor_command(app, context);
  add_completion_command(app, context);
  add_help_command(app, context);
  context.manuals[&app] = {
      .description = "Gauntlet makes environments, tools and tasks that are certainly solvable and certainly checkable, runs agents through them, judges every attempt by "
                     "program, keeps everything in one SQLite file (the store), and writes training data.\n\n"
                     "Data goes to stdout, everything for people to stderr. gauntlet COMMAND --help says more about a command.",
      .examples = {{"See the whole path, small", "gauntlet demo"},
                   {"Make and certify tasks", "gauntlet synth trip_planning --count 20 --difficulty 3 --db t.db"},
                   {"Run an agent through them", "gauntlet bench --db t.db --model oracle"},
                   {"Pass rates with intervals", "gauntlet report --db t.db"},
                   {"What the store holds; then one transcript with its verdict", "gauntlet show --db t.db && gauntlet show --db t.db 1"},
                   {"Training prompts", "gauntlet export rl --db t.db --out prompts"}},
      .exit_status = {{0, "done"}, {1, "the answer is no"}, {2, "wrong usage"}, {3, "could not be done"}},
      .see_also = {"docs/commands.md", "docs/store.md", "docs/exports.md", "docs/environments.md"}};
}

std::string own_path(const char* name) {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(name) : path.string();
}

const CLI::App& named_command(const CLI::App& app) {
  const auto named = app.get_subcommands();
  return named.empty() ? app : named_command(*named.front());
}

int refuse(const CLI::App& app, const Context& context, int argc, char** argv, const CLI::ParseError& error) {
  const UsageProblem problem = explain_usage(app, std::vector<std::string>(argv + 1, argv + argc), error);
  if (problem.message.empty()) {
    write_note(page_text(make_page(*problem.command, context.manuals), page_columns()) + fmt::format("\n{}: name a command\n", command_path(*problem.command)));
  } else {
    write_note(fmt::format("gauntlet: {}\n({} --help says more)", problem.message, command_path(*problem.command)));
  }
  return kExitUsage;
}

int run(int argc, char** argv) {
  Context context;
  context.program = own_path(argv[0]);
  const InterruptWatch watch(context.cancel);
  CLI::App app;
  app.name("gauntlet");
  try {
    try {
      add_commands(app, context);
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      write_out(page_text(make_page(named_command(app), context.manuals), page_columns()));
    } catch (const CLI::CallForVersion&) {
      write_out(fmt::format("gauntlet {}\n", kVersion));
    } catch (const CLI::ParseError& error) {
      return refuse(app, context, argc, argv, error);
    }
    return context.exit_code;
  } catch (const Error& error) {
    write_note(fmt::format("gauntlet: {}", error.what()));
    if (error.kind() == ErrorKind::Internal) write_note(fmt::format("this is a bug, found at {}:{}", error.where().file_name(), error.where().line()));
    return error.kind() == ErrorKind::Usage ? kExitUsage : kExitFailed;
  } catch (const std::exception& error) {
    write_note(fmt::format("gauntlet: {}", error.what()));
    return kExitFailed;
  }
}

}  // namespace
}  // namespace gauntlet

int main(int argc, char** argv) { return gauntlet::run(argc, argv); }
