#include "agent/chat_encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "agent/chat_markers.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

/// The text around the tool schemas, which stand one a line between the two parts.
constexpr std::string_view kToolsHead = R"TOOLS(## Tools

You have access to a set of tools you can use to answer the user's question.
You can invoke functions by writing a "<｜DSML｜function_calls>" block like the following as part of your reply to the user:
<｜DSML｜function_calls>
<｜DSML｜invoke name="$FUNCTION_NAME">
<｜DSML｜parameter name="$PARAMETER_NAME" string="true|false">$PARAMETER_VALUE</｜DSML｜parameter>
...
</｜DSML｜invoke>
<｜DSML｜invoke name="$FUNCTION_NAME2">
...
</｜DSML｜invoke>
</｜DSML｜function_calls>

String and scalar parameters should be specified as is without any escaping or quotes, while lists and objects should use JSON format. The "string" attribute should be set to "true" for string type parameters and "false" for other types (numbers, booleans, arrays, objects).

If the thinking_mode is enabled, then after function results you should strongly consider outputting a thinking block. Here is an example:

<｜DSML｜function_calls>
...
</｜DSML｜function_calls>

<function_results>
...
</function_results>

<think>...thinking about results</think>

Here are the functions available in JSONSchema format:
<functions>
)TOOLS";
constexpr std::string_view kToolsTail = "\n</functions>\n";

constexpr std::string_view kResponseFormat =
    "## Response Format:\n\nYou MUST strictly adhere to the following schema to reply:\n";

bool is_role(const PythonJson& message, std::string_view role) {
  const PythonJson* found = message.find("role");
  return found != nullptr && found->is_string() && found->text == role;
}

/// Writes one conversation. Every write_* returns false after setting error_.
class PromptWriter {
 public:
  PromptWriter(const std::vector<PythonJson>& messages, ThinkingMode mode) : messages_(messages), thinking_(mode == ThinkingMode::Thinking) {
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (is_role(messages[i], "user") || is_role(messages[i], "developer")) last_user_ = static_cast<std::ptrdiff_t>(i);
    }
  }

  void add(std::string_view bytes, Origin origin = Origin::Template) {
    if (bytes.empty()) return;
    if (out_.segments.empty() || out_.segments.back().origin != origin) out_.segments.push_back({.text = {}, .origin = origin});
    out_.segments.back().text += bytes;
    written_ += bytes.size();
  }

  bool stop(std::string_view code, std::string message) {
    out_.segments.clear();
    out_.replies.clear();
    out_.error = ChatError{std::string(code), std::move(message)};
    return false;
  }

  /// Earlier messages of any other role (a developer's too) are dropped together with the reasoning, and the reference then runs
  /// past the end of its list; so such a conversation has no rendering.
  bool check_droppable() {
    for (std::ptrdiff_t i = 0; i < last_user_; ++i) {
      const PythonJson& message = messages_[static_cast<std::size_t>(i)];
      const bool kept = is_role(message, "system") || is_role(message, "user") || is_role(message, "tool") || is_role(message, "assistant");
      if (kept) continue;
      return stop("AssertionError", fmt::format("message {}: in thinking mode with drop_thinking only the roles system, user, assistant and tool "
                                                "may stand before the last user message; use drop_thinking false or chat mode", i));
    }
    return true;
  }

  bool write(std::size_t index) {
    const PythonJson& message = messages_[index];
    if (!message.is_object()) return invalid(index, "a message must be an object");
    for (const std::string_view key : {"content", "reasoning_content"}) {
      const PythonJson* value = message.find(key);
      if (value != nullptr && !value->is_null() && !value->is_string()) return invalid(index, fmt::format("\"{}\" must be a string or null", key));
    }
    if (is_role(message, "system")) return write_system(index);
    if (is_role(message, "user") || is_role(message, "developer")) return write_user(index);
    if (is_role(message, "assistant")) return write_assistant(index);
    if (is_role(message, "tool")) return write_tool(index);
    const PythonJson* role = message.find("role");
    return stop("NotImplementedError", fmt::format("message {}: unknown role {}; accepted: system, developer, user, assistant, tool", index,
                                                   role == nullptr ? "null" : dump_python_json(*role)));
  }

  ChatEncoding take() { return std::move(out_); }

 private:
  bool invalid(std::size_t index, std::string_view what) { return stop("InvalidInput", fmt::format("message {}: {}", index, what)); }

  static std::string text_of(const PythonJson& message, std::string_view key, std::string_view if_null = "") {
    const PythonJson* value = message.find(key);
    return value == nullptr || value->is_null() ? std::string(if_null) : value->text;
  }

  /// The opener of the answer that follows message `index`.
  void add_opener(bool thinks) { add(thinks ? markers::kThinkOpen : markers::kThinkClose); }

  bool write_tools_and_format(std::size_t index) {
    const PythonJson& message = messages_[index];
    if (const PythonJson* tools = message.find("tools"); tools != nullptr && python_truth(*tools)) {
      if (!tools->is_array()) return invalid(index, "\"tools\" must be an array or null");
      add("\n\n");
      add(kToolsHead);
      for (std::size_t i = 0; i < tools->items.size(); ++i) {
        const PythonJson* function = tools->items[i].find("function");
        if (function == nullptr) return invalid(index, fmt::format("tool {} must be an object with a member \"function\"", i));
        if (i > 0) add("\n");
        add(dump_python_json(*function), Origin::Data);
      }
      add(kToolsTail);
    }
    if (const PythonJson* format = message.find("response_format"); format != nullptr && python_truth(*format)) {
      add("\n\n");
      add(kResponseFormat);
      add(dump_python_json(*format), Origin::Data);
    }
    return true;
  }

  bool write_system(std::size_t index) {
    add(text_of(messages_[index], "content"), Origin::Data);
    return write_tools_and_format(index);
  }

  bool write_user(std::size_t index) {
    const PythonJson& message = messages_[index];
    add(markers::kUser);
    if (is_role(message, "developer")) {
      const std::string content = text_of(message, "content");
      if (content.empty()) return stop("AssertionError", fmt::format("message {}: a developer message needs content", index));
      if (!write_tools_and_format(index)) return false;
      add("\n\n# The user's message is: ");
      add(content, Origin::Data);
    } else {
      // Python formats a missing text as "None", and the format is what that program writes.
      add(text_of(message, "content", "None"), Origin::Data);
    }
    add(markers::kAssistant);
    add_opener(thinking_ && static_cast<std::ptrdiff_t>(index) == last_user_);
    return true;
  }

  bool write_call(std::size_t index, const PythonJson& call) {
    const PythonJson* function = call.find("function");
    const PythonJson* name = function == nullptr ? nullptr : function->find("name");
    const PythonJson* arguments = function == nullptr ? nullptr : function->find("arguments");
    if (name == nullptr || !name->is_string() || arguments == nullptr || !arguments->is_string()) {
      return invalid(index, "a tool call must be {\"function\": {\"name\": string, \"arguments\": JSON text}}");
    }
    const PythonJsonReading reading = read_python_json(arguments->text);
    if (!reading.value) {
      return stop("JSONDecodeError", fmt::format("message {}: the arguments of \"{}\" are not JSON: {}", index, name->text, reading.problem));
    }
    if (!reading.value->is_object()) return invalid(index, fmt::format("the arguments of \"{}\" must be a JSON object", name->text));
    add(markers::kInvokeOpen);
    add(" name=\"");
    EncodedReply::Call where;
    where.name.begin = written_;
    add(name->text, Origin::Data);
    where.name.end = written_;
    add("\">\n");
    where.arguments.begin = written_;
    for (std::size_t i = 0; i < reading.value->items.size(); ++i) {
      const PythonJson& value = reading.value->items[i];
      if (i > 0) add("\n");
      add(markers::kParameterOpen);
      add(" name=\"");
      add(reading.value->keys[i], Origin::Data);
      add(value.is_string() ? "\" string=\"true\">" : "\" string=\"false\">");
      add(value.is_string() ? value.text : dump_python_json(value), Origin::Data);
      add(markers::kParameterClose);
      add(">");
    }
    where.arguments.end = written_;
    out_.replies.back().calls.push_back(where);
    add("\n");
    add(markers::kInvokeClose);
    add(">");
    return true;
  }

  bool write_assistant(std::size_t index) {
    const PythonJson& message = messages_[index];
    const PythonJson* calls = message.find("tool_calls");
    const bool has_calls = calls != nullptr && python_truth(*calls);
    if (has_calls && !calls->is_array()) return invalid(index, "\"tool_calls\" must be an array or null");
    const bool thinks = thinking_ && static_cast<std::ptrdiff_t>(index) > last_user_;
    out_.replies.push_back({.text = {.begin = written_, .end = written_}, .calls = {}, .whole = thinks || !thinking_});
    if (thinks) {
      const std::string reasoning = text_of(message, "reasoning_content");
      if (reasoning.empty() && !has_calls) {
        return stop("AssertionError", fmt::format("message {}: in thinking mode an assistant message after the last user message needs "
                                                  "reasoning_content or tool_calls", index));
      }
      add(reasoning, Origin::Data);
      add(markers::kThinkClose);
    }
    add(text_of(message, "content"), Origin::Data);
    if (has_calls) {
      add("\n\n");
      add(markers::kBlockOpen);
      add(">\n");
      for (std::size_t i = 0; i < calls->items.size(); ++i) {
        if (i > 0) add("\n");
        if (!write_call(index, calls->items[i])) return false;
      }
      add("\n");
      add(markers::kBlockClose);
    }
    add(markers::kEos);
    out_.replies.back().text.end = written_;
    return true;
  }

  /// Results answer calls by position: the n-th tool message after an assistant message answers its n-th call.
  bool write_tool(std::size_t index) {
    std::size_t before = index;
    while (before > 0 && is_role(messages_[before - 1], "tool")) --before;
    if (before == 0 || !is_role(messages_[before - 1], "assistant")) {
      return stop("AssertionError", fmt::format("message {}: a tool message must follow an assistant message with tool calls", index));
    }
    const PythonJson* calls = messages_[before - 1].find("tool_calls");
    const std::size_t count = calls != nullptr && calls->is_array() ? calls->items.size() : 0;
    const std::size_t order = index - before + 1;
    if (order > count) {
      return stop("AssertionError", fmt::format("message {}: tool result {} answers no call; the assistant message made {}", index, order, count));
    }
    if (order == 1) add("\n\n<function_results>");
    add("\n<result>");
    add(text_of(messages_[index], "content", "None"), Origin::Data);
    add("</result>");
    if (order == count) {
      add("\n</function_results>\n\n");
      add_opener(thinking_ && static_cast<std::ptrdiff_t>(index) >= last_user_);
    }
    return true;
  }

  const std::vector<PythonJson>& messages_;
  bool thinking_;
  std::ptrdiff_t last_user_ = -1;
  ChatEncoding out_;
  std::size_t written_ = 0;  ///< bytes
};

void set_member(PythonJson& object, std::string_view key, PythonJson value) {
  const auto it = std::find(object.keys.begin(), object.keys.end(), key);
  if (it != object.keys.end()) {
    object.items[static_cast<std::size_t>(it - object.keys.begin())] = std::move(value);
  } else {
    object.keys.emplace_back(key);
    object.items.push_back(std::move(value));
  }
}

PythonJson string_value(std::string_view text) {
  PythonJson value;
  value.kind = PythonJson::Kind::String;
  value.text = text;
  return value;
}

/// Tools of the whole request belong to the first message if it is a system message, else to a new one before it.
void place_tools(std::vector<PythonJson>& messages, PythonJson tools) {
  if (messages.empty() || !is_role(messages.front(), "system")) {
    PythonJson system;
    system.kind = PythonJson::Kind::Object;
    set_member(system, "role", string_value("system"));
    set_member(system, "content", string_value(""));
    messages.insert(messages.begin(), std::move(system));
  }
  set_member(messages.front(), "tools", std::move(tools));
}

PythonJson as_python(const Json& value) {
  PythonJsonReading reading = read_python_json(dump_json(value));
  return reading.value ? std::move(*reading.value) : string_value(reading.problem);
}

ChatEncoding refusal(std::string message) {
  ChatEncoding out;
  out.error = ChatError{"InvalidInput", std::move(message)};
  return out;
}

}  // namespace

std::string ChatEncoding::text() const {
  std::string out;
  for (const TextPiece& segment : segments) out += segment.text;
  return out;
}

ChatEncoding encode_prompt(PromptValues prompt) {
  if (!prompt.messages.is_array()) return refusal("messages: an array of messages was expected");
  if (!prompt.context.is_null() && !prompt.context.is_array()) return refusal("context: an array of messages or null was expected");
  if (!prompt.tools.is_null() && !prompt.tools.is_array()) return refusal("tools: an array of tools or null was expected");
  std::vector<PythonJson> all = std::move(prompt.context.items);
  const bool has_context = !all.empty();
  if (!prompt.tools.items.empty()) {
    std::vector<PythonJson>& first = has_context ? all : prompt.messages.items;
    place_tools(first, std::move(prompt.tools));
  }
  const std::size_t begin = all.size();
  std::move(prompt.messages.items.begin(), prompt.messages.items.end(), std::back_inserter(all));

  PromptWriter writer(all, prompt.mode);
  if (prompt.add_default_bos_token && !has_context) writer.add(markers::kBos);
  const bool drops = prompt.mode == ThinkingMode::Thinking && prompt.drop_thinking;
  if (begin < all.size() && drops && !writer.check_droppable()) return writer.take();
  for (std::size_t i = begin; i < all.size(); ++i) {
    if (!writer.write(i)) break;
  }
  return writer.take();
}

ChatEncoding encode_chat(const ChatPrompt& prompt) {
  return encode_prompt({.messages = as_python(prompt.messages),
                        .tools = as_python(prompt.tools),
                        .context = as_python(prompt.context),
                        .mode = prompt.mode,
                        .drop_thinking = prompt.drop_thinking,
                        .add_default_bos_token = prompt.add_default_bos_token});
}

}  // namespace gauntlet
