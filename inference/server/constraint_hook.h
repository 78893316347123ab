#pragma once

// How the server asks for replies of a given form. Who makes the server brings the maker of constraints along.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/json.h"
#include "inference/scheduler.h"

namespace gauntlet {

struct ConstraintWish {
  enum class Kind {
    JsonObject,  ///< the content is some JSON object
    JsonSchema,  ///< the content is JSON that `schema` accepts
    ToolCalls,   ///< the reply is one call or more of `tools`
    OwnChoice,   ///< text, and calls of `tools` if the model begins one
  };

  Kind kind = Kind::JsonObject;
  Json schema;
  std::shared_ptr<const std::vector<ToolSpec>> tools;  ///< shared with the request; with the JSON kinds they may be called instead of an answer
  std::string tool;                                    ///< only calls of this one; empty: of any
  bool parallel = true;                                ///< more than one call is allowed
  ThinkingMode mode = ThinkingMode::Thinking;          ///< whether the reply begins with thinking, which is free
};

/// Throws Error(Input or Usage) for a schema that cannot be followed. Called from many threads.
using ConstraintMaker = std::function<std::unique_ptr<TokenConstraint>(const ConstraintWish&)>;

}  // namespace gauntlet
