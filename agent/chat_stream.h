#pragma once

// The forgiving parser of completions, fed in pieces as they are generated. Any division of a text into pieces gives the same message;
// parse_chat_lenient is one piece. Only text that can still become a marker is held back.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/chat_calls.h"
#include "agent/chat_format.h"

namespace gauntlet {

/// Deltas joined by kind are the final message. A call comes whole, when its closing tag has arrived.
struct ChatDelta {
  enum class Kind { Reasoning, Content, Call };

  Kind kind = Kind::Content;
  std::string text;  ///< Reasoning, Content
  ToolCall call;     ///< Call
};

class ChatStream {
 public:
  /// `tools` as in ChatPrompt. Null: nothing is known about the tools. An empty array: there are none, and no call is read.
  explicit ChatStream(ThinkingMode mode, Json tools = nullptr);
  ChatStream(const ChatStream&) = delete;
  ChatStream& operator=(const ChatStream&) = delete;

  std::vector<ChatDelta> feed(std::string_view bytes);
  /// The end of the text; call once. Later calls of feed are ignored.
  std::vector<ChatDelta> finish();

  /// Complete after finish().
  const Message& message() const { return message_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  enum class Phase { Start, Reasoning, Content, Calls, Done };

  bool step(bool at_end);
  bool step_start(bool at_end);
  bool step_reasoning(bool at_end);
  bool step_content(bool at_end);
  bool step_calls(bool at_end);
  void step_done();
  void emit(ChatDelta::Kind kind, std::string_view text);
  void note(std::string problem);
  void emit_calls();
  void open_calls(const MarkerSearch& found);

  ThinkingMode mode_;
  DeclaredTools tools_;
  Phase phase_ = Phase::Start;
  std::string pending_;    ///< not yet understood
  std::string separator_;  ///< newlines before the block being read
  std::optional<CallReader> reader_;
  std::string after_end_;  ///< the first visible bytes after the end
  bool finished_ = false;
  std::vector<ChatDelta> deltas_;
  Message message_;
  std::vector<std::string> problems_;
};

}  // namespace gauntlet
