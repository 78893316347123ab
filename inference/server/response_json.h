#pragma once

// Bodies and stream chunks in OpenAI's form.

#include <cstdint>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/json.h"
#include "inference/server/choice.h"

namespace gauntlet {

/// What all parts of one answer carry.
struct ResponseHead {
  std::string id;
  std::string model;
  std::int64_t created = 0;  ///< seconds since 1970
};

Json usage_json(const Usage& usage);

enum class StreamPlace { First, Later };

/// A chunk of a chat stream: the deltas of one choice. The first of a choice names the role.
Json chat_chunk(const ResponseHead& head, const Tokenizer& tokenizer, const ChatCall& call, int index, const ChoiceDelta& delta, StreamPlace place);
/// The whole body; `choices` are joined deltas.
Json chat_body(const ResponseHead& head, const Tokenizer& tokenizer, const ChatCall& call, const std::vector<ChoiceDelta>& choices, const EncodedChat& prompt, const Usage& usage);

Json completion_chunk(const ResponseHead& head, const Tokenizer& tokenizer, const CompletionCall& call, int index, const ChoiceDelta& delta);
Json completion_body(const ResponseHead& head, const Tokenizer& tokenizer, const CompletionCall& call, const std::vector<ChoiceDelta>& choices, const Usage& usage);

/// The chunk after the last, without choices.
Json usage_chunk(const ResponseHead& head, const char* object, const Usage& usage);

/// {"object": "list", "data": […]} and one of its elements.
Json model_json(const std::string& name, std::int64_t created, int max_context);
Json models_json(const Json& model);

/// A server-sent event.
std::string sse_event(const Json& data);

}  // namespace gauntlet
