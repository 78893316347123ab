#include "agent/openai_wire.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {
namespace {

WireReply reply_of(const char* body) {
  ReplyBuilder builder(0);
  builder.add_body(parse_json(body, "test"));
  return builder.take();
}

}  // namespace

TEST_CASE("a request carries tools, sampling and earlier reasoning under the asked name") {
  ChatRequest request;
  request.messages = {{.role = Role::User, .content = "hi"}, {.role = Role::Assistant, .content = "a", .reasoning = "because"}};
  request.tools = std::make_shared<const std::vector<ToolSpec>>(
      std::vector<ToolSpec>{{.name = "look", .description = "d", .parameters = {{"type", "object"}}}});
  request.sampling = {.temperature = 0.5, .top_p = 0.75, .max_tokens = 7, .seed = 9};
  const Json body = chat_request_to_json(
      request, {.model = "m", .stream = true, .reasoning_field = kReasoningField, .extra_body = {{"top_k", 20}, {"top_p", 1}}});
  CHECK(dump_json(body) ==
        R"({"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"a","reasoning":"because"}],)"
        R"("tools":[{"type":"function","function":{"name":"look","description":"d","parameters":{"type":"object"}}}],)"
        R"("tool_choice":"auto","parallel_tool_calls":true,"temperature":0.5,"top_p":1,"max_tokens":7,"seed":9,"stream":true,)"
        R"("stream_options":{"include_usage":true},"top_k":20})");
}

TEST_CASE("calls that no server would read go back as JSON that holds what the model wrote") {
  ChatRequest request;
  Message message{.role = Role::Assistant};
  message.tool_calls = {{"a", "look", R"({"x": 1})"}, {"b", "look", "  "}, {"c", "look", "{\"x\": "}, {"d", "look", "[1]"}, {"e", "", "{}"}, {"f", "go to <b>", R"({"x":1,"x":2})"}};
  request.messages = {message, {.role = Role::Tool, .content = "{}", .tool_call_id = "f", .tool_name = "go to <b>"}};
  const Json body = chat_request_to_json(request, {.model = "m"});
  std::vector<std::string> sent;
  for (const Json& call : body["messages"][0]["tool_calls"]) sent.push_back(call["function"]["name"].get<std::string>() + " " + call["function"]["arguments"].get<std::string>());
  CHECK(sent == std::vector<std::string>{R"(look {"x": 1})", "look {}", R"(look {"unreadable_arguments":"{\"x\": "})", R"(look {"unreadable_arguments":"[1]"})", "unnamed {}",
                                         R"(go_to__b_ {"unreadable_arguments":"{\"x\":1,\"x\":2}"})"});
  CHECK(body["messages"][1]["name"] == "go_to__b_");
}

TEST_CASE("the thinking mode is sent only when asked for") {
  ChatRequest request;
  request.mode = ThinkingMode::Chat;
  CHECK_FALSE(chat_request_to_json(request, {.model = "m"}).contains("chat_template_kwargs"));
  const Json body = chat_request_to_json(request, {.model = "m", .stream = false, .send_thinking_mode = true});
  CHECK(dump_json(body["chat_template_kwargs"]) == R"({"thinking":false})");
  CHECK_FALSE(body.contains("stream_options"));
  CHECK_FALSE(body.contains("tools"));
}

TEST_CASE("arguments are taken as written, and written out where a server sends an object") {
  const auto reply = reply_of(R"({"choices":[{"message":{"content":null,"tool_calls":[
      {"id":"a","function":{"name":"f","arguments":"{broken"}},
      {"id":"b","function":{"name":"g","arguments":{"y":1,"x":[2]}}}]},"finish_reason":"stop"}]})");
  CHECK(reply.reply.message.tool_calls == std::vector<ToolCall>{{"a", "f", "{broken"}, {"b", "g", R"({"y":1,"x":[2]})"}});
  CHECK(reply.reply.finish == FinishReason::ToolCalls);
  CHECK(reply.reply.malformed_call.empty());
  CHECK(reply.reply.usage == Usage{});
}

TEST_CASE("calls without an id get one that stays apart from earlier calls") {
  ReplyBuilder builder(4);
  builder.add_body(
      parse_json(R"({"choices":[{"message":{"tool_calls":[{"function":{"name":"f"}},{"function":{}}]}}]})", "test"));
  const ChatReply reply = builder.take().reply;
  REQUIRE(reply.message.tool_calls.size() == 2);
  CHECK(reply.message.tool_calls[0].id == "call_4");
  CHECK(reply.message.tool_calls[1].id == "call_5");
  CHECK(reply.malformed_call == "tool call 2 of the reply names no function");
}

TEST_CASE("usage and finish reasons are read") {
  const auto reply = reply_of(R"({"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      "finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":2},
      "completion_tokens_details":{"reasoning_tokens":3}}})");
  CHECK(reply.reply.message.content == "ab");
  CHECK(reply.reply.finish == FinishReason::Length);
  CHECK(reply.reply.usage == Usage{5, 6, 3, 2});
}

TEST_CASE("JSON that is not a completion is refused") {
  for (const char* body : {"[]", "{}", R"({"choices":[]})", R"({"choices":[{}]})", R"({"choices":[{"message":"x"}]})", "3"}) {
    CAPTURE(body);
    CHECK_THROWS_AS(reply_of(body), Error);
  }
}

TEST_CASE("errors are known in the forms of several servers") {
  const auto error_of = [](const char* body) { return find_wire_error(parse_json(body, "test")); };
  CHECK_FALSE(error_of(R"({"choices":[],"error":null})").has_value());
  CHECK(error_of(R"({"error":{"message":"m","code":429}})")->code == "429");
  CHECK(error_of(R"({"error":"plain"})")->message == "plain");
  CHECK(error_of(R"({"detail":"Not Found"})")->message == "Not Found");
  CHECK(error_of(R"({"object":"error","message":"m","code":"x"})")->code == "x");
  CHECK(error_of(R"({"error":{"message":"too long","code":"context_length_exceeded"}})")->context_length);
  CHECK(error_of(R"({"error":{"message":"This model's maximum context length is 4096 tokens.","code":400}})")->context_length);
  CHECK(error_of(R"({"error":{"message":"m","type":"exceed_context_size_error"}})")->context_length);
  CHECK_FALSE(error_of(R"({"error":{"message":"bad key","code":"invalid_api_key"}})")->context_length);
}

}  // namespace gauntlet
