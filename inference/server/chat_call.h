#pragma once

// The body of POST /v1/chat/completions.

#include <optional>

#include "core/chat_model.h"
#include "inference/server/constraint_hook.h"
#include "inference/server/generation_options.h"

namespace gauntlet {

struct ChatCall {
  GenerationOptions options;
  ChatRequest request;                 ///< messages, tools and mode; sampling is in `options`
  bool logprobs = false;
  int top_logprobs = 0;
  bool parallel_calls = true;          ///< false: the reply ends with its first call
  std::optional<ConstraintWish> wish;
};

/// Throws ApiRefusal for a body that is not what the API says, or asks for what this server does not do.
ChatCall parse_chat_call(const Json& body, const ServerLimits& limits, ThinkingMode default_mode);

}  // namespace gauntlet
