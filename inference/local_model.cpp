#include "inference/local_model.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>

#include "core/error.h"
#include "inference/constraint/constraint.h"

namespace gauntlet {
namespace {

/// How often a waiting caller looks at its cancel flag.
constexpr auto kPoll = std::chrono::milliseconds(20);

class Collector : public EngineListener {
 public:
  bool on_token(const EngineToken& token) override {
    const std::lock_guard lock(mutex_);
    ids_.push_back(token.token.id);
    logprobs_.push_back(token.token.logprob);
    return true;
  }
  void on_finish(int, EngineFinish finish, int cached, const std::string& failure) override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    finish_ = finish;
    cached_ = cached;
    failure_ = failure;
    changed_.notify_all();
  }

  /// Blocks until the end; asks `give_up` now and then and calls `cancel` once when it says so.
  template <class GiveUp, class Cancel>
  void wait(GiveUp give_up, Cancel cancel) {
    std::unique_lock lock(mutex_);
    bool asked = false;
    while (!changed_.wait_for(lock, kPoll, [&] { return done_; })) {
      if (!asked && give_up()) {
        asked = true;
        lock.unlock();
        cancel();
        lock.lock();
      }
    }
  }

  std::vector<std::int32_t> ids_;
  std::vector<float> logprobs_;
  EngineFinish finish_ = EngineFinish::Failed;
  int cached_ = 0;
  std::string failure_;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

}  // namespace

LocalModel::LocalModel(std::string name, std::string checkpoint_sha256, std::shared_ptr<Engine> engine, std::shared_ptr<ChatCodec> codec)
    : name_(std::move(name)), checkpoint_sha256_(std::move(checkpoint_sha256)), engine_(std::move(engine)), codec_(std::move(codec)) {}

ChatReply LocalModel::complete(const ChatRequest& request, const CancelFlag& cancel) {
  if (cancel.load()) throw ModelFault(FaultClass::Cancelled, "cancelled");
  if (std::chrono::steady_clock::now() >= request.deadline) throw ModelFault(FaultClass::Timeout, "the deadline passed before the model began");
  EncodedChat prompt = codec_->encode(request);
  if (static_cast<int>(prompt.ids.size()) >= engine_->max_context()) {
    throw ModelFault(FaultClass::ContextLength, fmt::format("the conversation has {} tokens; {} has room for {}", prompt.ids.size(), name_, engine_->max_context()));
  }

  std::unique_ptr<TokenConstraint> constraint;
  if (constraints_ != nullptr && request.tools != nullptr && !request.tools->empty()) {
    try {
      constraint = constraints_->make_reply_constraint(codec_->format().reply_grammar(request, {}));
    } catch (const Error& error) {
      throw ModelFault(FaultClass::Rejected, fmt::format("the tools cannot be constrained: {}", error.what()));
    }
  }

  const auto collector = std::make_shared<Collector>();
  const auto number = engine_->submit({.prompt = prompt.ids,
                                       .sampling = {.temperature = request.sampling.temperature, .top_p = request.sampling.top_p, .seed = request.sampling.seed.value_or(0)},
                                       .max_tokens = request.sampling.max_tokens,
                                       .stop_ids = {codec_->end_id()},
                                       .constraint = std::move(constraint),
                                       .listener = collector});
  collector->wait([&] { return cancel.load() || std::chrono::steady_clock::now() >= request.deadline; }, [&] { engine_->cancel(number); });
  if (collector->finish_ == EngineFinish::Rejected) throw ModelFault(FaultClass::Rejected, collector->failure_);
  if (collector->finish_ == EngineFinish::Failed) throw ModelFault(FaultClass::Server, collector->failure_);
  if (collector->finish_ == EngineFinish::Cancelled) {
    if (cancel.load()) throw ModelFault(FaultClass::Cancelled, "cancelled");
    throw ModelFault(collector->ids_.empty() ? FaultClass::Timeout : FaultClass::OutOfTime, "the deadline passed before the reply was complete");
  }

  const bool complete = collector->finish_ == EngineFinish::StopToken;
  ReplyDecoder decoder(*codec_, request);
  std::int64_t thinking = 0;
  for (const auto id : collector->ids_) {
    const auto deltas = decoder.feed(id);
    thinking += !deltas.empty() && deltas.front().kind == ReplyDelta::Kind::Reasoning ? 1 : 0;
  }
  decoder.finish(complete);
  const auto finish = [&] {
    if (collector->finish_ == EngineFinish::ContextFull) return FinishReason::ContextFull;
    if (!complete) return FinishReason::Length;
    return decoder.message().tool_calls.empty() ? FinishReason::Stop : FinishReason::ToolCalls;
  };
  if (complete) codec_->remember(prompt, collector->ids_);
  return {.message = decoder.message(),
          .finish = finish(),
          .usage = {.prompt_tokens = static_cast<std::int64_t>(prompt.ids.size()), .completion_tokens = static_cast<std::int64_t>(collector->ids_.size()), .reasoning_tokens = thinking, .cached_tokens = collector->cached_},
          .tokens = {.prompt_ids = std::move(prompt.ids), .ids = collector->ids_, .logprobs = collector->logprobs_},
          .malformed_call = decoder.malformed_call()};
}

Json LocalModel::describe() const {
  Json out = {{"kind", "local"}, {"name", name_}, {"checkpoint_sha256", checkpoint_sha256_}, {"architecture", architecture_name(engine_->config().architecture)}, {"backend", engine_->describe()}, {"format", codec_->format().name()}};
  if (constraints_ != nullptr) out["constrained_calls"] = true;
  // Only then, so that runs with all of the model's positions keep their names whatever the cache holds.
  if (max_context() < max_positions()) out["context"] = max_context();
  return out;
}

}  // namespace gauntlet
