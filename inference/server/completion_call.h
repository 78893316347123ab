#pragma once

// The body of POST /v1/completions.

#include <string>
#include <variant>
#include <vector>

#include "inference/server/generation_options.h"

namespace gauntlet {

struct CompletionCall {
  /// Text, or ids.
  using Prompt = std::variant<std::string, std::vector<std::int32_t>>;

  GenerationOptions options;
  std::vector<Prompt> prompts;
  bool add_special = true;      ///< text prompts begin with the model's token for that
  bool echo = false;            ///< prompt and its log-probabilities come before the output
  bool logprobs = false;
  int top_logprobs = 0;
  bool no_output = false;       ///< max_tokens 0: the prompt alone is scored
};

/// Throws ApiRefusal.
CompletionCall parse_completion_call(const Json& body, const ServerLimits& limits);

}  // namespace gauntlet
