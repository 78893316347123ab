#pragma once

// One choice of a reply: tokens in, what the client is told out.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/chat_codec.h"
#include "inference/scheduler.h"
#include "inference/server/chat_call.h"
#include "inference/server/completion_call.h"
#include "inference/server/stop_text.h"

namespace gauntlet {

/// A token as log-probabilities show it.
struct ShownToken {
  std::int32_t id = -1;
  std::optional<float> logprob;   ///< nothing for the first of a prompt
  TopTokens top;
  std::size_t offset = 0;         ///< characters of text before it
};

/// What became certain. Deltas in order, joined, are the choice.
struct ChoiceDelta {
  std::string reasoning, content;
  std::vector<ToolCall> calls;
  std::size_t first_call = 0;     ///< how many calls came before `calls`
  std::vector<ShownToken> tokens;
  std::string finish;             ///< OpenAI's word, in the last delta; empty before

  bool empty() const { return reasoning.empty() && content.empty() && calls.empty() && tokens.empty() && finish.empty(); }
  /// The next delta of the same choice comes behind.
  void append(ChoiceDelta next);
};

class Choice {
 public:
  virtual ~Choice() = default;
  /// The log-probabilities of the prompt; called before any token(), if at all.
  virtual ChoiceDelta prompt(std::span<const float> /*logprobs*/, std::span<const TopTokens> /*top*/) { return {}; }
  virtual ChoiceDelta token(const EngineToken& token) = 0;
  /// Called once.
  virtual ChoiceDelta end(EngineFinish finish) = 0;

  /// No further token is wanted: token() is not called again, end() is.
  bool complete() const { return complete_; }
  std::int64_t tokens() const { return tokens_; }
  std::int64_t reasoning_tokens() const { return reasoning_tokens_; }

 protected:
  bool complete_ = false;
  std::int64_t tokens_ = 0;
  std::int64_t reasoning_tokens_ = 0;
};

/// A chat reply: reasoning, content and calls. Stop strings are looked for in the content. `codec`, `call` and `prompt` must outlive it.
class ChatChoice : public Choice {
 public:
  /// `call_prefix` begins the ids of its calls, and must be unique.
  ChatChoice(ChatCodec& codec, const ChatCall& call, const EncodedChat& prompt, std::string call_prefix);

  ChoiceDelta token(const EngineToken& token) override;
  ChoiceDelta end(EngineFinish finish) override;

 private:
  void take(std::vector<ReplyDelta> deltas, ChoiceDelta& out);

  ChatCodec& codec_;
  const ChatCall& call_;
  const EncodedChat& prompt_;
  std::string call_prefix_;
  ReplyDecoder decoder_;
  StopText stop_;
  std::vector<std::int32_t> ids_;
  std::size_t calls_ = 0;
  bool at_stop_id_ = false;
};

/// Text that goes on. `tokenizer` and `call` must outlive it.
class TextChoice : public Choice {
 public:
  TextChoice(const Tokenizer& tokenizer, const CompletionCall& call, std::vector<std::int32_t> prompt, std::int32_t end_id);

  ChoiceDelta prompt(std::span<const float> logprobs, std::span<const TopTokens> top) override;
  ChoiceDelta token(const EngineToken& token) override;
  ChoiceDelta end(EngineFinish finish) override;

 private:
  std::size_t count(std::string_view text);

  const Tokenizer& tokenizer_;
  const CompletionCall& call_;
  std::vector<std::int32_t> prompt_;
  std::int32_t end_id_;
  StreamDecoder stream_;
  StopText stop_;
  std::size_t characters_ = 0;
};

/// Whether `id` ends a choice with these options. `end_id` is the model's own.
bool ends_choice(const GenerationOptions& options, std::int32_t id, std::int32_t end_id);

}  // namespace gauntlet
