// The server's API, over a real socket, with a model whose replies are written by the tests.

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/error.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/utf8.h"
#include "tests/server_stage.h"

namespace gauntlet {
namespace {

using sample::always;
using sample::ask;
using sample::ServerStage;

Json with(Json body, const Json& more) {
  body.update(more);
  return body;
}

Json only_choice(const sample::HttpReply& reply) {
  REQUIRE_MESSAGE(reply.status == 200, reply.body);
  const Json body = reply.json();
  REQUIRE(body.at("choices").size() == 1);
  return body.at("choices")[0];
}

TEST_CASE("a chat reply has content, reasoning, finish reason and usage") {
  const ServerStage stage(always("Let me see.</think>Hello there."));
  const auto reply = stage.chat(ask("hi"));
  const Json choice = only_choice(reply);
  CHECK(choice.at("message").at("role") == "assistant");
  CHECK(choice.at("message").at("content") == "Hello there.");
  CHECK(choice.at("message").at("reasoning_content") == "Let me see.");
  CHECK(choice.at("finish_reason") == "stop");
  const Json body = reply.json();
  CHECK(body.at("object") == "chat.completion");
  CHECK(body.at("model") == "tiny");
  CHECK(body.at("id").get<std::string>().starts_with("chatcmpl-"));
  const Json& usage = body.at("usage");
  CHECK(usage.at("completion_tokens") == stage.tokenizer->encode("Let me see.</think>Hello there.", SpecialTokens::Parse).size() + 1);
  CHECK(usage.at("total_tokens") == usage.at("prompt_tokens").get<int>() + usage.at("completion_tokens").get<int>());
  CHECK(usage.at("completion_tokens_details").at("reasoning_tokens") == stage.tokenizer->encode("Let me see.", SpecialTokens::AsText).size());
}

TEST_CASE("a stream joined is the whole reply: the role first, the finish reason last, then usage and [DONE]") {
  const ServerStage stage(always("Let me see.</think>Hello 😀 there."));
  const auto reply = stage.chat(with(ask("hi"), {{"stream", true}, {"stream_options", {{"include_usage", true}}}}));
  REQUIRE(reply.status == 200);
  CHECK(reply.type == "text/event-stream");
  auto events = reply.events();
  const Json usage = events.back();
  CHECK(usage.at("choices").empty());
  CHECK(usage.at("usage").at("completion_tokens").get<int>() > 5);
  events.pop_back();
  CHECK(events.front().at("choices")[0].at("delta").at("role") == "assistant");
  CHECK(events.back().at("choices")[0].at("finish_reason") == "stop");
  for (const auto& event : events) {
    CHECK(event.at("object") == "chat.completion.chunk");
    CHECK(event.at("id") == events.front().at("id"));
    CHECK(event.at("usage").is_null());
  }
  const auto joined = sample::join(events);
  CHECK(joined.role == "assistant");
  CHECK(joined.reasoning == "Let me see.");
  CHECK(joined.content == "Hello 😀 there.");
  CHECK(joined.finish == "stop");
  CHECK(stage.chat(with(ask("hi"), {{"stream", true}})).events().back().contains("usage") == false);
}

TEST_CASE("calls come parsed, with ids of their own, streaming and not") {
  const ServerStage stage(always("Two cities.</think>I look." + sample::dsml_calls(sample::dsml_call("get_weather", "city", "Paris") + sample::dsml_call("get_weather", "city", "Rome"))));
  const Json request = with(ask("weather?"), {{"tools", Json::array({sample::weather_tool()})}});
  const Json choice = only_choice(stage.chat(request));
  CHECK(choice.at("finish_reason") == "tool_calls");
  const Json& calls = choice.at("message").at("tool_calls");
  REQUIRE(calls.size() == 2);
  CHECK(calls[0].at("function").at("name") == "get_weather");
  CHECK(parse_json(calls[1].at("function").at("arguments").get<std::string>(), "arguments") == Json{{"city", "Rome"}});
  CHECK(calls[0].at("id") != calls[1].at("id"));
  CHECK(choice.at("message").at("content") == "I look.");

  const auto joined = sample::join(stage.chat(with(request, {{"stream", true}})).events());
  CHECK(joined.finish == "tool_calls");
  REQUIRE(joined.calls.size() == 2);
  CHECK(joined.calls[0].at("index") == 0);
  CHECK(joined.calls[1].at("index") == 1);
  CHECK(joined.calls[1].at("function") == calls[1].at("function"));
  CHECK(joined.calls[0].at("id") != calls[0].at("id"));
  CHECK(joined.content == "I look.");

  const Json one = only_choice(stage.chat(with(request, {{"parallel_tool_calls", false}})));
  CHECK(one.at("message").at("tool_calls").size() == 1);
  CHECK(one.at("finish_reason") == "tool_calls");
}

TEST_CASE("a conversation with calls and their results goes back in, and only tools that are offered are called") {
  std::string seen;
  const ServerStage stage([&](const std::string& prompt) {
    seen = prompt;
    return ScriptedReply{.text = "</think>It rains." + sample::dsml_calls(sample::dsml_call("get_weather", "city", "Oslo"))};
  });
  Json request = {{"messages",
                   {{{"role", "developer"}, {"content", "Be brief."}},
                    sample::user("weather?"),
                    {{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}, {"provider_specific_fields", {{"x", 1}}}, {"reasoning_content", "Hm."}, {"tool_calls", {{{"id", "c1"}, {"type", "function"}, {"function", {{"name", "get_weather"}, {"arguments", "{\"city\": \"Oslo\"}"}}}}}}},
                    {{"role", "tool"}, {"tool_call_id", "c1"}, {"content", {{{"type", "text"}, {"text", "rain, "}}, {{"type", "text"}, {"text", "7 °C"}}}}}}},
                  {"tools", Json::array({sample::weather_tool()})}};
  only_choice(stage.chat(request));
  CHECK(seen.find("Be brief.") != std::string::npos);
  CHECK(seen.find("Hm.") != std::string::npos);
  CHECK(seen.find("rain, 7 °C") != std::string::npos);
  CHECK(seen.find("Weather of a city") != std::string::npos);
  request["tool_choice"] = "none";
  const Json none = only_choice(stage.chat(request));
  CHECK(seen.find("Weather of a city") == std::string::npos);
  CHECK_FALSE(none.at("message").contains("tool_calls"));
  CHECK(none.at("finish_reason") == "stop");
}

TEST_CASE("thinking is chosen by each of the switches that clients have, and by the server's default") {
  std::string seen;
  const auto script = [&](const std::string& prompt) {
    seen = prompt;
    return ScriptedReply{.text = "So.</think>Yes."};
  };
  const ServerStage stage(script);
  const auto thinks = [](const ServerStage& on, const Json& more) {
    const Json message = only_choice(on.chat(with(ask("hi"), more))).at("message");
    return message.contains("reasoning_content");
  };
  CHECK(thinks(stage, Json::object()));
  CHECK_FALSE(thinks(stage, {{"chat_template_kwargs", {{"thinking", false}}}}));
  CHECK_FALSE(thinks(stage, {{"reasoning_effort", "none"}}));
  CHECK(thinks(stage, {{"reasoning_effort", "low"}}));
  CHECK_FALSE(thinks(stage, {{"thinking", {{"type", "disabled"}}}}));
  const ServerStage plain(script, {.service = {.name = "tiny", .mode = ThinkingMode::Chat}});
  CHECK_FALSE(thinks(plain, Json::object()));
  CHECK(thinks(plain, {{"chat_template_kwargs", {{"enable_thinking", true}}}}));
}

TEST_CASE("stop strings end the content before them, are held back in streams, and do not look at the thinking") {
  const ServerStage stage(always("one STOP two</think>alpha beta STOP gamma"));
  const Json request = with(ask("hi"), {{"stop", "STOP"}});
  const auto reply = stage.chat(request);
  CHECK(only_choice(reply).at("message").at("content") == "alpha beta ");
  CHECK(only_choice(reply).at("message").at("reasoning_content") == "one STOP two");
  CHECK(only_choice(reply).at("finish_reason") == "stop");
  const auto events = stage.chat(with(request, {{"stream", true}})).events();
  CHECK(sample::join(events).content == "alpha beta ");
  CHECK(sample::join(events).finish == "stop");
  CHECK(stage.idle_within(std::chrono::seconds(1)));
  CHECK(only_choice(stage.complete({{"prompt", "x"}, {"max_tokens", 6}, {"stop", Json::array({"xxx"})}})).at("text") == "");
}

TEST_CASE("a limit is told from an end, and no event ever holds half a character") {
  const ServerStage stage(always("</think>😀🦊é€end"));
  const auto whole = stage.tokenizer->encode("</think>😀🦊é€end", SpecialTokens::Parse).size() + 1;
  bool cut_inside = false;
  for (std::size_t most = 1; most <= whole; ++most) {
    const auto events = stage.chat(with(ask("hi"), {{"stream", true}, {"max_completion_tokens", most}})).events();
    for (const auto& event : events) CHECK(is_utf8(dump_json(event)));
    const auto joined = sample::join(events);
    CHECK(joined.finish == (most == whole ? "stop" : "length"));
    cut_inside = cut_inside || joined.content.ends_with("\uFFFD");
    CHECK(joined.content == only_choice(stage.chat(with(ask("hi"), {{"max_tokens", most}}))).at("message").at("content").get<std::string>());
  }
  CHECK(cut_inside);
}

TEST_CASE("log-probabilities name each token that was sampled, with its bytes and the most probable ones") {
  const ServerStage stage(always("</think>Hé"));
  const Json choice = only_choice(stage.chat(with(ask("hi"), {{"logprobs", true}, {"top_logprobs", 3}, {"return_token_ids", true}})));
  const Json& content = choice.at("logprobs").at("content");
  const auto ids = stage.tokenizer->encode("</think>Hé", SpecialTokens::Parse);
  REQUIRE(content.size() == ids.size() + 1);  // the end token too
  for (std::size_t i = 0; i < ids.size(); ++i) {
    CHECK(choice.at("token_ids")[i] == ids[i]);
    const std::string bytes(stage.tokenizer->token_bytes(ids[i]));
    CHECK(content[i].at("bytes").size() == bytes.size());
    CHECK(content[i].at("logprob").get<double>() <= 0);
    REQUIRE(content[i].at("top_logprobs").size() == 3);
    CHECK(content[i].at("top_logprobs")[0].at("token") == content[i].at("token"));
  }
  CHECK(only_choice(stage.chat(ask("hi"))).at("logprobs").is_null());
  std::size_t streamed = 0;
  for (const auto& event : stage.chat(with(ask("hi"), {{"logprobs", true}, {"stream", true}})).events()) {
    if (const Json& logprobs = event.at("choices")[0].at("logprobs"); !logprobs.is_null()) streamed += logprobs.at("content").size();
  }
  CHECK(streamed == content.size());
}

TEST_CASE("text completions take strings and ids, several at once, and echo a prompt with its scores") {
  const auto& golden = load_golden_case("v32-tiny");
  const ServerStage stage(std::make_unique<CpuBackend>(golden.weights, CpuBackendOptions{.threads = 2, .pages = 64}), {});
  const std::vector<std::int32_t> ids(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(golden.greedy_prompt));
  const Json greedy = {{"prompt", ids}, {"temperature", 0}, {"max_tokens", 8}, {"return_token_ids", true}, {"ignore_eos", true}};
  const Json choice = only_choice(stage.complete(greedy));
  CHECK(choice.at("token_ids") == Json(std::vector<std::int32_t>(golden.greedy.begin(), golden.greedy.begin() + 8)));
  CHECK(choice.at("finish_reason") == "length");

  const Json several = stage.complete({{"prompt", {"ab", "cd"}}, {"n", 2}, {"max_tokens", 3}, {"seed", 5}}).json();
  REQUIRE(several.at("choices").size() == 4);
  CHECK(several.at("choices")[3].at("index") == 3);
  CHECK(several.at("choices")[0].at("text") == only_choice(stage.complete({{"prompt", "ab"}, {"max_tokens", 3}, {"seed", 5}})).at("text"));

  const Json scored = only_choice(stage.complete({{"prompt", ids}, {"echo", true}, {"logprobs", 2}, {"max_tokens", 0}}));
  const Json& logprobs = scored.at("logprobs");
  REQUIRE(logprobs.at("tokens").size() == ids.size());
  CHECK(logprobs.at("token_logprobs")[0].is_null());
  CHECK(logprobs.at("top_logprobs")[0].is_null());
  CHECK(logprobs.at("text_offset").size() == ids.size());
  CHECK(logprobs.at("top_logprobs")[1].size() <= 2);
  CHECK(scored.at("text") == stage.tokenizer->decode(ids, SkipSpecial::Yes));
  // The same as the log-probabilities of generating it would be: the greedy continuation scored as a prompt.
  Json longer = ids;
  for (std::size_t i = 0; i < 4; ++i) longer.push_back(golden.greedy[i]);
  const Json as_prompt = only_choice(stage.complete({{"prompt", longer}, {"echo", true}, {"logprobs", 0}, {"max_tokens", 0}})).at("logprobs").at("token_logprobs");
  const Json as_output = only_choice(stage.complete(with(greedy, {{"logprobs", 0}}))).at("logprobs").at("token_logprobs");
  for (std::size_t i = 0; i < 4; ++i) CHECK(as_prompt[ids.size() + i].get<double>() == as_output[i].get<double>());
  CHECK(only_choice(stage.complete({{"prompt", "ab"}, {"echo", true}, {"max_tokens", 1}})).at("text").get<std::string>().starts_with("ab"));
}

TEST_CASE("a seed decides what is sampled, n gives different samples, and without a seed each request differs") {
  const auto& golden = load_golden_case("v32-tiny");
  const ServerStage stage(std::make_unique<CpuBackend>(golden.weights, CpuBackendOptions{.threads = 2, .pages = 64}), {});
  const auto text = [&](const Json& more) { return dump_json(stage.chat(with(with(ask("hi"), {{"max_tokens", 12}}), more)).json().at("choices")); };
  CHECK(text({{"seed", 4}}) == text({{"seed", 4}}));
  CHECK(text({{"seed", 4}}) != text({{"seed", 5}}));
  CHECK(text(Json::object()) != text(Json::object()));
  CHECK(text({{"seed", -4}}) == text({{"seed", -4}}));
  const Json several = stage.chat(with(ask("hi"), {{"seed", 4}, {"n", 4}, {"max_tokens", 12}})).json();
  REQUIRE(several.at("choices").size() == 4);
  CHECK(several.at("choices")[0].at("message") != several.at("choices")[1].at("message"));
  const auto events = stage.chat(with(ask("hi"), {{"seed", 4}, {"n", 4}, {"max_tokens", 12}, {"stream", true}})).events();
  for (int i = 0; i < 4; ++i) {
    const auto joined = sample::join(events, i);
    CHECK(joined.content == several.at("choices")[static_cast<std::size_t>(i)].at("message").at("content").get<std::string>());
    CHECK(joined.reasoning == several.at("choices")[static_cast<std::size_t>(i)].at("message").value("reasoning_content", ""));
  }
  CHECK(several.at("usage").at("prompt_tokens") == stage.chat(with(ask("hi"), {{"max_tokens", 1}})).json().at("usage").at("prompt_tokens"));
}

TEST_CASE("a reply that comes back keeps its ids, and the cache has its tokens") {
  const ServerStage stage(always(std::string(300, 'w')), {.service = {.name = "tiny", .mode = ThinkingMode::Chat}});
  const Json first = stage.chat(with(ask("hi"), {{"return_token_ids", true}})).json();
  auto expected = first.at("prompt_token_ids").get<std::vector<std::int32_t>>();
  const auto sampled = first.at("choices")[0].at("token_ids").get<std::vector<std::int32_t>>();
  expected.insert(expected.end(), sampled.begin(), sampled.end());
  const Json again = stage.chat({{"messages", {sample::user("hi"), first.at("choices")[0].at("message"), sample::user("more")}}, {"return_token_ids", true}}).json();
  const auto prompt = again.at("prompt_token_ids").get<std::vector<std::int32_t>>();
  REQUIRE(prompt.size() > expected.size());
  CHECK(std::equal(expected.begin(), expected.end(), prompt.begin()));
  CHECK(again.at("usage").at("prompt_tokens_details").at("cached_tokens").get<std::size_t>() == expected.size() / kPageTokens * kPageTokens);
}

TEST_CASE("text of users, tools and tool names never becomes a special token, whole or split over parts") {
  const ServerStage stage(always("</think>ok"));
  const auto prompt_ids = [&](const std::string& whole, std::size_t cut) {
    const Json parts = {{{"type", "text"}, {"text", whole.substr(0, cut)}}, {{"type", "text"}, {"text", whole.substr(cut)}}};
    const std::string call_arguments = dump_json(Json{{"city", whole}});
    const Json request = {{"return_token_ids", true},
                          {"max_tokens", 1},
                          {"tools", Json::array({sample::weather_tool("t" + whole)})},
                          {"messages",
                           {{{"role", "system"}, {"content", whole}},
                            {{"role", "user"}, {"content", parts}},
                            {{"role", "assistant"}, {"content", whole}, {"reasoning_content", whole}, {"tool_calls", {{{"id", "c"}, {"type", "function"}, {"function", {{"name", "t" + whole}, {"arguments", call_arguments}}}}}}},
                            {{"role", "tool"}, {"tool_call_id", "c"}, {"name", whole}, {"content", parts}}}}};
    const auto reply = stage.chat(request);
    REQUIRE_MESSAGE(reply.status == 200, reply.body);
    return reply.json().at("prompt_token_ids").get<std::vector<std::int32_t>>();
  };
  const auto markers_in = [&](const std::vector<std::int32_t>& ids) {
    std::map<std::int32_t, int> out;
    for (const auto id : ids) {
      if (stage.tokenizer->is_marker(id)) ++out[id];
    }
    return out;
  };
  const auto benign = markers_in(prompt_ids("plain", 2));
  CHECK_FALSE(benign.empty());
  for (const auto& token : stage.tokenizer->added_tokens()) {
    if (!token.marker) continue;
    CAPTURE(token.content);
    std::vector<std::size_t> cuts = {0, token.content.size()};
    for (std::size_t at = 1; at < token.content.size(); ++at) {
      if ((static_cast<unsigned char>(token.content[at]) & 0xC0) != 0x80) cuts.push_back(at);  // JSON holds whole characters
    }
    for (const auto cut : cuts) CHECK(markers_in(prompt_ids(token.content, cut)) == benign);
    const Json raw = stage.complete({{"prompt", token.content}, {"echo", true}, {"max_tokens", 0}, {"return_token_ids", true}}).json();
    int special = 0;
    for (const auto& id : raw.at("choices")[0].at("token_ids")) special += stage.tokenizer->is_marker(id.get<std::int32_t>()) ? 1 : 0;
    CHECK(special == 1);  // the one that begins every text
  }
  CHECK(stage.get("/metrics").body.find("gauntlet_smuggled_markers_total 0\n") == std::string::npos);
}

TEST_CASE("refusals say which member is wrong, in OpenAI's form") {
  const ServerStage stage(always("</think>ok"), {.service = {.name = "tiny"}, .http = {}, .pages = 4, .engine = {}});
  const auto refused = [&](const Json& more) {
    const auto reply = stage.chat(with(ask("hi"), more));
    CHECK(reply.json().at("error").at("message").is_string());
    return std::pair<int, Json>{reply.status, reply.json().at("error").at("param")};
  };
  using Refusal = std::pair<int, Json>;
  for (const auto& [more, param] : std::vector<std::pair<Json, std::string>>{
           {{{"n", 0}}, "n"}, {{{"n", 1'000'000'000}}, "n"}, {{{"n", -1}}, "n"}, {{{"n", 1.5}}, "n"}, {{{"max_tokens", -1}}, "max_tokens"}, {{{"max_tokens", 0}}, "max_tokens"},
           {{{"max_tokens", UINT64_MAX}}, "max_tokens"}, {{{"max_completion_tokens", "many"}}, "max_completion_tokens"}, {{{"temperature", -1}}, "temperature"}, {{{"temperature", 1e30}}, "temperature"},
           {{{"top_p", 0}}, "top_p"}, {{{"top_p", -0.5}}, "top_p"}, {{{"min_p", 2}}, "min_p"}, {{{"top_k", -5}}, "top_k"}, {{{"repetition_penalty", 0}}, "repetition_penalty"}, {{{"presence_penalty", -1e9}}, "presence_penalty"},
           {{{"stop", ""}}, "stop"}, {{{"stop", 5}}, "stop"}, {{{"stop", Json(std::vector<std::string>(100, "x"))}}, "stop"}, {{{"stop", std::string(10'000, 'x')}}, "stop"}, {{{"seed", 1.5}}, "seed"}, {{{"stream", "yes"}}, "stream"},
           {{{"top_logprobs", 5}}, "top_logprobs"}, {{{"logprobs", true}, {"top_logprobs", 1000}}, "top_logprobs"}, {{{"logit_bias", {{"5", 1}}}}, "logit_bias"}, {{{"stream_options", {{"include_usage", true}}}}, "stream_options"},
           {{{"messages", Json::array()}}, "messages"}, {{{"messages", "hi"}}, "messages"}, {{{"messages", {{{"role", "wizard"}, {"content", "x"}}}}}, "messages[0].role"}, {{{"messages", {{{"role", "user"}}}}}, "messages[0].content"},
           {{{"messages", {{{"role", "user"}, {"content", {{{"type", "image_url"}, {"image_url", {{"url", "x"}}}}}}}}}}, "messages[0].content[0].type"}, {{{"messages", {5}}}, "messages[0]"}, {{{"messages", {{{"role", "user"}, {"content", "x"}, {"contents", "y"}}}}}, "messages[0].contents"},
           {{{"tools", {{{"type", "function"}}}}}, "tools[0].function"}, {{{"tools", {sample::weather_tool(), sample::weather_tool()}}}, "tools[1].function.name"}, {{{"tool_choice", "required"}}, "tool_choice"},
           {{{"tool_choice", {{"type", "function"}, {"function", {{"name", "x"}}}}}}, "tool_choice.function.name"}, {{{"response_format", {{"type", "xml"}}}}, "response_format.type"}, {{{"reasoning_effort", "max"}}, "reasoning_effort"},
           {{{"chat_template_kwargs", {{"template", "{{ x }}"}}}}, "chat_template_kwargs.template"}, {{{"response_format", {{"type", "json_object"}, {"schema", {{"type", "object"}}}}}}, "response_format.schema"}, {{{"response_format", {{"type", "text"}, {"schema", 1}}}}, "response_format.schema"},
           {{{"response_format", {{"type", "json_schema"}, {"schema", 1}, {"json_schema", {{"schema", Json::object()}}}}}}, "response_format.schema"}, {{{"tools", {sample::weather_tool()}}, {"tool_choice", {{"type", "function"}, {"function", {{"name", "get_weather"}}}, {"mode", "x"}}}}, "tool_choice.mode"},
           {{{"tools", {sample::weather_tool()}}, {"tool_choice", {{"type", "function"}, {"function", {{"name", "get_weather"}, {"arguments", "{}"}}}}}}, "tool_choice.function.arguments"}, {{{"messages", {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "x"}, {"txt", "y"}}}}}}}}, "messages[0].content[0].txt"},
           {{{"functions", Json::array()}}, "functions"}, {{{"temprature", 1}}, "temprature"}}) {
    CAPTURE(dump_json(more).substr(0, 200));
    CHECK(refused(more) == Refusal{400, param});
  }
  CHECK(stage.chat(with(ask("hi"), {{"user", "u"}, {"metadata", {{"a", "b"}}}, {"store", false}, {"temperature", nullptr}, {"tools", nullptr}})).status == 200);
  CHECK(stage.chat({{"messages", {{{"role", "user"}, {"content", {{{"type", "text"}, {"text", "x"}, {"cache_control", {{"type", "ephemeral"}}}}}}}}}}).status == 200);
  CHECK(stage.chat(with(ask("hi"), {{"model", "gpt-4"}})).status == 404);
  CHECK(stage.chat(with(ask("hi"), {{"model", "gpt-4"}})).code() == "\"model_not_found\"");
  const auto large = stage.chat(ask(std::string(3000, 'x')));
  CHECK(large.status == 400);
  CHECK(large.code() == "\"context_length_exceeded\"");
  const auto full = only_choice(stage.complete({{"prompt", Json(std::vector<int>(200, 5))}, {"max_tokens", 1000}}));
  CHECK(full.at("finish_reason") == "length");
  CHECK(stage.complete({{"prompt", {1, 2, 999'999}}}).status == 400);
  CHECK(stage.complete({{"prompt", {1, -2}}}).status == 400);
  CHECK(stage.complete({{"prompt", Json::array()}}).status == 400);
  CHECK(stage.complete({{"prompt", {"a", 5}}}).status == 400);
  CHECK(stage.complete({{"prompt", "a"}, {"max_tokens", 0}}).status == 400);
  CHECK(stage.complete({{"prompt", "a"}, {"suffix", "b"}}).status == 400);
  CHECK(stage.complete({{"prompt", Json(std::vector<std::string>(200, "a"))}, {"n", 16}}).status == 400);
}

TEST_CASE("a conversation that does not end where a reply begins is refused") {
  const ServerStage stage(always("So.</think>ok"));
  const Json call = {{"id", "c1"}, {"type", "function"}, {"function", {{"name", "get_weather"}, {"arguments", "{}"}}}};
  const Json calls = {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call, call}}}, result = {{"role", "tool"}, {"content", "rain"}};
  const Json said = {{"role", "assistant"}, {"content", "yes"}, {"reasoning_content", "Hm."}};
  for (const bool thinking : {true, false}) {
    CAPTURE(thinking);
    const auto answer = [&](const Json& messages) { return stage.chat({{"messages", messages}, {"chat_template_kwargs", {{"thinking", thinking}}}}); };
    for (const Json& messages : {Json::array({{{"role", "system"}, {"content", "Be brief."}}}), Json::array({{{"role", "system"}, {"content", "<think>"}}}), Json::array({sample::user("hi"), said}), Json::array({sample::user("hi"), calls, result})}) {
      const auto refused = answer(messages);
      CHECK(refused.status == 400);
      CHECK(refused.json().at("error").value("param", "") == "messages");
    }
    CHECK(answer(Json::array({sample::user("hi"), calls, result, result})).status == 200);
    CHECK(answer(Json::array({sample::user("hi"), said, sample::user("")})).status == 200);
  }
}

TEST_CASE("results answer the calls whose ids they name, in whatever order they come") {
  std::string seen;
  const ServerStage stage([&](const std::string& prompt) {
    seen = prompt;
    return ScriptedReply{.text = "So.</think>ok"};
  });
  const auto call = [](const char* id, const char* city) {
    return Json{{"id", id}, {"type", "function"}, {"function", {{"name", "get_weather"}, {"arguments", dump_json(Json{{"city", city}})}}}};
  };
  const auto result = [](const char* id, const char* content) { return Json{{"role", "tool"}, {"tool_call_id", id}, {"content", content}}; };
  const Json calls = {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call("cA", "Oslo"), call("cB", "Rome")}}};
  const auto answer = [&](const Json& messages) { return stage.chat({{"messages", messages}}); };
  CHECK(answer({sample::user("hi"), calls, result("cB", "sun in Rome"), result("cA", "snow in Oslo")}).status == 200);
  const std::string swapped = seen;
  CHECK(answer({sample::user("hi"), calls, result("cA", "snow in Oslo"), result("cB", "sun in Rome")}).status == 200);
  CHECK(seen == swapped);
  const auto refused = answer({sample::user("hi"), calls, result("cA", "snow"), result("cA", "sun"), sample::user("and now?")});
  CHECK(refused.status == 400);
  CHECK(refused.json().at("error").at("param") == "messages[3].tool_call_id");
  CHECK(answer({sample::user("hi"), calls, result("cA", "snow"), result("invented", "sun")}).status == 400);
  CHECK(answer({sample::user("hi"), calls, result("cA", "snow"), sample::user("and now?")}).status == 400);
}

TEST_CASE("requests made for vLLM are served where they ask for what is done anyway") {
  const ServerStage stage(always("So.</think>ok"));
  const Json neutral = {{"skip_special_tokens", true}, {"include_stop_str_in_output", false}, {"min_tokens", 0}, {"truncate_prompt_tokens", -1}, {"priority", 2}, {"structured_outputs", nullptr}};
  CHECK(stage.chat(with(ask("hi"), neutral)).status == 200);
  CHECK(stage.complete({{"prompt", "a"}, {"skip_special_tokens", true}, {"priority", 0}, {"echo", true}, {"add_special_tokens", false}}).status == 200);
  CHECK(stage.chat(with(ask("hi"), {{"min_tokens", 3}})).json().at("error").at("param") == "min_tokens");
  CHECK(stage.complete({{"prompt", "a"}, {"skip_special_tokens", false}}).status == 400);
  CHECK(stage.post("/v1/chat/completions", {{"mesages", {sample::user("hi")}}}).json().at("error").at("param") == "mesages");
}

/// Lets through a fixed token and then the end.
class OneToken : public TokenConstraint {
 public:
  OneToken(std::int32_t id, std::int32_t end, std::size_t vocab) : ids_{id, end}, mask_((vocab + 63) / 64) {}
  TokenMask mask() override {
    std::fill(mask_.begin(), mask_.end(), 0);
    const auto id = static_cast<std::size_t>(ids_[std::min<std::size_t>(at_, 1)]);
    mask_[id / 64] = 1ULL << (id % 64);
    return mask_;
  }
  void accept(std::int32_t) override { ++at_; }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<OneToken>(*this); }

 private:
  std::vector<std::int32_t> ids_;
  std::vector<std::uint64_t> mask_;
  std::size_t at_ = 0;
};

TEST_CASE("replies of a given form are asked of the constraint maker, and refused where there is none") {
  const Json tools = Json::array({sample::weather_tool(), sample::weather_tool("other")});
  const Json schema = {{"type", "object"}};
  const std::vector<Json> wishes = {{{"response_format", {{"type", "json_object"}}}},
                                    {{"response_format", {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", schema}, {"strict", true}}}}}},
                                    {{"tools", tools}, {"tool_choice", "required"}},
                                    {{"tools", tools}, {"tool_choice", {{"type", "function"}, {"function", {{"name", "other"}}}}}, {"parallel_tool_calls", false}}};
  const ServerStage without(always("</think>ok"));
  for (const auto& wish : wishes) {
    const auto reply = without.chat(with(ask("hi"), wish));
    CHECK(reply.status == 400);
    CHECK(reply.body.find("not supported by this server") != std::string::npos);
  }
  std::vector<ConstraintWish> seen;
  const auto tokenizer = sample::golden_tokenizer();
  const auto make = [&](const ConstraintWish& wish) -> std::unique_ptr<TokenConstraint> {
    seen.push_back(wish);
    require(wish.kind != ConstraintWish::Kind::JsonSchema || !wish.schema.contains("bad"), ErrorKind::Input, "the schema is bad");
    return std::make_unique<OneToken>(tokenizer->encode("Z", SpecialTokens::AsText).front(), tokenizer->find_id("<｜end▁of▁sentence｜>"), tokenizer->vocab_size());
  };
  const ServerStage stage(always("</think>ok"), {.service = {.name = "tiny", .mode = ThinkingMode::Chat, .constraints = make}});
  for (const auto& wish : wishes) CHECK(only_choice(stage.chat(with(ask("hi"), wish))).at("message").at("content") == "Z");
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].kind == ConstraintWish::Kind::JsonObject);
  CHECK(seen[1].schema == schema);
  CHECK(seen[2].kind == ConstraintWish::Kind::ToolCalls);
  CHECK(seen[2].tools->size() == 2);
  CHECK(seen[2].tool.empty());
  CHECK(seen[2].parallel);
  CHECK(seen[3].tool == "other");
  CHECK_FALSE(seen[3].parallel);
  CHECK(seen[3].mode == ThinkingMode::Chat);
  const auto bad = stage.chat(with(ask("hi"), {{"response_format", {{"type", "json_schema"}, {"json_schema", {{"name", "x"}, {"schema", {{"bad", 1}}}}}}}}));
  CHECK(bad.status == 400);
  CHECK(bad.json().at("error").at("param") == "response_format");
}

TEST_CASE("a text that cannot fit is refused before it is tokenised, and no grammar is compiled for a prompt without room") {
  int made = 0;
  const auto make = [&](const ConstraintWish&) -> std::unique_ptr<TokenConstraint> {
    ++made;
    return nullptr;
  };
  const ServerStage stage(always("</think>ok"), {.service = {.name = "tiny", .constraints = make}, .pages = 4});
  std::string many;
  for (int i = 0; i < 400; ++i) many += "hi ";
  CHECK(stage.codec->least_ids(many.size()) < 256);
  CHECK(stage.tokenizer->encode(many, SpecialTokens::AsText).size() > 256);
  for (const auto& [text, untried] : {std::pair{std::string(1'000'000, 'x'), true}, std::pair{many, false}}) {
    const auto chat = stage.chat(with(ask(text), {{"response_format", {{"type", "json_object"}}}})), completion = stage.complete({{"prompt", text}});
    for (const auto* reply : {&chat, &completion}) {
      CHECK(reply->status == 400);
      CHECK(reply->code() == "\"context_length_exceeded\"");
      CHECK((reply->body.find("the prompt has at least") != std::string::npos) == untried);
    }
  }
  CHECK(made == 0);
  CHECK(stage.chat(with(ask("hi"), {{"response_format", {{"type", "json_object"}}}})).status == 200);
  CHECK(made == 1);
}

TEST_CASE("what fails after the headers is an event of the stream") {
  const ServerStage stage(always("</think>ok"), {.service = {.name = "tiny", .constraints = [](const ConstraintWish&) -> std::unique_ptr<TokenConstraint> {
                                                   return std::make_unique<OneToken>(100'000'000, 0, 100'000'001);  // allows nothing that exists
                                                 }}});
  const Json request = with(ask("hi"), {{"response_format", {{"type", "json_object"}}}});
  const auto whole = stage.chat(request);
  CHECK(whole.status == 500);
  CHECK(whole.json().at("error").at("type") == "server_error");
  const auto streamed = stage.chat(with(request, {{"stream", true}}));
  CHECK(streamed.status == 200);
  CHECK(streamed.events().back().at("error").at("type") == "server_error");
}

/// Finds out while decoding that the wish costs too much.
class TooMuch : public TokenConstraint {
 public:
  TokenMask mask() override { fail(ErrorKind::Usage, "the grammar is too ambiguous"); }
  void accept(std::int32_t) override {}
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<TooMuch>(); }
};

TEST_CASE("a form that takes too much work is the client's mistake, also when decoding finds it") {
  const ServerStage stage(always("</think>ok"), {.service = {.name = "tiny", .constraints = [](const ConstraintWish&) -> std::unique_ptr<TokenConstraint> { return std::make_unique<TooMuch>(); }}});
  const auto format = stage.chat(with(ask("hi"), {{"response_format", {{"type", "json_object"}}}}));
  CHECK(format.status == 400);
  CHECK(format.json().at("error").at("param") == "response_format");
  CHECK(format.json().at("error").at("message") == "response_format: the grammar is too ambiguous");
  const auto tools = stage.chat(with(ask("hi"), {{"tools", Json::array({sample::weather_tool()})}, {"tool_choice", "required"}}));
  CHECK(tools.status == 400);
  CHECK(tools.json().at("error").at("param") == "tools");
}

TEST_CASE("models, health and metrics answer") {
  const ServerStage stage(always("</think>ok"));
  const Json models = stage.get("/v1/models").json();
  REQUIRE(models.at("data").size() == 1);
  CHECK(models.at("data")[0].at("id") == "tiny");
  CHECK(stage.get("/v1/models/tiny").json() == models.at("data")[0]);
  CHECK(stage.get("/v1/models/other").status == 404);
  CHECK(stage.get("/health").json() == Json{{"status", "ok"}});
  stage.chat(ask("hi"));
  const auto metrics = stage.get("/metrics");
  CHECK(metrics.type.starts_with("text/plain"));
  CHECK(metrics.body.find("gauntlet_http_requests_total{endpoint=\"/v1/chat/completions\",status=\"200\"} 1\n") != std::string::npos);
  CHECK(metrics.body.find("gauntlet_active_requests 0\n") != std::string::npos);
}

}  // namespace
}  // namespace gauntlet
