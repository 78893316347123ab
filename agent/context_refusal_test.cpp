#include "agent/context_refusal.h"

#include <doctest/doctest.h>

#include "agent/openai_model.h"
#include "agent/scripted_endpoint.h"
#include "core/json.h"

namespace gauntlet {
namespace {

struct Said {
  const char* words;
  std::int64_t context;
  std::int64_t prompt;
};

/// As servers put it.
const Said kSaid[] = {
    {"'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens and your request has 1500 input "
     "tokens (4096 > 4096 - 1500).", 4096, 1500},
    {"This model's maximum context length is 4096 tokens. However, you requested 5596 tokens (1500 in the messages, 4096 in the completion).", 4096, 1500},
    {"This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (1400 in the messages, 100 in the functions, and 7500 in "
     "the completion).", 8192, 1500},
    {"This model's maximum context length is 4096 tokens. However, you requested 4096 output tokens and your prompt contains at least 1500 input "
     "tokens, for a total of at least 5596 tokens.", 4096, 1500},
    {"Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of 5596 tokens: 1500 tokens from the "
     "input messages and 4096 tokens for the completion.", 4096, 1500},
    {"This endpoint's maximum context length is 4096 tokens. However, you requested about 5596 tokens (1500 of text input, 4096 in the output).", 4096, 1500},
    {"This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.", 4096, 5000},
    {"The input (5000 tokens) is longer than the model's context length (4096 tokens).", 4096, 5000},
    {"The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 4096, 5000},
    {"request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 4096, 5000},
    {R"({"code":400,"message":"the request exceeds the available context size","n_prompt_tokens":5000,"n_ctx":4096})", 4096, 5000},
    {"this model's maximum context length is 4096 tokens, with at least one for the reply; the prompt has 5000", 4096, 5000},
    {"input length and `max_tokens` exceed context limit: 199064 + 8192 > 200000, decrease input length or `max_tokens` and try again", 200'000, 199'064},
    {"prompt is too long: 212345 tokens > 200000 maximum", 200'000, 212'345},
};

constexpr const char* kTooLarge = R"({"object":"error","code":400,"message":"'max_tokens' or 'max_completion_tokens' is too large: 4096. )"
                                  R"(This model's maximum context length is 4096 tokens and your request has 1500 input tokens"})";
constexpr const char* kPlain = R"({"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]})";

ScriptedAnswer refusal(std::string body) { return {.status = 400, .pieces = {std::move(body)}}; }

ChatReply ask(const ScriptedEndpoint& endpoint, const Json& extra_body = Json::object()) {
  OpenAiModel model({.base_url = endpoint.base_url(), .model = "tiny", .extra_body = extra_body, .max_attempts = 1});
  ChatRequest request;
  request.messages = {{.role = Role::User, .content = "hi"}};
  const CancelFlag never{false};
  return model.complete(request, never);
}

std::vector<int> asked(const ScriptedEndpoint& endpoint) {
  std::vector<int> out;
  for (const auto& request : endpoint.seen()) out.push_back(parse_json(request.body, "a request").at("max_tokens").get<int>());
  return out;
}

}  // namespace

TEST_CASE("the tokens of context and prompt are read from the words of many servers") {
  for (const Said& said : kSaid) {
    CAPTURE(said.words);
    CHECK(says_context_length(said.words));
    const ContextRefusal refusal = read_context_refusal(said.words);
    CHECK(refusal.context == said.context);
    CHECK(refusal.prompt == said.prompt);
  }
  CHECK_FALSE(says_context_length("max_tokens is too large: 100000. This model supports at most 16384 completion tokens"));
  CHECK_FALSE(read_context_refusal("context length is 99999999999999999999").context.has_value());
}

TEST_CASE("fewer tokens are what the prompt leaves, else half of those asked for, and none where the prompt does not fit") {
  CHECK(fewer_tokens(kSaid[0].words, 4096) == 2596);
  CHECK(fewer_tokens(kSaid[3].words, 2596) == 1298);  // "at least": the numbers were no help
  CHECK(fewer_tokens("too long for the context window", 4096) == 2048);
  CHECK_FALSE(fewer_tokens("too long for the context window", 31).has_value());
  CHECK_FALSE(fewer_tokens(kSaid[7].words, 4096).has_value());
  CHECK(fewer_tokens("maximum context length is 4096 tokens and your request has 4095 input tokens", 4096) == 1);
}

TEST_CASE("an endpoint that has no room for so long a reply is asked for a shorter one") {
  const ScriptedEndpoint endpoint({refusal(kTooLarge), {.pieces = {kPlain}}});
  CHECK(ask(endpoint).message.content == "Hello");
  CHECK(asked(endpoint) == std::vector<int>{4096, 2596});
}

TEST_CASE("a reply that is cut at such a length was cut by the context") {
  const ScriptedEndpoint endpoint({refusal(kTooLarge), {.pieces = {R"({"choices":[{"message":{"content":"Hel"},"finish_reason":"length"}]})"}}});
  CHECK(ask(endpoint).finish == FinishReason::ContextFull);
}

TEST_CASE("a reply that is cut at a length that was a guess says nothing of the agent") {
  const ScriptedEndpoint endpoint({refusal(dump_json(Json{{"error", {{"message", "no room in the context window"}}}})),
                                   {.pieces = {R"({"choices":[{"message":{"content":"Hel"},"finish_reason":"length"}]})"}}});
  try {
    ask(endpoint);
    FAIL("a cut reply was taken");
  } catch (const ModelFault& fault) {
    CHECK(fault.fault() == FaultClass::Rejected);
    CHECK(std::string(fault.what()).find("one of 2048 tokens was cut") != std::string::npos);
  }
  CHECK(asked(endpoint) == std::vector<int>{4096, 2048});
}

TEST_CASE("a length that the user names in the body is not changed") {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    const ScriptedEndpoint endpoint({refusal(kTooLarge), {.pieces = {kPlain}}});
    CHECK_THROWS_AS(ask(endpoint, {{name, 4096}}), ModelFault);
    CHECK(endpoint.seen().size() == 1);
  }
}

TEST_CASE("without numbers the request is halved a bounded number of times, and the refusal is kept whole") {
  const std::string words = "no room in the context window, " + std::string(300, 'x') + " says the server";
  const ScriptedEndpoint endpoint({refusal(dump_json(Json{{"error", {{"message", words}}}}))});
  std::string message;
  try {
    ask(endpoint);
  } catch (const ModelFault& fault) {
    CHECK(fault.fault() == FaultClass::ContextLength);
    message = fault.what();
  }
  CHECK(message.find("says the server") != std::string::npos);
  CHECK(asked(endpoint) == std::vector<int>{4096, 2048, 1024, 512, 256, 128, 64, 32, 16});
}

}  // namespace gauntlet
