#include "inference/local_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>

#include "core/error.h"

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

void ReplyMemory::remember(const std::string& text, std::vector<std::int32_t> ids) {
  const std::lock_guard lock(mutex_);
  if (const auto found = by_text_.find(text); found != by_text_.end()) {
    held_ -= found->second->ids.size();
    const auto item = found->second;
    by_text_.erase(found);
    items_.erase(item);
  }
  held_ += ids.size();
  items_.push_front({.text = text, .ids = std::move(ids)});
  by_text_.emplace(items_.front().text, items_.begin());
  while (held_ > most_ids_ && items_.size() > 1) {
    held_ -= items_.back().ids.size();
    by_text_.erase(items_.back().text);
    items_.pop_back();
  }
}

std::pair<std::size_t, std::vector<std::int32_t>> ReplyMemory::recall(const std::string& text, const std::vector<std::size_t>& ends) {
  const std::lock_guard lock(mutex_);
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const auto found = by_text_.find(std::string_view(text).substr(0, *end));
    if (found == by_text_.end()) continue;
    items_.splice(items_.begin(), items_, found->second);
    return {*end, found->second->ids};
  }
  return {0, {}};
}

LocalModel::LocalModel(std::string name, std::string checkpoint_sha256, std::shared_ptr<Engine> engine, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const PromptFormat> format)
    : name_(std::move(name)), checkpoint_sha256_(std::move(checkpoint_sha256)), engine_(std::move(engine)), tokenizer_(std::move(tokenizer)), format_(std::move(format)), end_id_(tokenizer_->find_id(format_->end_of_reply())) {
  require(end_id_ >= 0, ErrorKind::Input, fmt::format("{}: the tokenizer lacks {}, which ends a reply in the {} format", name_, format_->end_of_reply(), format_->name()));
  require(static_cast<int>(tokenizer_->vocab_size()) <= engine_->config().vocab, ErrorKind::Input, fmt::format("{}: the tokenizer has {} ids, the model {}", name_, tokenizer_->vocab_size(), engine_->config().vocab));
}

ChatReply LocalModel::complete(const ChatRequest& request, const CancelFlag& cancel) {
  if (cancel.load()) throw ModelFault(FaultClass::Cancelled, "cancelled");
  if (std::chrono::steady_clock::now() >= request.deadline) throw ModelFault(FaultClass::Timeout, "the deadline passed before the model began");
  const auto pieces = format_->render(request);
  std::string text;
  std::vector<std::size_t> ends;  // places where a reply ends, by the template's own hand
  const std::string end_text = format_->end_of_reply();
  for (const auto& piece : pieces) {
    if (piece.origin == Origin::Template) {
      for (std::size_t at = piece.text.find(end_text); at != std::string::npos; at = piece.text.find(end_text, at + 1)) ends.push_back(text.size() + at + end_text.size());
    }
    text += piece.text;
  }
  auto [known, ids] = memory_.recall(text, ends);
  std::vector<TextPiece> rest;
  std::size_t at = 0;
  for (const auto& piece : pieces) {
    const std::size_t end = at + piece.text.size();
    if (end > known) rest.push_back({.text = piece.text.substr(std::max(known, at) - at), .origin = piece.origin});
    at = end;
  }
  const auto encoded = tokenizer_->encode(rest);
  ids.insert(ids.end(), encoded.ids.begin(), encoded.ids.end());
  if (static_cast<int>(ids.size()) >= engine_->max_context()) {
    throw ModelFault(FaultClass::ContextLength, fmt::format("the conversation has {} tokens; {} has room for {}", ids.size(), name_, engine_->max_context()));
  }

  const auto collector = std::make_shared<Collector>();
  const auto number = engine_->submit({.prompt = ids,
                                       .sampling = {.temperature = request.sampling.temperature, .top_p = request.sampling.top_p, .seed = request.sampling.seed.value_or(0)},
                                       .max_tokens = request.sampling.max_tokens,
                                       .stop_ids = {end_id_},
                                       .listener = collector});
  collector->wait([&] { return cancel.load() || std::chrono::steady_clock::now() >= request.deadline; }, [&] { engine_->cancel(number); });
  if (collector->finish_ == EngineFinish::Failed) throw ModelFault(FaultClass::Server, collector->failure_);
  if (collector->finish_ == EngineFinish::Cancelled) {
    if (cancel.load()) throw ModelFault(FaultClass::Cancelled, "cancelled");
    throw ModelFault(collector->ids_.empty() ? FaultClass::Timeout : FaultClass::OutOfTime, "the deadline passed before the reply was complete");
  }

  const bool complete = collector->finish_ == EngineFinish::StopToken;
  const auto reader = format_->read(request);
  reader->feed(tokenizer_->decode(collector->ids_, SkipSpecial::No));
  reader->finish(complete);
  ChatReply reply{.message = reader->message(),
                  .finish = !complete ? FinishReason::Length : reader->message().tool_calls.empty() ? FinishReason::Stop : FinishReason::ToolCalls,
                  .usage = {.prompt_tokens = static_cast<std::int64_t>(ids.size()), .completion_tokens = static_cast<std::int64_t>(collector->ids_.size()), .reasoning_tokens = 0, .cached_tokens = collector->cached_},
                  .tokens = {.prompt_ids = ids, .ids = collector->ids_, .logprobs = collector->logprobs_},
                  .malformed_call = reader->malformed_call()};
  if (complete) {
    ids.insert(ids.end(), collector->ids_.begin(), collector->ids_.end());
    memory_.remember(text + tokenizer_->decode(collector->ids_, SkipSpecial::No), std::move(ids));
  }
  return reply;
}

Json LocalModel::describe() const {
  return {{"kind", "local"}, {"name", name_}, {"checkpoint_sha256", checkpoint_sha256_}, {"architecture", architecture_name(engine_->config().architecture)}, {"backend", engine_->describe()}, {"format", format_->name()}};
}

}  // namespace gauntlet
