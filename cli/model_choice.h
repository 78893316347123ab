#pragma once

// --model: which agent plays.

#include <functional>
#include <memory>
#include <string>

#include "agent/runner.h"
#include "cli/environments.h"
#include "cli/local_engine.h"

namespace gauntlet {

struct ModelOptions {
  std::string model = "oracle";    ///< builtin, an agent's name, replay:RUN, a checkpoint's folder, or an endpoint's URL
  std::string model_name;          ///< at the endpoint; empty: the first that it offers
  std::string api_key_env;         ///< name of the environment variable that holds the key; empty: no key
  bool stream = true;
  int max_attempts = 6;            ///< of one request to an endpoint
  int silence_seconds = 300;       ///< an endpoint that sends nothing for so long is asked again
  LocalEngineOptions local;        ///< of a checkpoint's folder
};

struct ModelChoice {
  Json description;                ///< for the run's record; no secrets
  std::string warning;             ///< to be told before a run; mostly empty
  std::unique_ptr<ChatModel> shared;  ///< an endpoint or a checkpoint; null if each episode gets a model of its own
  std::function<std::int64_t()> sampled_tokens;  ///< so far, of a checkpoint; null: nobody knows before a reply is complete. As long as `shared`
  std::function<std::unique_ptr<ChatModel>(const ReadyTask&, const Store::Slot&, std::uint64_t seed)> make;
};

/// Throws Error(Usage) for what can be no model at all, suggesting the nearest; so that it is told before anything is made.
void require_known_model(const std::string& model);

/// Throws Error(Usage) for an unknown name, suggesting the nearest; Error(Infrastructure) if an endpoint is asked for its models and
/// does not tell. `shelf` must outlive the choice.
ModelChoice choose_model(const ModelOptions& options, TaskShelf& shelf, const CancelFlag& cancel);

}  // namespace gauntlet
