#include "agent/openai_model.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "agent/endpoint_failure.h"
#include "agent/scripted_endpoint.h"
#include "core/error.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kPlain =
    R"({"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":3,"completion_tokens":1}})";

ScriptedAnswer json_answer(std::string body) { return {.pieces = {std::move(body)}}; }

ScriptedAnswer status_answer(int status, std::string body) { return {.status = status, .pieces = {std::move(body)}}; }

ScriptedAnswer stream_answer(std::vector<std::string> events) {
  ScriptedAnswer answer{.content_type = "text/event-stream; charset=utf-8"};
  for (auto& event : events) answer.pieces.push_back("data: " + event + "\n\n");
  return answer;
}

OpenAiOptions options_for(const std::string& base_url) {
  OpenAiOptions options;
  options.base_url = base_url;
  options.model = "tiny";
  options.max_attempts = 3;
  options.backoff_base = milliseconds(1);
  return options;
}

ChatRequest say_hi() {
  ChatRequest request;
  request.messages = {{.role = Role::User, .content = "hi"}};
  return request;
}

ChatReply ask(OpenAiModel& model, const ChatRequest& request = say_hi()) {
  const CancelFlag never{false};
  return model.complete(request, never);
}

struct Caught {
  std::optional<FaultClass> fault;
  std::string message;
};

Caught fault_of(OpenAiModel& model, const ChatRequest& request = say_hi()) {
  try {
    ask(model, request);
  } catch (const ModelFault& fault) {
    return {fault.fault(), fault.what()};
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a reply in one piece is read") {
  ScriptedEndpoint endpoint({json_answer(kPlain)});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.stream = false;
  OpenAiModel model(options);
  const ChatReply reply = ask(model);
  CHECK(reply.message == Message{.role = Role::Assistant, .content = "Hello"});
  CHECK(reply.finish == FinishReason::Stop);
  CHECK(reply.usage == Usage{3, 1, 0, 0});
  REQUIRE(endpoint.seen().size() == 1);
  CHECK(endpoint.seen()[0].path == "/v1/chat/completions");
  CHECK(has(endpoint.seen()[0].body, R"("stream":false)"));
}

TEST_CASE("a server that does not stream when asked to is understood") {
  ScriptedEndpoint endpoint({json_answer(kPlain)});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(ask(model).message.content == "Hello");
}

TEST_CASE("a stream cut at every byte gives parallel tool calls, reasoning and usage") {
  ScriptedAnswer answer = stream_answer({
      R"({"choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"Let "}}]})",
      R"({"choices":[{"index":0,"delta":{"reasoning_content":"me"}}]})",
      R"({"choices":[{"index":0,"delta":{"content":"Grüße"}}]})",
      R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]})",
      R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"k\""}}]}}]})",
      R"({"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}},)"
      R"({"index":1,"function":{"arguments":":1}"}}]}}]})",
      R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})",
      R"({"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"completion_tokens_details":{"reasoning_tokens":4}}})",
      "[DONE]",
  });
  std::vector<std::string> bytes;
  for (const auto& piece : answer.pieces) {
    for (const char byte : piece) bytes.emplace_back(1, byte);
  }
  answer.pieces = bytes;
  ScriptedEndpoint endpoint({answer});
  OpenAiModel model(options_for(endpoint.base_url()));
  const ChatReply reply = ask(model);
  CHECK(reply.message.reasoning == "Let me");
  CHECK(reply.message.content == "Grüße");
  CHECK(reply.message.tool_calls == std::vector<ToolCall>{{"a", "f", "{}"}, {"b", "g", R"({"k":1})"}});
  CHECK(reply.finish == FinishReason::ToolCalls);
  CHECK(reply.usage == Usage{10, 20, 4, 0});
}

TEST_CASE("reasoning goes back under the name it came with") {
  ScriptedEndpoint endpoint(
      {stream_answer({R"({"choices":[{"delta":{"reasoning":"hm","content":"x"},"finish_reason":"stop"}]})"})});
  OpenAiModel model(options_for(endpoint.base_url()));
  ChatRequest request = say_hi();
  request.messages.push_back({.role = Role::Assistant, .content = "x", .reasoning = "old"});
  CHECK(ask(model, request).message.reasoning == "hm");
  ask(model, request);
  const auto seen = endpoint.seen();
  CHECK(has(seen[0].body, R"("reasoning_content":"old")"));
  CHECK(has(seen[1].body, R"("reasoning":"old")"));
  CHECK_FALSE(has(seen[1].body, "reasoning_content"));
}

TEST_CASE("calls one after another share a connection") {
  ScriptedEndpoint endpoint({json_answer(kPlain)});
  OpenAiModel model(options_for(endpoint.base_url()));
  ask(model);
  ask(model);
  CHECK(endpoint.seen()[0].remote_port == endpoint.seen()[1].remote_port);
}

TEST_CASE("many threads may ask at once") {
  ScriptedEndpoint endpoint({json_answer(kPlain)});
  OpenAiModel model(options_for(endpoint.base_url()));
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 5; ++k) good += ask(model).message.content == "Hello" ? 1 : 0;
      });
    }
  }
  CHECK(good == 20);
}

TEST_CASE("the first model listed is used where none is named") {
  ScriptedEndpoint endpoint({json_answer(R"({"data":[{"id":"first"},{"id":"second"}]})"), json_answer(kPlain)});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.model = "";
  OpenAiModel model(options);
  ask(model);
  ask(model);
  const auto seen = endpoint.seen();
  REQUIRE(seen.size() == 3);
  CHECK(seen[0].method == "GET");
  CHECK(seen[0].path == "/v1/models");
  CHECK(has(seen[1].body, R"("model":"first")"));
  CHECK(model.describe()["model"] == "first");
}

TEST_CASE("the model's name can be asked for before the first call") {
  ScriptedEndpoint endpoint({json_answer(R"({"data":[{"id":"first"}]})")});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.model = "";
  OpenAiModel model(options);
  const CancelFlag never{false};
  CHECK(model.describe()["model"] == "");
  CHECK(model.find_model(Clock::time_point::max(), never) == "first");
  CHECK(model.describe()["model"] == "first");
}

TEST_CASE("a list of models that names none is a Protocol fault") {
  for (const char* body : {R"({"data":[]})", "{}", "<html>"}) {
    CAPTURE(body);
    ScriptedEndpoint endpoint({json_answer(body)});
    OpenAiOptions options = options_for(endpoint.base_url());
    options.model = "";
    OpenAiModel model(options);
    CHECK(fault_of(model).fault == FaultClass::Protocol);
  }
}

TEST_CASE("a rate limit is waited for as long as the endpoint asks") {
  ScriptedAnswer limited = status_answer(429, R"({"error":{"message":"slow down"}})");
  limited.headers = {{"Retry-After", "0.2"}};
  ScriptedEndpoint endpoint({limited, json_answer(kPlain)});
  OpenAiModel model(options_for(endpoint.base_url()));
  const auto start = Clock::now();
  CHECK(ask(model).message.content == "Hello");
  CHECK(Clock::now() - start >= milliseconds(200));
}

TEST_CASE("an endpoint that asks for too long a wait is given up at once") {
  ScriptedAnswer limited = status_answer(429, "{}");
  limited.headers = {{"Retry-After", "3600"}};
  ScriptedEndpoint endpoint({limited});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(fault_of(model).fault == FaultClass::RateLimited);
  CHECK(endpoint.seen().size() == 1);
}

TEST_CASE("Retry-After is read as seconds and as a date") {
  const auto now = std::chrono::system_clock::from_time_t(1'445'412'470);  // Wed, 21 Oct 2015 07:27:50 GMT
  CHECK(retry_after_seconds("12", now) == 12);
  CHECK(retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", now) == 10);
  CHECK(retry_after_seconds("Wed, 21 Oct 2015 07:00:00 GMT", now) == 0);
  CHECK(retry_after_seconds("", now) == -1);
  CHECK(retry_after_seconds("soon", now) == -1);
  CHECK(retry_after_seconds("-5", now) == -1);
}

TEST_CASE("server errors to the end are a Server fault that says what was found") {
  ScriptedEndpoint endpoint({status_answer(503, "overloaded")});
  OpenAiModel model(options_for(endpoint.base_url()));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Server);
  CHECK(has(caught.message, endpoint.base_url() + "/v1/chat/completions"));
  CHECK(has(caught.message, "status 503 with \"overloaded\""));
  CHECK(has(caught.message, "attempt 3 of 3"));
  CHECK(endpoint.seen().size() == 3);
}

TEST_CASE("a refused key is not tried again and never shown") {
  ScriptedEndpoint endpoint({status_answer(401, R"({"error":{"message":"Incorrect API key: sk-secret-123"}})")});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.api_key = "sk-secret-123";
  OpenAiModel model(options);
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Rejected);
  CHECK(has(caught.message, "Incorrect API key: ***"));
  CHECK_FALSE(has(caught.message, "sk-secret"));
  CHECK(endpoint.seen().size() == 1);
  CHECK(endpoint.seen()[0].authorization == "Bearer sk-secret-123");
  CHECK_FALSE(has(dump_json(model.describe()), "sk-secret"));
}

TEST_CASE("an HTML page is a Protocol fault") {
  ScriptedEndpoint endpoint(
      {ScriptedAnswer{.content_type = "text/html", .pieces = {"<html><body>Welcome to nginx!</body></html>"}}});
  OpenAiModel model(options_for(endpoint.base_url()));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Protocol);
  CHECK(has(caught.message, "Welcome to nginx!"));
  CHECK(endpoint.seen().size() == 1);
}

TEST_CASE("JSON that is broken or no completion is a Protocol fault") {
  for (const char* body : {"{\"choices\":[", "{}", "", "hello"}) {
    CAPTURE(body);
    ScriptedEndpoint endpoint({json_answer(body)});
    OpenAiModel model(options_for(endpoint.base_url()));
    CHECK(fault_of(model).fault == FaultClass::Protocol);
  }
  ScriptedEndpoint endpoint({stream_answer({"{oops"})});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(fault_of(model).fault == FaultClass::Protocol);
}

TEST_CASE("a stream cut off is tried again and is a Protocol fault in the end") {
  const std::string delta = R"({"choices":[{"delta":{"content":"Hel"}}]})";
  ScriptedAnswer broken = stream_answer({delta});
  broken.cut = true;
  const ScriptedAnswer unfinished = stream_answer({delta});
  {
    ScriptedEndpoint endpoint({broken, unfinished, json_answer(kPlain)});
    OpenAiModel model(options_for(endpoint.base_url()));
    CHECK(ask(model).message.content == "Hello");
  }
  for (const ScriptedAnswer& answer : {broken, unfinished}) {
    ScriptedEndpoint endpoint({answer});
    OpenAiModel model(options_for(endpoint.base_url()));
    CHECK(fault_of(model).fault == FaultClass::Protocol);
    CHECK(endpoint.seen().size() == 3);
  }
}

TEST_CASE("after an empty stream the next attempt asks for a whole reply") {
  ScriptedEndpoint endpoint(
      {stream_answer({}), status_answer(400, R"({"error":{"message":"maximum context length is 9 tokens, your messages resulted in 12 tokens"}})")});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(fault_of(model).fault == FaultClass::ContextLength);
  const auto seen = endpoint.seen();
  REQUIRE(seen.size() == 2);
  CHECK(has(seen[0].body, R"("stream":true)"));
  CHECK(has(seen[1].body, R"("stream":false)"));
}

TEST_CASE("a stream that breaks after its finish reason is whole") {
  ScriptedAnswer answer = stream_answer({R"({"choices":[{"delta":{"content":"all"},"finish_reason":"stop"}]})"});
  answer.cut = true;
  ScriptedEndpoint endpoint({answer});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(ask(model).message.content == "all");
}

TEST_CASE("an error in the middle of a stream is a fault") {
  ScriptedEndpoint endpoint(
      {stream_answer({R"({"choices":[{"delta":{"content":"x"}}]})", R"({"error":{"message":"engine died","code":500}})"})});
  OpenAiModel model(options_for(endpoint.base_url()));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Server);
  CHECK(has(caught.message, "engine died"));
}

TEST_CASE("a prompt that is too long is told apart from other refusals") {
  ScriptedEndpoint endpoint({status_answer(400, R"({"error":{"message":"too many","code":"context_length_exceeded"}})")});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(fault_of(model).fault == FaultClass::ContextLength);
}

TEST_CASE("a refused connection is a Connection fault") {
  std::string address;
  {
    const ScriptedEndpoint endpoint({json_answer(kPlain)});
    address = endpoint.base_url();
  }
  OpenAiModel model(options_for(address));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Connection);
  CHECK(has(caught.message, address));
  CHECK(has(caught.message, "could not connect (127.0.0.1 port " + address.substr(address.rfind(':') + 1) + ": Connection refused)"));
}

TEST_CASE("a host whose name is not known is told apart from one that refuses") {
  OpenAiModel model(options_for("http://no-such-host.invalid:8000"));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Connection);
  CHECK(has(caught.message, "the name of the host no-such-host.invalid could not be looked up: "));
}

TEST_CASE("an empty reply of no tokens is no reply: it is asked for again, and is a Protocol fault in the end") {
  const ScriptedAnswer nothing =
      json_answer(R"({"choices":[{"message":{"role":"assistant","content":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":0}})");
  {
    ScriptedEndpoint endpoint({nothing, stream_answer({"[DONE]"}), json_answer(kPlain)});
    OpenAiModel model(options_for(endpoint.base_url()));
    CHECK(ask(model).message.content == "Hello");
  }
  ScriptedEndpoint endpoint({nothing});
  OpenAiModel model(options_for(endpoint.base_url()));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Protocol);
  CHECK(has(caught.message, "the reply is empty: no text, no call, 0 completion tokens"));
  CHECK(endpoint.seen().size() == 3);
}

TEST_CASE("an empty reply that took tokens, was cut, or was withheld says something") {
  for (const auto& [reason, tokens, finish] :
       {std::tuple{"stop", 1, FinishReason::Stop}, {"length", 0, FinishReason::Length}, {"content_filter", 0, FinishReason::ContentFilter}}) {
    const Json body = {{"choices", {{{"message", {{"content", nullptr}}}, {"finish_reason", reason}}}}, {"usage", {{"completion_tokens", tokens}}}};
    ScriptedEndpoint endpoint({json_answer(dump_json(body))});
    OpenAiModel model(options_for(endpoint.base_url()));
    CHECK(ask(model).finish == finish);
  }
}

TEST_CASE("a redirect is not followed") {
  ScriptedAnswer moved = status_answer(302, "");
  moved.headers = {{"Location", "http://elsewhere.example/"}};
  ScriptedEndpoint endpoint({moved});
  OpenAiModel model(options_for(endpoint.base_url()));
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Protocol);
  CHECK(has(caught.message, "elsewhere.example"));
}

TEST_CASE("the deadline ends a call that waits for an answer, and tells a silent endpoint from one that is at work") {
  ScriptedAnswer silent = stream_answer({});
  silent.hold = true;
  ScriptedAnswer working = stream_answer({R"({"choices":[{"delta":{"content":"x"}}]})"});
  working.hold = true;
  for (const auto& [answer, fault] : {std::pair{silent, FaultClass::Timeout}, std::pair{working, FaultClass::OutOfTime}}) {
    ScriptedEndpoint endpoint({answer});
    OpenAiModel model(options_for(endpoint.base_url()));
    ChatRequest request = say_hi();
    request.deadline = Clock::now() + milliseconds(150);
    CHECK(fault_of(model, request).fault == fault);
    CHECK(Clock::now() - request.deadline < milliseconds(1000));
  }
}

TEST_CASE("bytes that are no UTF-8 are replaced, and the reply is read") {
  ScriptedEndpoint endpoint({json_answer("{\"choices\":[{\"message\":{\"content\":\"a\xff\"}}]}")});
  OpenAiModel model(options_for(endpoint.base_url()));
  CHECK(ask(model).message.content == "a\uFFFD");
}

TEST_CASE("an endpoint that stays silent for the read timeout is a Timeout fault") {
  ScriptedEndpoint endpoint({ScriptedAnswer{.hold = true}});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.http.read_timeout = milliseconds(50);
  options.max_attempts = 2;
  OpenAiModel model(options);
  CHECK(fault_of(model).fault == FaultClass::Timeout);
  CHECK(endpoint.seen().size() == 2);
}

TEST_CASE("no attempt is begun that the deadline leaves no time for") {
  ScriptedAnswer limited = status_answer(429, "{}");
  limited.headers = {{"Retry-After", "30"}};
  ScriptedEndpoint endpoint({limited});
  OpenAiModel model(options_for(endpoint.base_url()));
  ChatRequest request = say_hi();
  request.deadline = Clock::now() + milliseconds(5000);
  const Caught caught = fault_of(model, request);
  CHECK(caught.fault == FaultClass::RateLimited);
  CHECK(has(caught.message, "no time is left"));
  CHECK(Clock::now() < request.deadline);
}

TEST_CASE("a cancelled call returns soon, while it reads and while it waits to try again") {
  ScriptedAnswer limited = status_answer(429, "{}");
  limited.headers = {{"Retry-After", "60"}};
  for (const ScriptedAnswer& answer : {ScriptedAnswer{.hold = true}, limited}) {
    ScriptedEndpoint endpoint({answer});
    OpenAiModel model(options_for(endpoint.base_url()));
    CancelFlag cancel{false};
    std::optional<FaultClass> fault;
    Clock::time_point ended;
    std::jthread caller([&] {
      try {
        model.complete(say_hi(), cancel);
      } catch (const ModelFault& caught) {
        fault = caught.fault();
      }
      ended = Clock::now();
    });
    endpoint.wait_until_seen(1);
    const auto asked = Clock::now();
    cancel = true;
    caller.join();
    CHECK(fault == FaultClass::Cancelled);
    CHECK(ended - asked < milliseconds(300));
  }
}

TEST_CASE("a body longer than allowed is a Protocol fault") {
  ScriptedEndpoint endpoint({json_answer(std::string(100'000, ' '))});
  OpenAiOptions options = options_for(endpoint.base_url());
  options.http.max_body_bytes = 50'000;
  OpenAiModel model(options);
  const Caught caught = fault_of(model);
  CHECK(caught.fault == FaultClass::Protocol);
  CHECK(has(caught.message, "longer than"));
  CHECK(endpoint.seen().size() == 1);
}

TEST_CASE("options that cannot be used are refused") {
  const auto refused = [](auto change) {
    OpenAiOptions options = options_for("http://127.0.0.1:1");
    change(options);
    CHECK_THROWS_AS(OpenAiModel{options}, Error);
  };
  refused([](OpenAiOptions& options) { options.base_url = "nowhere"; });
  refused([](OpenAiOptions& options) { options.max_attempts = 0; });
  refused([](OpenAiOptions& options) { options.extra_body = Json::array(); });
  refused([](OpenAiOptions& options) { options.api_key = "a\r\nX-Evil: 1"; });
  refused([](OpenAiOptions& options) { options.reasoning_field = "thoughts"; });
}

}  // namespace gauntlet
