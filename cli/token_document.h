#pragma once

// A conversation's text as the ids that an episode of the local model has, with the mask of what is learnt from it.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "agent/training_text.h"
#include "core/episode.h"
#include "inference/tokenizer.h"

namespace gauntlet {

struct TokenDocument {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> learnt;  ///< 1 where the agent wrote the token and it should be learnt
  std::vector<float> logprobs;       ///< as sampled, 0 where nothing was; empty if nothing is recorded
  std::vector<std::uint8_t> recorded;  ///< 1 where logprobs holds what was sampled, which may be 0 as well; as long as logprobs
  bool several_calls = false;        ///< at least one message makes several calls
};

/// What the ids of a stretch of text say about bytes: those in `spans` are not learnt, and neither is a token that they share with others.
/// `bytes` is the length of the text that the ids must have; if it is another (the tokenizer drops text), nothing is learnt.
void mark_learnt(const Tokenizer& tokenizer, std::span<const std::int32_t> ids, std::span<const TextSpan> spans, std::size_t bytes, std::vector<std::uint8_t>& learnt);

/// One for each thread: it remembers the ids of the text before the first user message, which is mostly that of the document before.
class DocumentEncoder {
 public:
  /// Throws Error(Input) if the tokenizer lacks the format's tokens that begin and end text, user's and assistant's messages.
  explicit DocumentEncoder(std::shared_ptr<const Tokenizer> tokenizer);

  /// Each part is tokenised by itself, since that is how an episode gets its ids: a prompt, a sampled reply, what is added to it, and so on.
  TokenDocument encode(const TrainingText& text);

  /// The recorded ids of an episode, one trace for each assistant message of `text`. Where a prompt is not what came before with something
  /// added (thinking was dropped), a new document begins. Returns nothing, and says why in `problem`, if ids do not begin or end as the tokenizer's do.
  std::vector<TokenDocument> join(std::span<const TokenTrace> traces, const TrainingText& text, std::string& problem) const;

 private:
  void append_environment(const TrainingPart& part, TokenDocument& out);

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::int32_t begin_ = -1, end_ = -1;
  bool user_splits_ = false;            ///< nothing before the user marker influences the ids behind it, nor the reverse
  std::vector<TextPiece> head_;         ///< remembered
  std::vector<std::int32_t> head_ids_;  ///< its ids
};

/// Whether at least one assistant message makes several calls.
bool makes_several_calls(std::span<const Message> messages);

}  // namespace gauntlet
