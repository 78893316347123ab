#pragma once

// Chat completions as they go over the wire: OpenAI's form with the reasoning of DeepSeek, vLLM, SGLang (`reasoning_content`)
// and OpenRouter, newer vLLM (`reasoning`). Lenient in what is read: servers differ in small things.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_model.h"

namespace gauntlet {

inline constexpr std::string_view kReasoningContentField = "reasoning_content";
inline constexpr std::string_view kReasoningField = "reasoning";

struct RequestShape {
  std::string model;
  bool stream = true;
  bool send_thinking_mode = false;  ///< adds chat_template_kwargs {"thinking": bool}
  std::string_view reasoning_field = kReasoningContentField;
  std::optional<int> max_tokens = std::nullopt;  ///< in place of the request's own
  Json extra_body = Json::object();  ///< its members replace or add to those written here
};

Json chat_request_to_json(const ChatRequest& request, const RequestShape& shape);

/// What an endpoint said in an "error" member.
struct WireError {
  std::string message;
  std::string code;  ///< `code`, else `type`; numbers as text
  bool context_length = false;
};

/// Nothing if `body` is not JSON with an error in one of the known forms.
std::optional<WireError> find_wire_error(const Json& body);

struct WireReply {
  ChatReply reply;
  std::string_view reasoning_field;  ///< the name under which reasoning came; empty if none did
};

/// Gathers one reply out of a whole body or of stream chunks. Throws Error(Input) for JSON that is not a completion.
class ReplyBuilder {
 public:
  /// `first_call_number` numbers the ids of calls that come without one ("call_3"), so that they stay apart in a conversation.
  explicit ReplyBuilder(std::size_t first_call_number) : first_call_number_(first_call_number) {}

  void add_chunk(const Json& chunk);
  void add_body(const Json& body);

  /// Whether a finish reason has come.
  bool finished() const { return !finish_reason_.empty(); }

  WireReply take();

 private:
  void add_message(const Json& message);
  void add_calls(const Json& calls);
  ToolCall& call_at(const Json& call, std::size_t position);
  void add_usage(const Json& holder);

  std::size_t first_call_number_;
  ChatReply reply_;
  std::string finish_reason_;
  std::string_view reasoning_field_;
  std::vector<std::int64_t> call_indices_;  ///< the wire's index of each call
};

}  // namespace gauntlet
