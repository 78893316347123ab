#include "inference/server/chat_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "inference/server/tool_results.h"
#include "inference/server/vllm_members.h"

namespace gauntlet {
namespace {

constexpr std::size_t kLongestName = 256;

/// A string, or parts of which each is text. An assistant's message that only calls tools has none, and its parts are what some server once said.
std::string read_content(RequestFields& fields, const ServerLimits& limits, Role role) {
  const Json* content = role == Role::Assistant ? fields.find("content") : &fields.get("content");
  if (content == nullptr) return "";
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) refuse_member(fields.place("content"), fmt::format("expected a string or an array of parts, found {}", shown(*content)));
  fields.array("content", limits.content_parts);
  std::string text;
  for (std::size_t i = 0; i < content->size(); ++i) {
    RequestFields part((*content)[i], fmt::format("{}[{}]", fields.place("content"), i));
    const std::string type = part.text("type").value_or("text");
    if (type != "text" && type != "refusal") refuse_member(part.place("type"), fmt::format("found {}; accepted: text (this model reads text alone)", shown(type)));
    part.get(type);
    text += *part.text(type);
    part.ignore({"cache_control"});  // what others may keep for the next request is kept here anyway
    if (role != Role::Assistant) part.refuse_others();
  }
  return text;
}

std::vector<ToolCall> read_calls(RequestFields& fields, const ServerLimits& limits) {
  std::vector<ToolCall> out;
  const Json* calls = fields.array("tool_calls", limits.tools);
  if (calls == nullptr) return out;
  for (std::size_t i = 0; i < calls->size(); ++i) {
    RequestFields call((*calls)[i], fmt::format("{}[{}]", fields.place("tool_calls"), i));
    if (const auto type = call.text("type"); type && *type != "function") refuse_member(call.place("type"), fmt::format("found {}; accepted: function", shown(*type)));
    RequestFields function(call.get("function"), call.place("function"));
    function.get("name");
    const auto name = function.text("name"), arguments = function.text("arguments");
    // Clients write calls without arguments in several ways.
    const bool empty = !arguments || arguments->find_first_not_of(" \t\r\n") == std::string::npos;
    out.push_back({.id = call.text("id").value_or(""), .name = *name, .arguments = empty ? "{}" : *arguments});
  }
  return out;
}

Message read_message(const Json& value, const std::string& path, const ServerLimits& limits) {
  RequestFields fields(value, path);
  const auto role = fields.text("role");
  constexpr std::array<std::pair<std::string_view, Role>, 5> kRoles = {
      // A developer's message is what newer models call the system's. DeepSeek's own "developer" is another thing: a kind of user.
      {{"system", Role::System}, {"developer", Role::System}, {"user", Role::User}, {"assistant", Role::Assistant}, {"tool", Role::Tool}}};
  const auto known = std::find_if(kRoles.begin(), kRoles.end(), [&](const auto& entry) { return role == entry.first; });
  if (!role) fields.refuse_misspelt("role");
  if (known == kRoles.end()) refuse_member(fields.place("role"), fmt::format("found {}; accepted: system, developer, user, assistant, tool", role ? shown(*role) : "nothing"));
  Message out;
  out.role = known->second;
  out.content = read_content(fields, limits, out.role);
  if (out.role == Role::Assistant) {
    out.tool_calls = read_calls(fields, limits);
    out.reasoning = fields.text("reasoning_content").value_or(fields.text("reasoning").value_or(""));
    if (fields.find("function_call") != nullptr) refuse_member(fields.place("function_call"), "not supported; use tool_calls", "unsupported_parameter");
  }
  if (out.role == Role::Tool) {
    out.tool_call_id = fields.text("tool_call_id").value_or("");
    out.tool_name = fields.text("name").value_or("");
  }
  fields.text("name");
  // An assistant's message is what some server once said, with members of its own that clients send back as they came.
  if (out.role != Role::Assistant) fields.refuse_others();
  return out;
}

std::vector<Message> read_messages(RequestFields& fields, const ServerLimits& limits) {
  const Json* list = fields.array("messages", limits.messages);
  if (list == nullptr) fields.refuse_misspelt("messages");
  if (list == nullptr || list->empty()) refuse_member("messages", "at least one message is required");
  std::vector<Message> out;
  for (std::size_t i = 0; i < list->size(); ++i) out.push_back(read_message((*list)[i], fmt::format("messages[{}]", i), limits));
  order_tool_results(out);
  return out;
}

struct OfferedTools {
  std::vector<ToolSpec> specs;
  bool strict = false;  ///< one of them is
};

ToolSpec read_tool(const Json& value, const std::string& path, bool& strict) {
  RequestFields tool(value, path);
  const auto type = tool.text("type");
  if (!type) tool.refuse_misspelt("type");
  if (type != "function") refuse_member(tool.place("type"), fmt::format("found {}; accepted: function", type ? shown(*type) : "nothing"));
  RequestFields function(tool.get("function"), tool.place("function"));
  const auto name = function.text("name");
  if (!name) function.refuse_misspelt("name");
  if (!name || name->empty() || name->size() > kLongestName) refuse_member(function.place("name"), fmt::format("expected a name of 1 to {} bytes", kLongestName));
  const Json* parameters = function.object("parameters");
  strict = function.flag("strict").value_or(false) || strict;
  ToolSpec out{.name = *name, .description = function.text("description").value_or(""), .parameters = parameters == nullptr ? Json{{"type", "object"}, {"properties", Json::object()}} : *parameters};
  function.refuse_others();
  tool.refuse_others();
  return out;
}

OfferedTools read_tools(RequestFields& fields, const ServerLimits& limits) {
  OfferedTools out;
  const Json* list = fields.array("tools", limits.tools);
  if (list == nullptr) return out;
  std::set<std::string> names;
  for (std::size_t i = 0; i < list->size(); ++i) {
    out.specs.push_back(read_tool((*list)[i], fmt::format("tools[{}]", i), out.strict));
    const std::string& name = out.specs.back().name;
    if (!names.insert(name).second) refuse_member(fmt::format("tools[{}].function.name", i), fmt::format("a second tool is named {}", shown(name)));
  }
  return out;
}

/// The word, or the tool's name with the word "named".
std::pair<std::string, std::string> read_tool_choice(RequestFields& fields, const std::vector<ToolSpec>& tools) {
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr) return {"auto", ""};
  if (choice->is_string()) {
    const auto word = choice->get<std::string>();
    if (word != "auto" && word != "none" && word != "required") refuse_member("tool_choice", fmt::format("found {}; accepted: auto, none, required, or a named function", shown(*choice)));
    if (word == "required" && tools.empty()) refuse_member("tool_choice", "\"required\" needs tools");
    return {word, ""};
  }
  RequestFields named(*choice, "tool_choice");
  if (named.text("type") != "function") refuse_member("tool_choice.type", "accepted: function");
  RequestFields function(named.get("function"), "tool_choice.function");
  const std::string name = function.text("name").value_or("");
  const bool known = std::any_of(tools.begin(), tools.end(), [&](const ToolSpec& tool) { return tool.name == name; });
  if (!known) refuse_member("tool_choice.function.name", fmt::format("no tool is named {}", shown(name)));
  function.refuse_others();
  named.refuse_others();
  return {"named", name};
}

std::optional<ConstraintWish> read_response_format(RequestFields& fields) {
  const Json* format = fields.object("response_format");
  if (format == nullptr) return std::nullopt;
  RequestFields inner(*format, "response_format");
  const auto type = inner.text("type");
  const bool text = type == "text", any = type == "json_object";
  if (text || any) inner.refuse_others();
  if (text) return std::nullopt;
  if (any) return ConstraintWish{.kind = ConstraintWish::Kind::JsonObject};
  if (type != "json_schema") refuse_member("response_format.type", fmt::format("found {}; accepted: text, json_object, json_schema", type ? shown(*type) : "nothing"));
  RequestFields named(inner.get("json_schema"), "response_format.json_schema");
  named.get("schema");
  const Json* schema = named.object("schema");
  named.ignore({"name", "description", "strict"});
  named.refuse_others();
  inner.refuse_others();
  return ConstraintWish{.kind = ConstraintWish::Kind::JsonSchema, .schema = *schema};
}

/// OpenAI's effort, DeepSeek's own API, or the switches that vLLM and SGLang hand to templates. Only the two known switches are read: a
/// template is never run with what a client sends.
ThinkingMode read_mode(RequestFields& fields, ThinkingMode otherwise) {
  ThinkingMode mode = otherwise;
  const auto set = [&](bool thinking) { mode = thinking ? ThinkingMode::Thinking : ThinkingMode::Chat; };
  if (const auto effort = fields.text("reasoning_effort")) {
    constexpr std::array<std::string_view, 6> kEfforts = {"none", "minimal", "low", "medium", "high", "xhigh"};
    if (std::find(kEfforts.begin(), kEfforts.end(), *effort) == kEfforts.end()) refuse_member("reasoning_effort", fmt::format("found {}; accepted: {}", shown(*effort), fmt::join(kEfforts, ", ")));
    set(*effort != "none");
  }
  if (const Json* thinking = fields.object("thinking")) {
    RequestFields inner(*thinking, "thinking");
    const auto type = inner.text("type");
    if (type != "enabled" && type != "disabled") refuse_member("thinking.type", "accepted: enabled, disabled");
    set(type == "enabled");
    inner.refuse_others();
  }
  if (const Json* switches = fields.object("chat_template_kwargs")) {
    RequestFields inner(*switches, "chat_template_kwargs");
    for (const char* name : {"enable_thinking", "thinking"}) {
      if (const auto on = inner.flag(name)) set(*on);
    }
    inner.refuse_others();
  }
  return mode;
}

void refuse_unsupported(RequestFields& fields) {
  for (const char* name : {"functions", "function_call"}) {
    if (fields.find(name) != nullptr) refuse_member(name, "not supported by this server; use tools and tool_choice", "unsupported_parameter");
  }
  for (const char* name : {"audio", "web_search_options"}) {
    if (fields.find(name) != nullptr) refuse_member(name, "not supported by this server", "unsupported_parameter");
  }
  if (const Json* modalities = fields.array("modalities", 8)) {
    if (*modalities != Json::array({"text"})) refuse_member("modalities", "accepted: [\"text\"]", "unsupported_parameter");
  }
}

}  // namespace

ChatCall parse_chat_call(const Json& body, const ServerLimits& limits, ThinkingMode default_mode) {
  RequestFields fields(body, "");
  ChatCall out;
  out.options = parse_generation_options(fields, limits);
  const auto old_name = fields.integer("max_tokens", 1, std::numeric_limits<std::int32_t>::max());
  const auto limit = fields.integer("max_completion_tokens", 1, std::numeric_limits<std::int32_t>::max());
  if (limit || old_name) out.options.max_tokens = static_cast<int>(limit ? *limit : *old_name);
  out.logprobs = fields.flag("logprobs").value_or(false);
  out.top_logprobs = static_cast<int>(fields.integer("top_logprobs", 0, limits.top_logprobs).value_or(0));
  if (out.top_logprobs > 0 && !out.logprobs) refuse_member("top_logprobs", "accepted only with \"logprobs\": true");
  out.parallel_calls = fields.flag("parallel_tool_calls").value_or(true);
  refuse_unsupported(fields);

  out.request.mode = read_mode(fields, default_mode);
  out.request.messages = read_messages(fields, limits);
  auto tools = read_tools(fields, limits);
  const auto [word, named] = read_tool_choice(fields, tools.specs);
  // With "none" the model is not told of the tools, and what it writes is never read as a call.
  if (word == "none") tools = {};
  if (!tools.specs.empty()) out.request.tools = std::make_shared<const std::vector<ToolSpec>>(std::move(tools.specs));
  out.wish = read_response_format(fields);
  if (word == "required" || word == "named") {
    if (out.wish) refuse_member("response_format", "not accepted together with a tool_choice that requires a call");
    out.wish = ConstraintWish{.kind = ConstraintWish::Kind::ToolCalls, .tool = named};
  }
  // The other wishes keep calls to their tools' schemas, too.
  if (!out.wish && tools.strict) out.wish = ConstraintWish{.kind = ConstraintWish::Kind::OwnChoice};
  if (out.wish) {
    out.wish->mode = out.request.mode;
    out.wish->tools = out.request.tools;
    out.wish->parallel = out.parallel_calls;
  }
  ignore_harmless_members(fields);
  read_vllm_members(fields);
  read_vllm_chat_members(fields);
  fields.refuse_others();
  return out;
}

}  // namespace gauntlet
