#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "cli/context.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/version.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitFailed = 3;

constexpr std::string_view kFooter = R"(A first hour:
  gauntlet synth trip_planning --count 20 --difficulty 3 --db t.db    make and certify tasks
  gauntlet bench --db t.db --model oracle                             run an agent through them
  gauntlet report --db t.db                                           pass rates with intervals
  gauntlet show --db t.db 1                                           one transcript with its verdict
  gauntlet export rl --db t.db --out out                              training prompts

Data goes to stdout, everything for people to stderr.
Exit status: 0 done, 1 the answer is no, 2 wrong usage, 3 could not.)";

void add_commands(CLI::App& app, Context& context) {
  app.description("Gauntlet: makes agentic environments and verifiable tasks, runs agents through them, judges, stores and exports.");
  app.footer(std::string(kFooter));
  app.set_version_flag("--version", fmt::format("gauntlet {}", kVersion));
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
  add_doctor_command(app, context);
  add_completion_command(app, context);
}

std::string own_path(const char* name) {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(name) : path.string();
}

int run(int argc, char** argv) {
  Context context;
  context.program = own_path(argv[0]);
  const InterruptWatch watch(context.cancel);
  CLI::App app;
  app.name("gauntlet");
  try {
    add_commands(app, context);
    app.parse(argc, argv);
    return context.exit_code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
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
