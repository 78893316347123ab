#include "agent/chat_format.h"

#include <fmt/format.h>

#include "agent/chat_encode.h"
#include "agent/chat_stream.h"
#include "agent/python_json.h"

namespace gauntlet {
namespace {

Json error_line(const ChatError& error) { return {{"error", {{"code", error.code}, {"message", error.message}}}}; }

Json invalid_line(std::string message) { return error_line({"InvalidInput", std::move(message)}); }

/// A JSON object on one line, or what is wrong with the line.
struct Line {
  PythonJson value;
  ThinkingMode mode = ThinkingMode::Thinking;
  std::string problem;
};

Line read_line(std::string_view text) {
  Line line;
  PythonJsonReading reading = read_python_json(text);
  if (!reading.value) {
    line.problem = "the line is not JSON: " + reading.problem;
    return line;
  }
  line.value = std::move(*reading.value);
  const PythonJson* mode = line.value.find("thinking_mode");
  if (!line.value.is_object()) line.problem = "the line must be a JSON object";
  else if (mode == nullptr || !mode->is_string() || (mode->text != "thinking" && mode->text != "chat"))
    line.problem = fmt::format("thinking_mode: found {}; accepted: \"thinking\", \"chat\"", mode == nullptr ? "nothing" : dump_python_json(*mode));
  else if (mode->text == "chat") line.mode = ThinkingMode::Chat;
  return line;
}

/// Fills the options of `prompt`; what is wrong with them, or "".
std::string read_options(const PythonJson& options, PromptValues& prompt) {
  if (options.is_null()) return {};
  if (!options.is_object()) return "options: an object was expected";
  for (std::size_t i = 0; i < options.keys.size(); ++i) {
    const std::string& key = options.keys[i];
    const PythonJson& value = options.items[i];
    if (key == "context") {
      prompt.context = value;
    } else if (key == "drop_thinking" || key == "add_default_bos_token") {
      if (value.kind != PythonJson::Kind::Boolean) return fmt::format("options: {} must be true or false", key);
      (key == "drop_thinking" ? prompt.drop_thinking : prompt.add_default_bos_token) = value.boolean;
    } else {
      return fmt::format("options: unknown member \"{}\"; accepted: drop_thinking, add_default_bos_token, context", key);
    }
  }
  return {};
}

/// Null if the tools are absent, null or too odd to be of use.
Json tools_of(const PythonJson& line) {
  const PythonJson* tools = line.find("tools");
  if (tools == nullptr || !tools->is_array()) return nullptr;
  // Numbers may lose digits here; only names and types are looked at. NaN, which Json has not, gives a discarded value.
  Json value = Json::parse(dump_python_json(*tools), nullptr, false);
  return value.is_array() ? value : Json(nullptr);
}

Json answer_of(const ChatParse& parse) {
  if (parse.error) return error_line(*parse.error);
  Json out = {{"message", chat_message_json(parse.message)}};
  if (!parse.problems.empty()) out["problems"] = parse.problems;
  return out;
}

}  // namespace

Json chat_message_json(const Message& message) {
  Json calls = Json::array();
  for (const ToolCall& call : message.tool_calls) {
    calls.push_back({{"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return {{"role", "assistant"}, {"content", message.content}, {"reasoning_content", message.reasoning}, {"tool_calls", calls}};
}

Json chat_encode_line(std::string_view text) {
  Line line = read_line(text);
  if (!line.problem.empty()) return invalid_line(line.problem);
  PromptValues prompt;
  prompt.mode = line.mode;
  if (const PythonJson* messages = line.value.find("messages")) prompt.messages = *messages;
  if (const PythonJson* tools = line.value.find("tools")) prompt.tools = *tools;
  if (const PythonJson* options = line.value.find("options")) {
    const std::string problem = read_options(*options, prompt);
    if (!problem.empty()) return invalid_line(problem);
  }
  const ChatEncoding encoding = encode_prompt(std::move(prompt));
  if (encoding.error) return error_line(*encoding.error);
  return {{"text", encoding.text()}};
}

Json chat_parse_line(std::string_view text, bool lenient) {
  const Line line = read_line(text);
  if (!line.problem.empty()) return invalid_line(line.problem);
  const PythonJson* whole = line.value.find("text");
  if (whole != nullptr && whole->is_string()) {
    return answer_of(lenient ? parse_chat_lenient(whole->text, line.mode, tools_of(line.value)) : parse_chat(whole->text, line.mode));
  }
  const PythonJson* chunks = line.value.find("chunks");
  if (!lenient || chunks == nullptr || !chunks->is_array()) return invalid_line("text: a string was expected");
  ChatStream stream(line.mode, tools_of(line.value));
  for (const PythonJson& chunk : chunks->items) {
    if (!chunk.is_string()) return invalid_line("chunks: an array of strings was expected");
    stream.feed(chunk.text);
  }
  stream.finish();
  return answer_of({.message = stream.message(), .error = std::nullopt, .problems = stream.problems()});
}

}  // namespace gauntlet
