// Replies of a required form over the server's API: the real grammar, and a model with random weights that would never keep to it by itself.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/json_schema.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/server/reply_constraints.h"
#include "tests/server_stage.h"

namespace gauntlet {
namespace {

Json with(Json body, const Json& more) {
  body.update(more);
  return body;
}

struct Stage {
  explicit Stage(bool constrain_calls = false) : server(std::make_unique<CpuBackend>(golden.weights, CpuBackendOptions{.threads = 2, .pages = 800}), setting(constrain_calls)) {}

  /// The service is made before there is a codec to make constraints with.
  sample::ServerSetting setting(bool constrain_calls) {
    return {.service = {.name = "tiny", .mode = ThinkingMode::Chat, .constraints = make_reply_constraints(std::make_shared<const ChatCodec>("tiny", golden.weights.config.vocab, sample::golden_tokenizer(), std::make_shared<const DeepseekFormat>())), .constrain_calls = constrain_calls}};
  }
  /// The choices of eight samples, unless `more` says otherwise.
  Json choices(const Json& more) const {
    const auto reply = server.chat(with(with(sample::ask("go"), {{"n", 8}, {"seed", 5}, {"max_tokens", 2000}}), more));
    REQUIRE_MESSAGE(reply.status == 200, reply.body);
    return reply.json().at("choices");
  }
  /// Status and member of a refusal.
  std::pair<int, std::string> refusal(const Json& more) const {
    const auto reply = server.chat(with(sample::ask("go"), more));
    return {reply.status, reply.status == 200 ? "" : reply.json().at("error").value("param", "")};
  }

  GoldenCase golden = load_golden_case("v32-tiny");
  sample::ServerStage server;
};

Json tool(const std::string& name, const Json& parameters, bool strict = false) {
  Json function = {{"name", name}, {"parameters", parameters}};
  if (strict) function["strict"] = true;
  return {{"type", "function"}, {"function", function}};
}

Json find_parameters() {
  return parse_json(R"({"type": "object", "properties": {"query": {"type": "string", "maxLength": 8}, "limit": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["query"], "additionalProperties": false})", "find");
}
Json mark_parameters() { return parse_json(R"({"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"], "additionalProperties": false})", "mark"); }
Json tools() { return Json::array({tool("find", find_parameters()), tool("mark", mark_parameters())}); }
/// No grammar can keep to it.
Json odd_tools(bool strict = false) { return Json::array({tool("odd", {{"type", "object"}, {"not", {{"type", "null"}}}}, strict)}); }
Json named(const std::string& name) { return {{"type", "function"}, {"function", {{"name", name}}}}; }

Json verdict_schema() {
  return parse_json(R"({"type": "object", "properties": {"verdict": {"enum": ["yes", "no"]}, "why": {"type": "string", "maxLength": 9}}, "required": ["verdict", "why"], "additionalProperties": false})", "verdict");
}
Json json_schema(const Json& schema) { return {{"type", "json_schema"}, {"json_schema", {{"name", "answer"}, {"schema", schema}, {"strict", true}}}}; }

/// Whether the call is of one of tools() and satisfies its schema.
void check_call(const Json& call) {
  const auto name = call.at("function").at("name").get<std::string>();
  CHECK((name == "find" || name == "mark"));
  const Json arguments = parse_json(call.at("function").at("arguments").get<std::string>(), "arguments");
  CHECK(JsonSchema(name == "find" ? find_parameters() : mark_parameters(), name).problems(arguments).empty());
}

std::size_t call_count(const Json& choice) { return choice.at("message").contains("tool_calls") ? choice.at("message").at("tool_calls").size() : 0; }

TEST_CASE("the content is JSON as asked, and what the reply thinks before it is free") {
  const Stage stage;
  for (const bool any : {true, false}) {
    const Json format = any ? Json{{"type", "json_object"}} : json_schema(verdict_schema());
    const JsonSchema schema(any ? Json{{"type", "object"}} : verdict_schema(), "answer");
    int ended = 0;
    for (const auto& choice : stage.choices({{"response_format", format}})) {
      if (choice.at("finish_reason") != "stop") continue;  // some object may be any size
      ++ended;
      CHECK(schema.problems(parse_json(choice.at("message").at("content").get<std::string>(), "content")).empty());
    }
    CHECK(ended >= (any ? 1 : 8));
    ended = 0;
    bool thought = false;
    for (const auto& choice : stage.choices({{"response_format", format}, {"chat_template_kwargs", {{"thinking", true}}}, {"n", 16}, {"max_tokens", 1000}})) {
      if (choice.at("finish_reason") != "stop") continue;  // thinking may go on for ever
      ++ended;
      const Json& message = choice.at("message");
      CHECK(schema.problems(parse_json(message.at("content").get<std::string>(), "content")).empty());
      const std::string thinking = message.value("reasoning_content", "");
      thought = thought || (!thinking.empty() && !Json::accept(thinking));
    }
    CHECK(ended > 0);
    CHECK(thought);
  }
}

TEST_CASE("with tools and a schema a reply is either calls or the answer") {
  const Stage stage;
  int calls = 0, answers = 0;
  for (const auto& choice : stage.choices({{"response_format", json_schema(verdict_schema())}, {"tools", tools()}, {"n", 16}})) {
    if (call_count(choice) == 0) {
      ++answers;
      CHECK(choice.at("finish_reason") == "stop");
      CHECK(JsonSchema(verdict_schema(), "answer").problems(parse_json(choice.at("message").at("content").get<std::string>(), "content")).empty());
      continue;
    }
    ++calls;
    CHECK(choice.at("finish_reason") == "tool_calls");
    for (const auto& call : choice.at("message").at("tool_calls")) check_call(call);
  }
  CHECK(answers + calls == 16);
  CHECK(answers > 0);
}

TEST_CASE("a required call is made, of any tool or of the one that is named, and once where asked for one") {
  const Stage stage;
  std::size_t most = 0;
  for (const auto& choice : stage.choices({{"tools", tools()}, {"tool_choice", "required"}, {"n", 16}})) {
    CHECK(choice.at("finish_reason") == "tool_calls");
    REQUIRE(call_count(choice) > 0);
    most = std::max(most, call_count(choice));
    for (const auto& call : choice.at("message").at("tool_calls")) check_call(call);
  }
  CHECK(most > 1);
  for (const auto& choice : stage.choices({{"tools", tools()}, {"tool_choice", named("mark")}})) {
    REQUIRE(call_count(choice) == 1);
    check_call(choice.at("message").at("tool_calls")[0]);
    CHECK(choice.at("message").at("tool_calls")[0].at("function").at("name") == "mark");
    CHECK(choice.at("finish_reason") == "tool_calls");
  }
  for (const auto& choice : stage.choices({{"tools", tools()}, {"tool_choice", "required"}, {"parallel_tool_calls", false}})) CHECK(call_count(choice) == 1);
  CHECK(stage.refusal({{"tools", tools()}, {"tool_choice", "required"}, {"response_format", {{"type", "json_object"}}}}) == std::pair{400, std::string("response_format")});
}

TEST_CASE("streams of required forms are the whole replies, with log-probabilities and stop strings") {
  const Stage stage;
  for (const Json& wish : {Json{{"tools", tools()}, {"tool_choice", "required"}}, Json{{"response_format", json_schema(verdict_schema())}}, Json{{"response_format", json_schema(verdict_schema())}, {"stop", "\"why\""}}}) {
    const Json request = with(with(sample::ask("go"), {{"n", 4}, {"seed", 9}, {"max_tokens", 2000}, {"logprobs", true}, {"top_logprobs", 2}}), wish);
    const Json whole = stage.server.chat(request).json().at("choices");
    const auto events = stage.server.chat(with(request, {{"stream", true}})).events();
    for (int i = 0; i < 4; ++i) {
      const Json& choice = whole[static_cast<std::size_t>(i)];
      const auto joined = sample::join(events, i);
      CHECK(joined.finish == choice.at("finish_reason").get<std::string>());
      CHECK(joined.content == (choice.at("message").at("content").is_null() ? "" : choice.at("message").at("content").get<std::string>()));
      REQUIRE(joined.calls.size() == call_count(choice));
      for (std::size_t j = 0; j < joined.calls.size(); ++j) CHECK(joined.calls[j].at("function") == choice.at("message").at("tool_calls")[j].at("function"));
      if (wish.contains("stop")) {
        CHECK(joined.finish == "stop");
        CHECK(joined.content.starts_with("{"));
        CHECK(joined.content.find("why") == std::string::npos);
      }
      // They are the model's own, before the mask: the best ones need not be allowed ones.
      const Json& logprobs = choice.at("logprobs").at("content");
      CHECK_FALSE(logprobs.empty());
      for (const auto& token : logprobs) {
        CHECK(std::isfinite(token.at("logprob").get<double>()));
        CHECK(token.at("logprob").get<double>() <= token.at("top_logprobs")[0].at("logprob").get<double>());
      }
    }
  }
}

TEST_CASE("a limit inside a call cuts the reply, and no half of a call is given out") {
  const Stage stage;
  const Json request = {{"tools", tools()}, {"tool_choice", "required"}};
  for (const int most : {1, 12}) {
    for (const auto& choice : stage.choices(with(request, {{"max_tokens", most}}))) {
      CHECK(choice.at("finish_reason") == "length");
      CHECK(call_count(choice) == 0);
    }
  }
}

TEST_CASE("whoever ignores the end token still gets a reply that ends where its form does") {
  const Stage stage(true);
  for (const auto& choice : stage.choices({{"response_format", json_schema(verdict_schema())}, {"ignore_eos", true}, {"return_token_ids", true}})) {
    CHECK(choice.at("finish_reason") == "stop");
    const Json& ids = choice.at("token_ids");
    CHECK(ids.back() == stage.server.codec->end_id());
    CHECK(std::count(ids.begin(), ids.end(), Json(stage.server.codec->end_id())) == 1);
  }
  // Calls that the model makes of its own choice are not kept to a form then: it goes on to the limit.
  for (const auto& choice : stage.choices({{"tools", tools()}, {"ignore_eos", true}, {"max_tokens", 30}, {"return_token_ids", true}})) CHECK(choice.at("token_ids").size() == 30);
}

TEST_CASE("a server that constrains calls leaves text free, does not look at tools without use, and blames tools that it cannot follow") {
  const Stage stage(true), plain;
  int ended = 0;
  for (const auto& choice : stage.choices({{"tools", tools()}, {"n", 16}, {"max_tokens", 300}})) {
    if (choice.at("finish_reason") == "length") continue;
    ++ended;
    if (call_count(choice) == 0) continue;
    for (const auto& call : choice.at("message").at("tool_calls")) check_call(call);
  }
  CHECK(ended > 0);
  CHECK(stage.refusal({{"tools", odd_tools()}, {"max_tokens", 1}}) == std::pair{400, std::string("tools")});
  CHECK(stage.refusal({{"tools", odd_tools()}, {"tool_choice", "none"}, {"max_tokens", 1}}).first == 200);
  CHECK(plain.refusal({{"tools", odd_tools()}, {"max_tokens", 1}}).first == 200);
  CHECK(plain.refusal({{"tools", odd_tools()}, {"tool_choice", "required"}}) == std::pair{400, std::string("tools")});
  CHECK_THROWS_AS(ModelService({.constrain_calls = true}, stage.server.engine, stage.server.codec), Error);
}

TEST_CASE("a strict tool keeps the calls of its request to their schemas, or is refused") {
  const Stage stage;
  const Json strict = Json::array({tool("find", find_parameters(), true), tool("mark", mark_parameters())});
  // The grammar is there: it names a schema that cannot be followed, which nobody would look at otherwise.
  CHECK(stage.refusal({{"tools", odd_tools(true)}, {"max_tokens", 1}}) == std::pair{400, std::string("tools")});
  CHECK(stage.refusal({{"tools", odd_tools(true)}, {"tool_choice", "none"}, {"max_tokens", 1}}).first == 200);
  for (const auto& choice : stage.choices({{"tools", strict}, {"max_tokens", 300}})) {
    if (call_count(choice) == 0) continue;
    for (const auto& call : choice.at("message").at("tool_calls")) check_call(call);
  }
  for (const auto& choice : stage.choices({{"tools", strict}, {"tool_choice", "required"}})) CHECK(call_count(choice) > 0);
  const sample::ServerStage without(sample::always("</think>ok"));
  const auto refused = without.chat(with(sample::ask("go"), {{"tools", strict}}));
  CHECK(refused.status == 400);
  CHECK(refused.json().at("error").at("param") == "tools");
  CHECK(refused.body.find("strict") != std::string::npos);
  CHECK(without.chat(with(sample::ask("go"), {{"tools", strict}, {"tool_choice", "none"}})).status == 200);
  CHECK(without.chat(with(sample::ask("go"), {{"tools", {tool("find", {{"type", "object"}}, false)}}})).status == 200);
}

}  // namespace
}  // namespace gauntlet
