#pragma once

// One attempt at a task. The loop is fixed: models, environments, verifiers and limits are arguments of it.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/thinking.h"
#include "core/episode.h"
#include "envs/session.h"

namespace gauntlet {

/// Prices in any currency, per million tokens; 0 when unknown.
struct TokenPrices {
  double prompt = 0.0;
  double completion = 0.0;
};

struct EpisodeSetup {
  Session session;
  std::string system_prompt;                     ///< may be empty: then there is no system message
  std::string user_prompt;
  std::shared_ptr<const std::vector<ToolSpec>> tools;
  EpisodeLimits limits;
  ThinkingPolicy thinking = ThinkingPolicy::SinceLastUser;
  ThinkingMode mode = ThinkingMode::Thinking;
  SamplingOptions sampling;
  TokenPrices prices;
  /// Judges the answer handed in (nothing: none was). Called once, when the episode ends for a reason that is the agent's.
  std::function<Score(const std::optional<std::string>&)> judge;
  std::string run_id;
  std::string task_id;
  int sample = 0;
  int attempt = 0;
  std::uint64_t seed = 0;
};

/// An episode as a state machine without a thread of its own, so that thousands can be in flight. Not thread-safe.
class EpisodeDriver {
 public:
  explicit EpisodeDriver(EpisodeSetup setup);
  ~EpisodeDriver();
  EpisodeDriver(EpisodeDriver&&) noexcept;
  EpisodeDriver& operator=(EpisodeDriver&&) noexcept;

  /// What the model is to answer next, or null when the episode has ended. Valid until the next accept().
  const ChatRequest* next_request();
  /// Takes the reply, runs its tool calls in order, and appends the results.
  void accept(ChatReply reply);
  /// The model gave no reply. A prompt that outgrew the context after earlier replies is a limit that the agent met; all else is
  /// infrastructure, also when the time is up, and also when the task's own prompt does not fit.
  void fault(FaultClass fault, const std::string& message);
  /// The record, judged. Once, after next_request() has given null.
  Episode finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Drives an episode to its end with a blocking model. Never throws for anything the model or environment does.
Episode run_episode(ChatModel& model, EpisodeSetup setup, const CancelFlag& cancel);

}  // namespace gauntlet
