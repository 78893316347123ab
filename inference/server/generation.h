#pragma once

// The engine's work for one client, as events for the thread that answers it.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "inference/engine.h"

namespace gauntlet {

struct GenerationEvent {
  enum class Kind { Prompt, Token, End };

  Kind kind = Kind::Token;
  int choice = 0;
  EngineToken token;                     ///< Token
  std::vector<float> prompt_logprobs;    ///< Prompt
  std::vector<TopTokens> prompt_top;     ///< Prompt
  EngineFinish finish = EngineFinish::Failed;  ///< End
  int cached = 0;                        ///< End
  std::string failure;                   ///< End
};

/// Used by one thread; the engine's thread only adds events. What still runs when it is destroyed is cancelled.
class Generation {
 public:
  /// Shares the engine with all other clients.
  explicit Generation(std::shared_ptr<Engine> engine);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  /// Its samples become the choices from `first_choice` on; an event for the prompt carries the first. Throws as Engine::submit.
  void submit(EngineRequest request, int first_choice);
  /// The events since the last call; none if none came in that time.
  std::vector<GenerationEvent> wait(std::chrono::milliseconds most);
  /// The choice's output is complete; its end follows soon.
  void stop(int choice);

 private:
  struct Queue;
  class Listener;
  struct Part {
    std::uint64_t number = 0;
    int first = 0;
    std::vector<char> running;  ///< for each choice
  };
  Part& part_of(int choice);

  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Queue> queue_;  ///< shared with the listeners, which the engine may hold longer
  std::vector<Part> parts_;
};

}  // namespace gauntlet
