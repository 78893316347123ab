// Bodies of both kinds of completion: every one is read or refused in the API's form, and what is read is within the limits.

#include <cmath>

#include "check.h"
#include "inference/server/chat_call.h"
#include "inference/server/completion_call.h"

namespace gauntlet {

namespace {

const ServerLimits kLimits{.messages = 8, .content_parts = 4, .tools = 4, .stop_strings = 4, .stop_bytes = 16, .samples = 4, .prompts = 4, .choices = 8, .top_logprobs = 5};

void check_options(const GenerationOptions& options) {
  const SamplingParameters& p = options.sampling;
  promise(std::isfinite(p.temperature) && p.temperature >= 0 && p.temperature <= 100, "a temperature in range");
  promise(p.top_p > 0 && p.top_p <= 1 && p.min_p >= 0 && p.min_p <= 1 && p.top_k >= 0, "cuts in range");
  promise(p.repetition_penalty > 0 && std::isfinite(p.presence_penalty) && std::isfinite(p.frequency_penalty), "penalties in range");
  promise(options.samples >= 1 && options.samples <= kLimits.samples, "n in range");
  promise(!options.max_tokens || *options.max_tokens >= 1, "at least one token");
  promise(options.stops.size() <= kLimits.stop_strings, "few stop strings");
  for (const auto& stop : options.stops) promise(!stop.empty() && stop.size() <= kLimits.stop_bytes, "stop strings of a length in range");
  for (const auto id : options.stop_ids) promise(id >= 0, "ids are not negative");
}

void check_chat(const Json& body) {
  const ChatCall call = parse_chat_call(body, kLimits, ThinkingMode::Thinking);
  check_options(call.options);
  promise(!call.request.messages.empty() && call.request.messages.size() <= kLimits.messages, "messages in range");
  promise(call.request.tools == nullptr || (!call.request.tools->empty() && call.request.tools->size() <= kLimits.tools), "tools in range");
  promise(call.top_logprobs >= 0 && call.top_logprobs <= kLimits.top_logprobs, "top_logprobs in range");
  promise(!call.wish || call.wish->kind != ConstraintWish::Kind::ToolCalls || call.wish->tools != nullptr, "a required call has tools");
  for (const auto& message : call.request.messages) promise(message.role == Role::Assistant || message.tool_calls.empty(), "only assistants call");
}

void check_completion(const Json& body) {
  const CompletionCall call = parse_completion_call(body, kLimits);
  check_options(call.options);
  promise(!call.prompts.empty() && call.prompts.size() <= std::max<std::size_t>(kLimits.prompts, 1), "prompts in range");
  promise(static_cast<int>(call.prompts.size()) * call.options.samples <= kLimits.choices, "choices in range");
  for (const auto& prompt : call.prompts) {
    if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&prompt)) {
      for (const auto id : *ids) promise(id >= 0, "ids are not negative");
    }
  }
}

template <class Check>
void answered(std::string_view text, Check check) {
  try {
    check(parse_request_body(text, kLimits.json_depth));
  } catch (const ApiRefusal& refused) {
    promise(refused.error().status == 400, "a refused body is the client's fault");
    promise(!refused.error().message.empty() && refused.error().message.size() < 2000, "a refusal says why, and is short");
    parse_json(dump_json(to_json(refused.error())), "the refusal");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  answered(text, check_chat);
  answered(text, check_completion);
  return 0;
}

}  // namespace gauntlet
