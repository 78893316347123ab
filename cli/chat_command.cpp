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
  command->group("Environments, models and formats");
  command->require_subcommand(1);
  const Manual lines = {.description = "Reads JSON lines from standard input and writes one line for each, in order; empty lines are skipped.",
                        .examples = {},
                        .exit_status = {{0, "every line was answered"}, {1, "a line was answered with an error"}, {2, "wrong usage"}, {3, "could not be done"}},
                        .see_also = {"docs/chat-format.md"}};
  context.manuals[command] = lines;

  CLI::App* encode = command->add_subcommand("encode", "{messages, tools, thinking_mode, options} to {\"text\"} or {\"error\": {code, message}}");
  context.manuals[encode] = lines;
  context.manuals[encode].examples = {{"One user message", R"(echo '{"messages": [{"role": "user", "content": "Hello"}], "thinking_mode": "thinking"}' | gauntlet chat encode)"}};
  encode->callback([&context] { each_line(context, [](std::string_view line) { return chat_encode_line(line); }); });

  CLI::App* parse = command->add_subcommand("parse", "{text, thinking_mode} to {\"message\"} or {\"error\": {code, message}}");
  auto lenient = std::make_shared<bool>(false);
  parse->add_flag("--lenient", *lenient, "The forgiving parser that a server uses");
  context.manuals[parse] = lines;
  context.manuals[parse].examples = {{"A reply with thinking", R"(echo '{"text": "Easy.</think>Hello!<｜end▁of▁sentence｜>", "thinking_mode": "thinking"}' | gauntlet chat parse)"}};
  parse->callback([&context, lenient] { each_line(context, [&](std::string_view line) { return chat_parse_line(line, *lenient); }); });
}

}  // namespace gauntlet
