#pragma once

// How a family of models has its conversations written as text, and its replies read back. The engine's side speaks to conversations through
// this alone; formats live in agent/.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat_model.h"
#include "core/error.h"
#include "core/reply_grammar.h"
#include "core/text_piece.h"

namespace gauntlet {

/// A part of a reply that is certain. Deltas joined by kind are the message; a call comes whole.
struct ReplyDelta {
  enum class Kind { Reasoning, Content, Call };

  Kind kind = Kind::Content;
  std::string text;  ///< Reasoning, Content
  ToolCall call;     ///< Call
};

/// Reads one reply as it is generated. Any division into pieces gives the same message. Never throws on content.
class ReplyReader {
 public:
  virtual ~ReplyReader() = default;
  virtual std::vector<ReplyDelta> feed(std::string_view text) = 0;
  /// The end of the text; call once. `complete`: the model ended its turn, so what is open now is a mistake of its own.
  virtual std::vector<ReplyDelta> finish(bool complete) = 0;
  /// After finish().
  virtual const Message& message() const = 0;
  /// After finish(): what was wrong with a tool call, to be told to the model; empty if nothing.
  virtual const std::string& malformed_call() const = 0;
};

class PromptFormat {
 public:
  virtual ~PromptFormat() = default;
  virtual std::string name() const = 0;
  /// The prompt, up to where the assistant's reply begins. Throws Error(Usage) for a conversation that the format cannot write.
  virtual std::vector<TextPiece> render(const ChatRequest& request) const = 0;
  virtual std::unique_ptr<ReplyReader> read(const ChatRequest& request) const = 0;
  /// The special token that ends a reply.
  virtual std::string end_of_reply() const = 0;
  /// The special token that begins every text, also one that is no conversation; empty: none.
  virtual std::string begin_of_text() const { return ""; }
  /// What a reply to the request may look like, its end included, so that reading it gives what the rules ask for. Throws Error(Usage) for rules
  /// that the format or the request's tools cannot satisfy; a format that has no grammar always does.
  virtual ReplyGrammar reply_grammar(const ChatRequest& /*request*/, const ReplyRules& /*rules*/) const {
    fail(ErrorKind::Usage, "replies in the " + name() + " format cannot be constrained");
  }
};

}  // namespace gauntlet
