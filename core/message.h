#pragma once

// Chat messages, tool calls and tool declarations in OpenAI's form, as plain data.

#include <string>
#include <vector>

#include "core/json.h"

namespace gauntlet {

enum class Role { System, Developer, User, Assistant, Tool };

std::string_view role_name(Role role);
/// Throws Error(Input) naming the accepted roles.
Role parse_role(std::string_view name);

/// `arguments` is JSON text exactly as the model wrote it (it may be malformed); never re-serialised.
struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;

  bool operator==(const ToolCall&) const = default;
};

struct Message {
  Role role = Role::User;
  std::string content;
  std::string reasoning;              ///< assistant only; `reasoning_content` on the wire
  std::vector<ToolCall> tool_calls;   ///< assistant only
  std::string tool_call_id;           ///< tool only: the id of the call that this answers
  std::string tool_name;              ///< tool only; may be empty

  bool operator==(const Message&) const = default;
};

/// A tool as the model sees it. `parameters` is a JSON Schema object.
struct ToolSpec {
  std::string name;
  std::string description;
  Json parameters;
};

/// {"role", "content", "reasoning_content"?, "tool_calls"?: [{id, type, function{name, arguments}}], "tool_call_id"?, "name"?}
Json to_json(const Message& message);
Message message_from_json(const Json& value, const std::string& path);

/// {"type": "function", "function": {"name", "description", "parameters"}}
Json to_json(const ToolSpec& tool);
Json tools_to_json(const std::vector<ToolSpec>& tools);

}  // namespace gauntlet
