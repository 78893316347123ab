// JSON forms and names of the records in message.h, chat_model.h, task.h and episode.h.

#include <fmt/format.h>

#include <array>

#include "core/episode.h"
#include "core/error.h"
#include "core/task.h"

namespace gauntlet {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
constexpr std::array<std::string_view, 9> kFaults = {"connection", "timeout",        "rate_limited", "server",     "rejected",
                                                     "protocol",   "context_length", "cancelled",    "out_of_time"};
constexpr std::array<std::string_view, 12> kStops = {"submitted",     "answered",   "step_limit", "tool_call_limit",
                                                     "token_limit",   "context_limit", "time_limit", "cost_limit",
                                                     "malformed_limit", "model_fault", "environment_fault", "cancelled"};

/// content may be absent or null in OpenAI's form; both mean empty.
std::string text_member(const Json& object, std::string_view key, const std::string& path) {
  const auto it = object.find(std::string(key));
  if (it == object.end() || it->is_null()) return "";
  return get_string(object, key, path);
}

std::string hex_seed(std::uint64_t seed) { return fmt::format("{:016x}", seed); }

}  // namespace

std::string_view role_name(Role role) { return kRoles[static_cast<std::size_t>(role)]; }
std::string_view fault_name(FaultClass fault) { return kFaults[static_cast<std::size_t>(fault)]; }
std::string_view stop_reason_name(StopReason reason) { return kStops[static_cast<std::size_t>(reason)]; }

Role parse_role(std::string_view name) {
  for (std::size_t i = 0; i < kRoles.size(); ++i) {
    if (kRoles[i] == name) return static_cast<Role>(i);
  }
  fail(ErrorKind::Input, fmt::format("unknown role \"{}\"; accepted: {}", name, fmt::join(kRoles, ", ")));
}

StopReason parse_stop_reason(std::string_view name) {
  for (std::size_t i = 0; i < kStops.size(); ++i) {
    if (kStops[i] == name) return static_cast<StopReason>(i);
  }
  fail(ErrorKind::Input, fmt::format("unknown stop reason \"{}\"; accepted: {}", name, fmt::join(kStops, ", ")));
}

bool is_infrastructure(StopReason reason) {
  return reason == StopReason::ModelFault || reason == StopReason::EnvironmentFault || reason == StopReason::TimeLimit || reason == StopReason::Cancelled;
}

Json to_json(const Message& message) {
  Json out = {{"role", role_name(message.role)}, {"content", message.content}};
  if (!message.reasoning.empty()) out["reasoning_content"] = message.reasoning;
  if (!message.tool_calls.empty()) {
    Json calls = Json::array();
    for (const auto& call : message.tool_calls) {
      calls.push_back({{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    out["tool_calls"] = std::move(calls);
  }
  if (!message.tool_call_id.empty()) out["tool_call_id"] = message.tool_call_id;
  if (!message.tool_name.empty()) out["name"] = message.tool_name;
  return out;
}

Message message_from_json(const Json& value, const std::string& path) {
  Message message;
  message.role = parse_role(get_string(value, "role", path));
  message.content = text_member(value, "content", path);
  message.reasoning = text_member(value, "reasoning_content", path);
  message.tool_call_id = text_member(value, "tool_call_id", path);
  message.tool_name = text_member(value, "name", path);
  const auto calls = value.find("tool_calls");
  if (calls != value.end() && !calls->is_null()) {
    const Json& list = get_array(value, "tool_calls", path);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const std::string at = fmt::format("{}/tool_calls/{}", path, i);
      const Json& function = get_object(list[i], "function", at);
      message.tool_calls.push_back({.id = text_member(list[i], "id", at),
                                    .name = get_string(function, "name", at + "/function"),
                                    .arguments = get_string(function, "arguments", at + "/function")});
    }
  }
  return message;
}

Json to_json(const ToolSpec& tool) {
  return {{"type", "function"},
          {"function", {{"name", tool.name}, {"description", tool.description}, {"parameters", tool.parameters}}}};
}

Json tools_to_json(const std::vector<ToolSpec>& tools) {
  Json out = Json::array();
  for (const auto& tool : tools) out.push_back(to_json(tool));
  return out;
}

Json to_json(const WorldKey& key) {
  // The seed is text: JSON readers that use doubles would round 64-bit numbers.
  return {{"seed", hex_seed(key.seed)}, {"parameters", key.parameters}, {"edits", key.edits}};
}

WorldKey world_key_from_json(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"seed", "parameters", "edits"}, path);
  WorldKey key;
  const std::string seed = get_string(value, "seed", path);
  const bool is_hex = !seed.empty() && seed.size() <= 16 && seed.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hex) fail(ErrorKind::Input, fmt::format("{}/seed: expected up to 16 hex digits, found \"{}\"", path, seed));
  key.seed = std::stoull(seed, nullptr, 16);
  key.parameters = get_object(value, "parameters", path);
  key.edits = get_array(value, "edits", path);
  return key;
}

Json to_json(const Task& task) {
  return {{"task_id", task.task_id},     {"environment", task.environment}, {"env_sha256", task.env_sha256},
          {"named", task.named},         {"world", to_json(task.world)},    {"level", task.level},
          {"prompt", task.prompt},       {"problem", task.problem},         {"difficulty", task.difficulty},
          {"certificate", task.certificate}};
}

Task task_from_json(const Json& value, const std::string& path) {
  refuse_unknown_members(value,
                         {"task_id", "environment", "env_sha256", "named", "world", "level", "prompt", "problem", "difficulty",
                          "certificate"},
                         path);
  return {.task_id = get_string(value, "task_id", path),
          .environment = get_string(value, "environment", path),
          .env_sha256 = get_string(value, "env_sha256", path),
          .named = get_string(value, "named", path),
          .world = world_key_from_json(get_object(value, "world", path), path + "/world"),
          .level = static_cast<int>(get_integer(value, "level", path)),
          .prompt = get_string(value, "prompt", path),
          .problem = get_object(value, "problem", path),
          .difficulty = get_object(value, "difficulty", path),
          .certificate = get_object(value, "certificate", path)};
}

Json to_json(const Score& score) {
  Json out = {{"scored", score.scored}};
  if (score.scored) {
    out["value"] = score.value == 1.0 ? Json(1) : score.value == 0.0 ? Json(0) : Json(score.value);
  } else {
    out["unscored_reason"] = score.unscored_reason;
  }
  out["summary"] = score.summary;
  Json components = Json::array();
  for (const auto& component : score.components) {
    components.push_back(
        {{"constraint", component.constraint}, {"holds", component.holds}, {"explanation", component.explanation}});
  }
  out["components"] = std::move(components);
  return out;
}

Score score_from_json(const Json& value, const std::string& path) {
  refuse_unknown_members(value, {"scored", "value", "unscored_reason", "summary", "components"}, path);
  Score score;
  score.scored = boolean_or(value, "scored", false, path);
  if (score.scored) score.value = get_number(value, "value", path);
  score.unscored_reason = string_or(value, "unscored_reason", "", path);
  score.summary = string_or(value, "summary", "", path);
  for (const auto& item : get_array(value, "components", path)) {
    const std::string at = path + "/components";
    score.components.push_back({.constraint = get_string(item, "constraint", at),
                                .holds = boolean_or(item, "holds", false, at),
                                .explanation = get_string(item, "explanation", at)});
  }
  return score;
}

}  // namespace gauntlet
