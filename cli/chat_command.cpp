#include <iostream>

#include "agent/chat_format.h"
#include "cli/context.h"
#include "cli/output.h"

namespace gauntlet {
namespace {

/// One answer for every line, whatever it holds. Exit 1 if any line was answered with an error.
void each_line(Context& context, const std::function<Json(std::string_view)>& answer) {
  std::string line;
  while (!context.cancel.load() && std::getline(std::cin, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json result = answer(line);
    if (result.contains("error")) context.exit_code = 1;
    write_json_line(result);
  }
}

}  // namespace

void add_chat_command(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("chat", "The prompt format of DeepSeek-V3.2, from and to JSON");
  command->require_subcommand(1);
  command->footer("Reads JSON lines from standard input and writes one line for each. docs/chat-format.md.\nExit status: 0, or 1 if a line was answered with an error.");
  CLI::App* encode = command->add_subcommand("encode", "{messages, tools, thinking_mode, options} to {\"text\"} or {\"error\": {code, message}}");
  encode->callback([&context] { each_line(context, [](std::string_view line) { return chat_encode_line(line); }); });
  CLI::App* parse = command->add_subcommand("parse", "{text, thinking_mode} to {\"message\"} or {\"error\": {code, message}}");
  auto lenient = std::make_shared<bool>(false);
  parse->add_flag("--lenient", *lenient, "The forgiving parser that a server uses");
  parse->callback([&context, lenient] { each_line(context, [&](std::string_view line) { return chat_parse_line(line, *lenient); }); });
}

}  // namespace gauntlet
