// 10,000 mutated tool calls and 10,000 mutated chat texts through the whole loop, on a real world: each is answered, and whatever the model
// said can be stored and sent on.

#include <doctest/doctest.h>

#include <algorithm>

#include "agent/chat_format.h"
#include "agent/openai_wire.h"
#include "agent/rollout.h"
#include "agent/scripted_model.h"
#include "agent/trip_stage.h"
#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

constexpr int kWanted = 10'000;

/// Values that have broken parsers.
const std::vector<std::string> kValues = {"NaN", "Infinity", "1e999", "-0", "9007199254740993", std::string(400, '9'), "null", "true", "[]", "{}", "\"\\ud800\"", "\"\\u0000\"",
                                          "\"\xff\"", "\"\xef\xbd\"", "'Hangzhou'", "\"Hangzhou\"", "[\"price\", \"rating\"]", "[[[[]]]]", "1.5", "-1", "\"2025-10-01\"", "\"2025-13-45\"",
                                          "\"'; DROP TABLE hotel; --\"", "\"</think>\"", "\"<｜DSML｜function_calls>\"", "\"" + std::string(3000, 'x') + "\""};
const std::vector<std::string> kPieces = {"{", "}", "[", "]", ",", ":", "\"", "\\", "\xef\xbb\xbf", "\xff", "\n", "//", "/*", "{\"city\": 1}", "\"city\"", "nul", "\t", "\x01", "\\u12"};

std::string mutated(Rng& rng, std::string text) {
  for (std::uint64_t n = 1 + rng.below(3); n > 0; --n) {
    const std::size_t at = rng.below(text.size() + 1);
    switch (rng.below(4)) {
      case 0: text.erase(at, rng.below(8)); break;
      case 1: text.insert(at, rng.pick(kPieces)); break;
      case 2: text.resize(at); break;
      default: if (at < text.size()) text[at] = static_cast<char>(rng.below(256)); break;
    }
  }
  return text;
}

std::string object_of(Rng& rng, const ToolSpec& tool) {
  const Json properties = tool.parameters.value("properties", Json::object());
  std::string out = "{";
  for (const auto& item : properties.items()) {
    if (rng.chance(100'000)) continue;
    for (std::uint64_t times = rng.chance(50'000) ? 2 : 1; times > 0; --times) out += (out.size() > 1 ? ", \"" : "\"") + item.key() + "\": " + rng.pick(kValues);
  }
  if (rng.chance(100'000)) out += std::string(out.size() > 1 ? ", " : "") + "\"more\": " + rng.pick(kValues);
  return out + "}";
}

std::string arguments_of(Rng& rng, const ToolSpec& tool) {
  switch (rng.below(20)) {
    case 0: return "";
    case 1: return rng.pick(kValues);
    case 2: return std::string(100'000, '[');
    case 3: return R"({"city":)" + std::string(5'000, '{');
    case 4: return object_of(rng, tool) + object_of(rng, tool);
    case 5: return object_of(rng, tool);
    default: return mutated(rng, object_of(rng, tool));
  }
}

/// Now and then not quite one of the tools; never one that ends the episode.
std::pair<std::string, std::string> call_of(Rng& rng, const std::vector<ToolSpec>& tools) {
  const ToolSpec& tool = tools[rng.below(tools.size() - 1)];
  std::string name = tool.name;
  if (rng.chance(100'000)) name = mutated(rng, name);
  if (rng.chance(20'000)) name = rng.pick(kValues);
  return {name, arguments_of(rng, tool)};
}

/// Every call of the last assistant message has its result, in order, and each result is JSON; gives their number.
int check_answered(const std::vector<Message>& messages) {
  std::size_t last = messages.size();
  while (last > 0 && messages[last - 1].role != Role::Assistant) --last;
  if (last == 0) return 0;
  const auto& asked = messages[last - 1].tool_calls;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    REQUIRE(last + i < messages.size());
    CHECK(messages[last + i].tool_call_id == asked[i].id);
    CHECK_NOTHROW(parse_json(messages[last + i].content, "a result"));
  }
  return static_cast<int>(asked.size());
}

/// What a server would be sent: JSON in which every call has a name and an object.
void check_sendable(const ChatRequest& request) {
  const Json body = parse_json(dump_json(chat_request_to_json(request, {.model = "m"})), "the request");
  for (const Json& message : body.at("messages")) {
    for (const Json& call : message.value("tool_calls", Json::array())) {
      CHECK_FALSE(call.at("function").at("name").get<std::string>().empty());
      CHECK(parse_json(call.at("function").at("arguments").get<std::string>(), "arguments").is_object());
    }
  }
}

EpisodeSetup long_setup(const TripStage& stage) {
  EpisodeSetup setup = stage.setup();
  setup.limits = {.max_steps = 120, .max_malformed_in_a_row = 1'000};
  return setup;
}

}  // namespace

TEST_CASE("10,000 mutated tool calls are all answered, and the episodes end by their limits") {
  const TripStage stage;
  const CancelFlag cancel{false};
  Rng rng(20'260'404);
  int made = 0, answered = 0, refused = 0, understood = 0;
  while (made < kWanted) {
    ScriptedModel model([&](const ChatRequest& request, const CancelFlag&) {
      answered += check_answered(request.messages);
      std::vector<std::pair<std::string, std::string>> list;
      for (std::uint64_t n = 1 + rng.below(3); n > 0; --n) list.push_back(call_of(rng, *request.tools));
      made += static_cast<int>(list.size());
      return calls(std::move(list));
    });
    const Episode episode = run_episode(model, long_setup(stage), cancel);
    answered += check_answered(episode.messages);
    CHECK(episode.stop == StopReason::StepLimit);
    CHECK(episode.score.scored);
    refused += episode.tool_errors;
    understood += episode.tool_calls - episode.tool_errors;
    check_sendable({.messages = episode.messages, .tools = stage.tools});
  }
  CHECK(answered == made);
  CHECK(refused > made / 2);
  CHECK(understood > made / 100);
  MESSAGE(made << " calls: " << refused << " refused with a reason, " << understood << " run");
}

TEST_CASE("10,000 mutated completions of a model that writes the DeepSeek format are all answered") {
  const TripStage stage;
  const CancelFlag cancel{false};
  const Json tools = tools_to_json(*stage.tools);
  Rng rng(20'260'505);
  int made = 0, ran = 0, told = 0, ended = 0;
  while (made < kWanted) {
    ScriptedModel model([&](const ChatRequest& request, const CancelFlag&) {
      check_answered(request.messages);
      ChatReply written = calls({}, "because");
      for (std::uint64_t n = 1 + rng.below(2); n > 0; --n) {
        const ToolSpec& tool = (*request.tools)[rng.below(request.tools->size() - 1)];
        Json arguments = Json::object();
        const Json properties = tool.parameters.value("properties", Json::object());
        for (const auto& item : properties.items()) arguments[item.key()] = rng.chance(500'000) ? Json("Hangzhou") : Json::array({"price"});
        written.message.tool_calls.push_back({.id = "", .name = tool.name, .arguments = dump_json(arguments)});
      }
      ChatPrompt prompt;
      prompt.context = Json::parse(R"([{"role": "user", "content": "q"}])");
      prompt.messages = Json::array({chat_message_json(written.message)});
      const ChatParse parse = parse_chat_lenient(mutated(rng, encode_chat(prompt).text()), request.mode, tools);
      ++made;
      ChatReply reply;
      reply.message = parse.message;
      if (!parse.problems.empty()) reply.malformed_call = parse.problems.front();
      return reply;
    });
    const Episode episode = run_episode(model, long_setup(stage), cancel);
    check_answered(episode.messages);
    CHECK((episode.stop == StopReason::StepLimit || episode.stop == StopReason::Answered));
    CHECK(episode.score.scored);
    ran += episode.tool_calls;
    told += episode.malformed_calls;
    ended += episode.stop == StopReason::Answered ? 1 : 0;
    check_sendable({.messages = episode.messages, .tools = stage.tools});
    ChatPrompt again;
    again.messages = Json::array();
    for (const Message& message : episode.messages) again.messages.push_back(to_json(message));
    if (again.messages.back().at("role") == "assistant") again.messages.erase(again.messages.size() - 1);
    CHECK_FALSE(encode_chat(again).error.has_value());
  }
  CHECK(ran > made / 4);
  CHECK(told > made / 10);
  MESSAGE(made << " completions: " << ran << " calls run, " << told << " faults told to the model, " << ended << " taken as the answer");
}

}  // namespace gauntlet
