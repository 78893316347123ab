#pragma once

// The endpoints, without HTTP: bodies in, answers out.

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "inference/chat_codec.h"
#include "inference/engine.h"
#include "inference/server/answer.h"
#include "inference/server/constraint_hook.h"

namespace gauntlet {

struct ServiceOptions {
  std::string name = "model";                  ///< as clients call it
  ServerLimits limits;
  ThinkingMode mode = ThinkingMode::Thinking;  ///< of requests that do not say
  std::uint64_t seed = 1;                      ///< of requests without one: the i-th draws with the i-th seed that follows from it
  ConstraintMaker constraints;                 ///< null: replies of a given form are refused
  bool constrain_calls = false;                ///< also keep calls that the model makes of its own choice to their tools' schemas
};

/// Thread-safe. Must outlive its answers.
class ModelService {
 public:
  /// Engine and codec are shared with whoever else asks the model.
  ModelService(ServiceOptions options, std::shared_ptr<Engine> engine, std::shared_ptr<ChatCodec> codec);

  const ServiceOptions& options() const { return options_; }
  ServerMetrics& metrics() { return metrics_; }
  std::string metrics_text() const { return metrics_.text(engine_->stats()); }

  /// The answer to a request that has been accepted: its prompts are with the engine. Both throw ApiRefusal.
  std::shared_ptr<Answer> chat(std::string_view body);
  std::shared_ptr<Answer> complete(std::string_view body);
  /// Throws ApiRefusal for a name that is not served.
  Json model(const std::string& name) const;
  Json models() const { return models_json(model(options_.name)); }

  /// From now on requests are refused, and what runs has a while to finish.
  void drain();
  bool draining() const { return draining_.load(); }
  /// When what runs must have ended; max() before drain().
  std::chrono::steady_clock::time_point end() const { return end_.load(); }

 private:
  struct Numbered {
    ResponseHead head;
    std::string code;     ///< in ids, unique
    std::uint64_t seed = 0;
  };
  Numbered next(const char* prefix, const GenerationOptions& options);
  AnswerSetting setting(std::chrono::steady_clock::time_point start);
  void check_served(const GenerationOptions& options) const;
  /// Throws ApiRefusal for a prompt that has no room in the context. `about` goes before the number: "", or what else there is to say of it.
  void check_length(std::size_t tokens, const char* about, const char* member) const;
  EngineRequest engine_request(std::vector<std::int32_t> prompt, const GenerationOptions& options, std::uint64_t seed, const char* member) const;
  std::unique_ptr<TokenConstraint> constraint(const std::optional<ConstraintWish>& wish) const;

  ServiceOptions options_;
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<ChatCodec> codec_;
  std::int64_t created_;
  ServerMetrics metrics_;
  std::atomic<std::uint64_t> requests_ = 0;
  std::atomic<bool> draining_ = false;
  std::atomic<std::chrono::steady_clock::time_point> end_ = std::chrono::steady_clock::time_point::max();
};

}  // namespace gauntlet
