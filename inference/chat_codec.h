#pragma once

// Between conversations and token ids, for all that ask one engine: LocalModel and the server. What users, tools and models wrote never
// becomes a special token, and replies keep the ids with which they were sampled.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/prompt_format.h"
#include "inference/reply_memory.h"
#include "inference/tokenizer.h"

namespace gauntlet {

struct EncodedChat {
  MarkedText text;
  std::vector<std::int32_t> ids;
  std::size_t smuggled = 0;  ///< markers in the part that was tokenised now that stayed text
};

/// Thread-safe.
class ChatCodec {
 public:
  /// `name` is for errors, `vocab` the model's. Throws Error(Input) if the tokenizer lacks the format's end token or has more ids than the model.
  ChatCodec(const std::string& name, int vocab, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const PromptFormat> format);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const PromptFormat& format() const { return *format_; }
  std::int32_t end_id() const { return end_id_; }

  /// The fewest ids that so many bytes of text can be.
  std::size_t least_ids(std::size_t bytes) const { return bytes / longest_token_; }

  /// Throws Error(Usage) for a conversation that the format cannot write. `check` gets the fewest ids that the prompt can have, before the work
  /// of finding them, and may throw.
  EncodedChat encode(const ChatRequest& request, const std::function<void(std::size_t least_ids)>& check = {});
  /// A reply that the model ended itself.
  void remember(const EncodedChat& prompt, std::span<const std::int32_t> reply);

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;   ///< shared with whoever else reads ids
  std::shared_ptr<const PromptFormat> format_;   ///< shared with the caller that chose it
  std::int32_t end_id_ = -1;
  std::size_t longest_token_ = 1;                ///< bytes
  ReplyMemory memory_;
};

/// One reply, id by id.
class ReplyDecoder {
 public:
  /// `codec` must outlive it.
  ReplyDecoder(const ChatCodec& codec, const ChatRequest& request) : tokenizer_(codec.tokenizer()), reader_(codec.format().read(request)) {}

  std::vector<ReplyDelta> feed(std::int32_t id) { return reader_->feed(tokenizer_.decode_next(stream_, id, SkipSpecial::No)); }
  /// Call once. `complete`: the model ended its turn.
  std::vector<ReplyDelta> finish(bool complete);
  /// Both after finish(), as in ReplyReader.
  const Message& message() const { return reader_->message(); }
  const std::string& malformed_call() const { return reader_->malformed_call(); }

 private:
  const Tokenizer& tokenizer_;
  StreamDecoder stream_;
  std::unique_ptr<ReplyReader> reader_;
};

}  // namespace gauntlet
