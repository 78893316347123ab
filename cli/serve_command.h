#pragma once

// gauntlet serve model: a checkpoint behind OpenAI's HTTP API.

#include <cstdint>
#include <optional>
#include <string>

#include "cli/context.h"
#include "cli/local_engine.h"
#include "inference/server/limits.h"

namespace gauntlet {

struct ServeOptions {
  LocalEngineOptions local;
  std::string host = "127.0.0.1";
  int port = 8000;                     ///< 0: any that is free
  std::string name;                    ///< as clients call the model; empty: the folder's
  std::string mode = "thinking";       ///< of requests that do not say
  std::string api_key_file;
  std::string api_key_env;             ///< name of the environment variable that holds keys
  std::optional<std::uint64_t> seed;   ///< of requests without one; nothing: another at every start
  int drain_seconds = 10;
  ServerLimits limits;
};

/// Serves until context.cancel.
void run_serve(const ServeOptions& options, Context& context);

}  // namespace gauntlet
