#pragma once

// A ChatModel that runs here: conversations to tokens, tokens through the engine, tokens back to a message. Hundreds of episodes share one.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/chat_model.h"
#include "core/prompt_format.h"
#include "inference/engine.h"
#include "inference/tokenizer.h"

namespace gauntlet {

/// Replies keep the ids with which they were sampled: when a conversation comes back with a reply in it, the text up to its end is looked up
/// here instead of being tokenised again, which could give other ids. Least recently used texts are forgotten. Thread-safe.
class ReplyMemory {
 public:
  explicit ReplyMemory(std::size_t most_ids = 16'000'000) : most_ids_(most_ids) {}

  /// `text`: rendered from the start of the conversation to the end of a reply.
  void remember(const std::string& text, std::vector<std::int32_t> ids);
  /// The longest remembered beginning of `text`: its length in bytes, and its ids; 0 and none otherwise. `ends`: places where a reply
  /// may end, ascending.
  std::pair<std::size_t, std::vector<std::int32_t>> recall(const std::string& text, const std::vector<std::size_t>& ends);

 private:
  struct Item {
    std::string text;
    std::vector<std::int32_t> ids;
  };
  std::mutex mutex_;
  std::size_t most_ids_;
  std::size_t held_ = 0;
  std::list<Item> items_;  ///< most recently used first
  std::unordered_map<std::string_view, std::list<Item>::iterator> by_text_;
};

class LocalModel : public ChatModel {
 public:
  /// `name` and `checkpoint_sha256` are recorded with runs; the hash tells a checkpoint from another in a folder of the same name. Throws Error(Input) if the tokenizer lacks the format's end token or has more ids than the model.
  LocalModel(std::string name, std::string checkpoint_sha256, std::shared_ptr<Engine> engine, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const PromptFormat> format);

  /// A prompt that leaves no room is ModelFault(ContextLength), as from an endpoint.
  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override;
  Json describe() const override;

 private:
  std::string name_, checkpoint_sha256_;
  std::shared_ptr<Engine> engine_;                  ///< shared with whoever else asks it
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const PromptFormat> format_;
  std::int32_t end_id_ = -1;
  ReplyMemory memory_;
};

}  // namespace gauntlet
