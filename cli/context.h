#pragma once

// What every command shares. Exit codes: 0 done, 1 the answer is no, 2 wrong usage, 3 could not.

#include <string>

#include <CLI/CLI.hpp>

#include "cli/manual.h"
#include "core/chat_model.h"

namespace gauntlet {

struct Context {
  CancelFlag cancel{false};  ///< set by Ctrl-C
  int exit_code = 0;
  std::string program;       ///< path of this executable, for helpers that run it again
  Manuals manuals;
};

void add_env_command(CLI::App& app, Context& context);
void add_synth_command(CLI::App& app, Context& context);
void add_bench_command(CLI::App& app, Context& context);
void add_report_command(CLI::App& app, Context& context);
void add_show_command(CLI::App& app, Context& context);
void add_verify_command(CLI::App& app, Context& context);
void add_export_command(CLI::App& app, Context& context);
void add_chat_command(CLI::App& app, Context& context);
void add_doctor_command(CLI::App& app, Context& context);
void add_completion_command(CLI::App& app, Context& context);
void add_demo_command(CLI::App& app, Context& context);
void add_help_command(CLI::App& app, Context& context);
void add_model_command(CLI::App& app, Context& context);
void add_serve_command(CLI::App& app, Context& context);

}  // namespace gauntlet
