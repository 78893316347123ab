#pragma once

// The prompt format of DeepSeek-V3.2 (thinking and chat mode, DSML tool calls): messages to text, and a completion back to a message.
// What a caller may rely on is described in docs/chat-format.md. Nothing here throws on any input: refusals are values.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_model.h"
#include "core/json.h"
#include "core/message.h"
#include "core/text_piece.h"

namespace gauntlet {

/// `code` is one of AssertionError, JSONDecodeError, NotImplementedError (a conversation or completion that the format refuses,
/// named as its reference implementation names it) or InvalidInput (a request of the wrong shape).
struct ChatError {
  std::string code;
  std::string message;
};

struct ChatPrompt {
  Json messages;  ///< array of OpenAI chat messages
  Json tools;     ///< null, or an array of {"type": "function", "function": …}
  Json context;   ///< null, or an array of earlier messages whose text exists already and is not written again
  ThinkingMode mode = ThinkingMode::Thinking;
  bool drop_thinking = true;
  bool add_default_bos_token = true;
};

/// Bytes [begin, end) of an encoded conversation.
struct TextSpan {
  std::size_t begin = 0;
  std::size_t end = 0;

  bool operator==(const TextSpan&) const = default;
};

/// Where an assistant message stands in the text: from behind the opener, which is the prompt's, to behind the end-of-sentence marker.
struct EncodedReply {
  struct Call {
    TextSpan name;
    TextSpan arguments;  ///< all parameters with their tags; empty if there are none
  };

  TextSpan text;
  std::vector<Call> calls;
  bool whole = true;  ///< false: its thinking is left out, as before the last user message
};

struct ChatEncoding {
  std::vector<TextPiece> segments;  ///< neighbours differ in origin; none is empty. Joined they are the prompt
  std::vector<EncodedReply> replies;  ///< one for each assistant message written, in order
  std::optional<ChatError> error;

  std::string text() const;
};

ChatEncoding encode_chat(const ChatPrompt& prompt);

/// Calls have no id: the format carries none.
struct ChatParse {
  Message message;
  std::optional<ChatError> error;
  std::vector<std::string> problems;  ///< forgiving parser: what was repaired or left out; empty for a clean completion
};

/// The reference grammar, which refuses anything that the model was not trained to write. `arguments` may be no JSON.
ChatParse parse_chat(std::string_view completion, ThinkingMode mode);

/// What a server does with text of any kind: never an error, and arguments are always a JSON object. `tools` as in ChatPrompt;
/// null means that nothing is known about the tools.
ChatParse parse_chat_lenient(std::string_view completion, ThinkingMode mode, const Json& tools = nullptr);

/// {"role", "content", "reasoning_content", "tool_calls": [{"type", "function": {"name", "arguments"}}]}
Json chat_message_json(const Message& message);

/// One line of `gauntlet chat encode`: {messages, tools?, thinking_mode, options?} to {"text"} or {"error": {code, message}}.
Json chat_encode_line(std::string_view line);
/// One line of `gauntlet chat parse`: {text, thinking_mode} to {"message"} or {"error": {code, message}}. Lenient lines may hold
/// `tools`, and `chunks` in place of `text`; their answer has "problems" if there were any.
Json chat_parse_line(std::string_view line, bool lenient);

}  // namespace gauntlet
