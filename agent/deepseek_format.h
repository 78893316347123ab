#pragma once

// DeepSeek-V3.2's chat format as the engine's PromptFormat.

#include "core/prompt_format.h"

namespace gauntlet {

/// Replies are read strictly first: a call that the reference grammar accepts is taken as it is. One that it refuses is not guessed at: the
/// message keeps its text, without calls, and malformed_call() says what was wrong. Text is streamed by the forgiving parser.
/// Thinking before the last user message is never written: the format has no place for it, whatever the loop's policy keeps.
class DeepseekFormat : public PromptFormat {
 public:
  std::string name() const override { return "deepseek_v32"; }
  std::vector<TextPiece> render(const ChatRequest& request) const override;
  std::unique_ptr<ReplyReader> read(const ChatRequest& request) const override;
  std::string end_of_reply() const override;
  std::string begin_of_text() const override;
  ReplyGrammar reply_grammar(const ChatRequest& request, const ReplyRules& rules) const override;
};

}  // namespace gauntlet
