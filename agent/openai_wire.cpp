#include "agent/openai_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "agent/context_refusal.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxToolCalls = 1024;
constexpr std::size_t kMaxNameBytes = 64;

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

std::string text_of(const Json* value) {
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array()) return dump_json(*value);
  std::string text;  // Content may come in parts: [{"type": "text", "text": …}].
  for (const Json& part : *value) {
    if (const Json* inner = find(part, "text"); inner != nullptr && inner->is_string()) text += inner->get<std::string>();
  }
  return text;
}

std::int64_t count_of(const Json* holder, const char* key) {
  const Json* value = holder == nullptr ? nullptr : find(*holder, key);
  if (value == nullptr || !value->is_number()) return 0;
  const double count = value->get<double>();
  return count > 0 && count < 1e15 ? static_cast<std::int64_t>(count) : 0;
}

/// Servers answer a history whose calls they cannot read with an error, and the episode would end by the model's slip: what the model
/// wrote goes back whole, but as JSON.
std::string arguments_to_wire(const std::string& arguments) {
  if (arguments.find_first_not_of(" \t\r\n") == std::string::npos) return "{}";
  try {
    if (parse_json(arguments, "the arguments").is_object()) return arguments;
  } catch (const Error&) {
    // The tool's result has told the model what is wrong.
  }
  return dump_json(Json{{"unreadable_arguments", arguments}});
}

/// OpenAI's rule: 1 to 64 letters, digits, low lines and hyphens.
std::string name_to_wire(const std::string& name) {
  std::string out = name.substr(0, kMaxNameBytes);
  std::replace_if(
      out.begin(), out.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '_' && c != '-'; }, '_');
  return out.empty() ? "unnamed" : out;
}

Json message_to_wire(Message message, std::string_view reasoning_field) {
  for (ToolCall& call : message.tool_calls) {
    call.name = name_to_wire(call.name);
    call.arguments = arguments_to_wire(call.arguments);
  }
  if (!message.tool_name.empty()) message.tool_name = name_to_wire(message.tool_name);
  Json out = to_json(message);
  if (message.reasoning.empty() || reasoning_field == kReasoningContentField) return out;
  out.erase(std::string(kReasoningContentField));
  out[std::string(reasoning_field)] = message.reasoning;
  return out;
}

FinishReason finish_reason(const std::string& word, bool has_calls) {
  if (word == "length") return FinishReason::Length;
  if (word == "content_filter") return FinishReason::ContentFilter;
  return has_calls ? FinishReason::ToolCalls : FinishReason::Stop;
}

const Json& first_choice(const Json& body) {
  const Json* choices = find(body, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) {
    fail(ErrorKind::Input, "the JSON has no \"choices\", of which a chat completion has one or more");
  }
  return choices->front();
}

}  // namespace

Json chat_request_to_json(const ChatRequest& request, const RequestShape& shape) {
  Json messages = Json::array();
  for (const Message& message : request.messages) messages.push_back(message_to_wire(message, shape.reasoning_field));
  Json body = {{"model", shape.model}, {"messages", std::move(messages)}};
  if (request.tools != nullptr && !request.tools->empty()) {
    body["tools"] = tools_to_json(*request.tools);
    body["tool_choice"] = "auto";
    body["parallel_tool_calls"] = true;
  }
  body["temperature"] = request.sampling.temperature;
  body["top_p"] = request.sampling.top_p;
  body["max_tokens"] = shape.max_tokens.value_or(request.sampling.max_tokens);
  // Some servers read the seed into a signed 64-bit integer.
  if (request.sampling.seed) body["seed"] = *request.sampling.seed & 0x7FFFFFFFFFFFFFFFULL;
  body["stream"] = shape.stream;
  if (shape.stream) body["stream_options"] = {{"include_usage", true}};
  if (shape.send_thinking_mode) body["chat_template_kwargs"] = {{"thinking", request.mode == ThinkingMode::Thinking}};
  for (const auto& item : shape.extra_body.items()) body[item.key()] = item.value();
  return body;
}

std::optional<WireError> find_wire_error(const Json& body) {
  const Json* holder = find(body, "error");
  if (holder == nullptr) {
    // FastAPI servers say {"detail": …}, older vLLM {"object": "error", "message": …}.
    if (find(body, "detail") != nullptr) {
      holder = find(body, "detail");
    } else if (text_of(find(body, "object")) == "error") {
      holder = &body;
    } else {
      return std::nullopt;
    }
  }
  WireError error;
  if (holder->is_object()) {
    error.message = text_of(find(*holder, "message"));
    const Json* code = find(*holder, "code");
    error.code = text_of(code);
    const std::string type = text_of(find(*holder, "type"));
    error.context_length = says_context_length(error.message + " " + error.code + " " + type);
    if (error.code.empty()) error.code = type;
  } else {
    error.message = holder->is_string() ? holder->get<std::string>() : dump_json(*holder);
    error.context_length = says_context_length(error.message);
  }
  return error;
}

void ReplyBuilder::add_chunk(const Json& chunk) {
  add_usage(chunk);
  const Json* choices = find(chunk, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) {
    // The usage chunk has none, and some proxies send chunks with annotations only.
    require(chunk.is_object(), ErrorKind::Input, "a chunk of the stream is not a JSON object");
    return;
  }
  const Json& choice = choices->front();
  if (count_of(&choice, "index") != 0) return;
  if (const Json* delta = find(choice, "delta")) add_message(*delta);
  if (const Json* reason = find(choice, "finish_reason")) finish_reason_ = text_of(reason);
}

void ReplyBuilder::add_body(const Json& body) {
  const Json& choice = first_choice(body);
  const Json* message = find(choice, "message");
  if (message == nullptr || !message->is_object()) fail(ErrorKind::Input, "the first of the \"choices\" has no \"message\"");
  add_usage(body);
  add_message(*message);
  const Json* reason = find(choice, "finish_reason");
  finish_reason_ = reason == nullptr ? "stop" : text_of(reason);
}

void ReplyBuilder::add_message(const Json& message) {
  reply_.message.content += text_of(find(message, "content"));
  reply_.message.content += text_of(find(message, "refusal"));
  // Where a server sends both names they hold the same text, so the first one seen is kept to.
  for (const std::string_view field : {kReasoningContentField, kReasoningField}) {
    if (!reasoning_field_.empty() && reasoning_field_ != field) continue;
    const std::string text = text_of(find(message, field.data()));
    if (text.empty()) continue;
    reasoning_field_ = field;
    reply_.message.reasoning += text;
  }
  if (const Json* calls = find(message, "tool_calls")) add_calls(*calls);
}

void ReplyBuilder::add_calls(const Json& calls) {
  if (!calls.is_array()) {
    reply_.malformed_call = "\"tool_calls\" is not an array";
    return;
  }
  for (std::size_t i = 0; i < calls.size(); ++i) {
    ToolCall& call = call_at(calls[i], i);
    const Json* function = find(calls[i], "function");
    if (const std::string id = text_of(find(calls[i], "id")); call.id.empty()) call.id = id;
    if (function == nullptr) continue;
    // Some servers repeat the name with every delta.
    if (const std::string name = text_of(find(*function, "name")); name != call.name) call.name += name;
    const Json* arguments = find(*function, "arguments");
    if (arguments == nullptr) continue;
    call.arguments += arguments->is_string() ? arguments->get<std::string>() : dump_json(*arguments);
  }
}

/// A call without an index is found by its id, else by its place in the list.
ToolCall& ReplyBuilder::call_at(const Json& call, std::size_t position) {
  auto& list = reply_.message.tool_calls;
  const Json* wire_index = find(call, "index");
  std::int64_t index = static_cast<std::int64_t>(position);
  if (wire_index != nullptr && wire_index->is_number_integer()) {
    index = wire_index->get<std::int64_t>();
  } else if (const std::string id = text_of(find(call, "id")); !id.empty()) {
    const auto same = std::find_if(list.begin(), list.end(), [&](const ToolCall& known) { return known.id == id; });
    index = same != list.end() ? call_indices_[static_cast<std::size_t>(same - list.begin())]
                               : static_cast<std::int64_t>(list.size());
  }
  const auto known = std::find(call_indices_.begin(), call_indices_.end(), index);
  if (known != call_indices_.end()) return list[static_cast<std::size_t>(known - call_indices_.begin())];
  if (list.size() >= kMaxToolCalls) {
    fail(ErrorKind::Input, fmt::format("the reply has more than {} tool calls", kMaxToolCalls));
  }
  call_indices_.push_back(index);
  return list.emplace_back();
}

void ReplyBuilder::add_usage(const Json& holder) {
  const Json* usage = find(holder, "usage");
  if (usage == nullptr) return;
  reply_.usage = {.prompt_tokens = count_of(usage, "prompt_tokens"),
                  .completion_tokens = count_of(usage, "completion_tokens"),
                  .reasoning_tokens = count_of(find(*usage, "completion_tokens_details"), "reasoning_tokens"),
                  .cached_tokens = std::max(count_of(find(*usage, "prompt_tokens_details"), "cached_tokens"),
                                            count_of(usage, "prompt_cache_hit_tokens"))};
}

WireReply ReplyBuilder::take() {
  reply_.message.role = Role::Assistant;
  auto& calls = reply_.message.tool_calls;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].id.empty()) calls[i].id = fmt::format("call_{}", first_call_number_ + i);
    if (calls[i].name.empty() && reply_.malformed_call.empty()) {
      reply_.malformed_call = fmt::format("tool call {} of the reply names no function", i + 1);
    }
  }
  reply_.finish = finish_reason(finish_reason_, !calls.empty());
  return {std::move(reply_), reasoning_field_};
}

}  // namespace gauntlet
