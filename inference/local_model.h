#pragma once

// A ChatModel that runs here: conversations to tokens, tokens through the engine, tokens back to a message. Hundreds of episodes share one.

#include <memory>
#include <string>

#include "core/chat_model.h"
#include "inference/chat_codec.h"
#include "inference/engine.h"

namespace gauntlet {

class ConstraintFactory;

class LocalModel : public ChatModel {
 public:
  /// `name` and `checkpoint_sha256` are recorded with runs; the hash tells a checkpoint from another in a folder of the same name.
  LocalModel(std::string name, std::string checkpoint_sha256, std::shared_ptr<Engine> engine, std::shared_ptr<ChatCodec> codec);

  /// From now on replies to requests with tools keep to the format's grammar, so that every call is well formed and satisfies its tool's schema.
  /// A tool whose schema cannot be compiled makes its requests ModelFault(Rejected). Call it before the model is used.
  void constrain_calls(std::shared_ptr<ConstraintFactory> factory) { constraints_ = std::move(factory); }

  /// A prompt that leaves no room is ModelFault(ContextLength), as from an endpoint.
  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override;
  Json describe() const override;

  /// Tokens of the longest conversation: the model's positions, or what the cache holds if that is less.
  std::int64_t max_context() const { return engine_->max_context(); }
  std::int64_t max_positions() const { return engine_->config().max_positions; }

  /// Since the engine was started, by whoever asked it.
  std::int64_t sampled_tokens() const { return engine_->stats().sampled_tokens; }

 private:
  std::string name_, checkpoint_sha256_;
  std::shared_ptr<Engine> engine_;    ///< both shared with whoever else asks it
  std::shared_ptr<ChatCodec> codec_;
  std::shared_ptr<ConstraintFactory> constraints_;  ///< shared with other users of the tokenizer; null: replies are free
};

}  // namespace gauntlet
