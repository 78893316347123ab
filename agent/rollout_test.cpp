#include "agent/rollout.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "agent/chat_format.h"
#include "agent/scripted_model.h"
#include "agent/trip_stage.h"
#include "core/error.h"

namespace gauntlet {
namespace {

const std::pair<std::string, std::string> kCities = {"get_all_cities", "{}"};

Episode play(ChatModel& model, EpisodeSetup setup) {
  const CancelFlag cancel{false};
  return run_episode(model, std::move(setup), cancel);
}

Episode play(std::vector<ScriptedModel::Step> steps, EpisodeSetup setup) {
  ScriptedModel model(std::move(steps));
  return play(model, std::move(setup));
}

ChatReply with_usage(ChatReply reply, Usage usage) {
  reply.usage = usage;
  return reply;
}

std::size_t count_role(const Episode& episode, Role role) {
  return static_cast<std::size_t>(std::count_if(episode.messages.begin(), episode.messages.end(), [&](const Message& m) { return m.role == role; }));
}

std::string error_code(const Message& result) { return parse_json(result.content, "result").at("error").at("code"); }

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("an episode records its place, its messages in order, its answer and its score") {
  const TripStage stage;
  const Episode episode = play({calls({kCities}, "look"), calls({submit("right")}, "hand in")}, stage.setup("Go."));
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.answer == "right");
  CHECK(episode.score.scored);
  CHECK(episode.score.value == 1.0);
  CHECK(episode.run_id == "r");
  CHECK(episode.task_id == "t");
  CHECK(episode.sample == 2);
  CHECK(episode.attempt == 1);
  CHECK(episode.seed == 7);
  CHECK(episode.started_unix_ms > 0);
  REQUIRE(episode.messages.size() == 6);
  CHECK(episode.messages[0].content == "Use the tools.");
  CHECK(episode.messages[1].content == "Go.");
  CHECK(episode.messages[2].reasoning == "look");
  CHECK(episode.messages[3].tool_call_id == episode.messages[2].tool_calls[0].id);
  CHECK(episode.messages[3].tool_name == "get_all_cities");
  CHECK(parse_json(episode.messages[3].content, "result").is_array());
  CHECK(episode.messages[5].tool_name == "submit_result");
  CHECK(episode.steps == 2);
  CHECK(episode.tool_calls == 2);
  CHECK(episode.tool_errors == 0);
}

TEST_CASE("without a system prompt there is no system message") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.system_prompt.clear();
  CHECK(play({say("No.")}, std::move(setup)).messages[0].role == Role::User);
}

TEST_CASE("an answer in text without submitting ends the episode, scored as no answer") {
  const TripStage stage;
  const Episode episode = play({say("The plan is right.")}, stage.setup());
  CHECK(episode.stop == StopReason::Answered);
  CHECK_FALSE(episode.answer.has_value());
  CHECK(episode.score.scored);
  CHECK(episode.score.value == 0.0);
}

TEST_CASE("the first submission ends the episode, and calls after it in the same message are not run") {
  const TripStage stage;
  const Episode episode = play({calls({submit("right"), submit("wrong"), kCities}), calls({submit("late")})}, stage.setup());
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.answer == "right");
  CHECK(episode.tool_calls == 1);
  CHECK(episode.steps == 1);
}

TEST_CASE("a submission that cannot be read is refused, and the next one counts") {
  const TripStage stage;
  const Episode episode = play({calls({{"submit_result", "{\"answer_text\": "}}), calls({{"submit_result", R"({"answer": "x"})"}}), calls({submit("right")})}, stage.setup());
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.tool_errors == 2);
  CHECK(episode.answer == "right");
}

TEST_CASE("parallel calls are run in order and answered one by one") {
  const TripStage stage;
  ScriptedModel model({calls({kCities, {"get_all_hotels_by_city", R"({"city": "nowhere"})"}, kCities})});
  const Episode episode = play(model, stage.setup());
  REQUIRE(count_role(episode, Role::Tool) == 3);
  const auto& asked = episode.messages[2].tool_calls;
  for (std::size_t i = 0; i < 3; ++i) CHECK(episode.messages[3 + i].tool_call_id == asked[i].id);
  CHECK(episode.messages[3].content == episode.messages[5].content);
  CHECK(episode.tool_errors == 1);
  REQUIRE(model.seen().size() == 2);
  CHECK(model.seen()[1].messages.size() == 6);
}

TEST_CASE("every call of an episode has an id of its own, whatever the model sends") {
  const TripStage stage;
  ChatReply twice = calls({kCities, kCities});
  for (auto& call : twice.message.tool_calls) call.id = "call_0";
  const Episode episode = play({twice, twice, calls({kCities})}, stage.setup());
  std::vector<std::string> ids;
  for (const auto& message : episode.messages) {
    for (const auto& call : message.tool_calls) ids.push_back(call.id);
  }
  REQUIRE(ids.size() == 5);
  CHECK(ids[0] == "call_0");
  std::sort(ids.begin(), ids.end());
  CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE("an unknown tool, unreadable arguments and a refused value are shown to the model, and the episode goes on") {
  const TripStage stage;
  ScriptedModel model({calls({{"fly_away", "{}"}}), calls({{"get_all_hotels_by_city", "{\"city\": "}}), calls({{"get_all_hotels_by_city", R"({"city": "Atlantis"})"}}),
                       calls({submit("right")})});
  const Episode episode = play(model, stage.setup());
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.tool_errors == 3);
  REQUIRE(model.seen().size() == 4);
  CHECK(error_code(model.seen()[1].messages.back()) == "unknown_tool");
  CHECK(error_code(model.seen()[2].messages.back()) == "malformed_arguments");
  CHECK(contains(model.seen()[3].messages.back().content, "Atlantis"));
}

TEST_CASE("a call that could not be parsed is told to the model, which may write it again") {
  const TripStage stage;
  ScriptedModel model({malformed("the block has no end"), calls({submit("right")})});
  const Episode episode = play(model, stage.setup());
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.malformed_calls == 1);
  REQUIRE(model.seen().size() == 2);
  CHECK(model.seen()[1].messages.back().role == Role::User);
  CHECK(contains(model.seen()[1].messages.back().content, "the block has no end"));
}

TEST_CASE("calls that could be read are run although another of the message could not, and the model is told") {
  const TripStage stage;
  ChatReply mixed = calls({kCities});
  mixed.malformed_call = "the second call has no name";
  ScriptedModel model({mixed});
  const Episode episode = play(model, stage.setup());
  CHECK(episode.tool_calls == 1);
  CHECK(episode.malformed_calls == 1);
  REQUIRE(model.seen().size() == 2);
  const auto& messages = model.seen()[1].messages;
  CHECK(messages[3].role == Role::Tool);
  CHECK(contains(messages[4].content, "the second call has no name"));
}

TEST_CASE("malformed calls end an episode when they come in a row, not when they are spread") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_malformed_in_a_row = 2;
  const Episode spread = play({malformed("a"), calls({kCities}), malformed("b"), calls({submit("right")})}, std::move(setup));
  CHECK(spread.stop == StopReason::Submitted);
  setup = stage.setup();
  setup.limits.max_malformed_in_a_row = 2;
  const Episode in_a_row = play({malformed("a"), malformed("b"), calls({submit("right")})}, std::move(setup));
  CHECK(in_a_row.stop == StopReason::MalformedLimit);
  CHECK(in_a_row.steps == 2);
  CHECK(in_a_row.score.scored);
  CHECK(in_a_row.score.value == 0.0);
}

TEST_CASE("the step limit lets exactly so many replies through") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_steps = 3;
  const Episode episode = play(std::vector<ScriptedModel::Step>(9, calls({kCities})), std::move(setup));
  CHECK(episode.stop == StopReason::StepLimit);
  CHECK(episode.steps == 3);
  CHECK(episode.score.scored);
  setup = stage.setup();
  setup.limits.max_steps = 3;
  CHECK(play({calls({kCities}), calls({kCities}), calls({submit("right")})}, std::move(setup)).stop == StopReason::Submitted);
}

TEST_CASE("the tool call limit lets exactly so many calls through, also inside one message") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_tool_calls = 4;
  const Episode episode = play(std::vector<ScriptedModel::Step>(9, calls({kCities, kCities, kCities})), std::move(setup));
  CHECK(episode.stop == StopReason::ToolCallLimit);
  CHECK(episode.tool_calls == 4);
  CHECK(count_role(episode, Role::Tool) == 4);
  setup = stage.setup();
  setup.limits.max_tool_calls = 2;
  CHECK(play({calls({kCities, submit("right")})}, std::move(setup)).stop == StopReason::Submitted);
}

TEST_CASE("calls of one message beyond the limit are answered with an error, and the episode goes on") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_calls_per_message = 2;
  const Episode episode = play({calls({kCities, kCities, kCities}), calls({submit("right")})}, std::move(setup));
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(episode.tool_errors == 1);
  CHECK(error_code(episode.messages[5]) == "too_many_calls");
}

TEST_CASE("the token limit counts completion tokens, and a reply is never allowed more than what is left") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_completion_tokens = 100;
  setup.sampling.max_tokens = 80;
  const ChatReply reply = with_usage(calls({kCities}), {.prompt_tokens = 1000, .completion_tokens = 70});
  const ChatReply rest = with_usage(calls({kCities}), {.prompt_tokens = 1000, .completion_tokens = 30});
  ScriptedModel model({reply, rest, rest});
  const Episode episode = play(model, std::move(setup));
  CHECK(episode.stop == StopReason::TokenLimit);
  CHECK(episode.steps == 2);
  CHECK(episode.usage.completion_tokens == 100);
  CHECK(model.seen()[0].sampling.max_tokens == 80);
  CHECK(model.seen()[1].sampling.max_tokens == 30);
}

TEST_CASE("a reply cut off at its length without a call ends by the token limit") {
  const TripStage stage;
  ChatReply cut = say("The hotels are");
  cut.finish = FinishReason::Length;
  CHECK(play({cut}, stage.setup()).stop == StopReason::TokenLimit);
  cut.finish = FinishReason::ContextFull;
  CHECK(play({cut}, stage.setup()).stop == StopReason::ContextLimit);
}

TEST_CASE("cost is summed by the prices given, and its limit ends the episode once it is reached") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.prices = {.prompt = 2.0, .completion = 10.0};
  setup.limits.max_cost = 0.24;
  const ChatReply reply = with_usage(calls({kCities}), {.prompt_tokens = 10'000, .completion_tokens = 10'000, .reasoning_tokens = 5, .cached_tokens = 9});
  const Episode episode = play(std::vector<ScriptedModel::Step>(9, reply), std::move(setup));
  CHECK(episode.stop == StopReason::CostLimit);
  CHECK(episode.steps == 2);
  CHECK(episode.cost == doctest::Approx(0.24));
  CHECK(episode.usage == Usage{.prompt_tokens = 20'000, .completion_tokens = 20'000, .reasoning_tokens = 10, .cached_tokens = 18});
}

TEST_CASE("the time limit ends an episode between replies, unscored: time is the machine's, not the agent's") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_wall_ms = 0;
  const Episode episode = play({calls({submit("right")})}, std::move(setup));
  CHECK(episode.stop == StopReason::TimeLimit);
  CHECK(episode.steps == 0);
  CHECK_FALSE(episode.score.scored);
  CHECK(episode.fault_class == "out_of_time");
  CHECK(episode.score.unscored_reason == "time_limit: the episode's 0 s passed between two replies");
}

TEST_CASE("a limit of the agent's own that is met together with the time limit is what ends the episode") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.prices = {.prompt = 1.0};
  setup.limits.max_cost = 1.0;
  setup.limits.max_wall_ms = 1;
  ScriptedModel slow([](const ChatRequest& request, const CancelFlag&) {
    while (std::chrono::steady_clock::now() < request.deadline) {
    }
    return with_usage(calls({kCities}), {.prompt_tokens = 1'000'000});
  });
  CHECK(play(slow, std::move(setup)).stop == StopReason::CostLimit);
}

TEST_CASE("a reply that was still arriving at the deadline is the time limit; silence until the deadline is a fault of the model") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.limits.max_wall_ms = 30;
  const Episode late = play({ModelFault(FaultClass::OutOfTime, "still arriving")}, std::move(setup));
  CHECK(late.stop == StopReason::TimeLimit);
  CHECK(late.fault_message == "the episode's 0.03 s passed; still arriving");
  CHECK_FALSE(late.score.scored);
  ScriptedModel silent([](const ChatRequest& request, const CancelFlag&) -> ChatReply {
    while (std::chrono::steady_clock::now() < request.deadline) {
    }
    throw ModelFault(FaultClass::Timeout, "nothing came");
  });
  setup = stage.setup();
  setup.limits.max_wall_ms = 30;
  const Episode episode = play(silent, std::move(setup));
  CHECK(episode.stop == StopReason::ModelFault);
  CHECK(episode.fault_class == "timeout");
  CHECK_FALSE(episode.score.scored);
}

TEST_CASE("a time-out after steps that used most of the time is the time limit") {
  const TripStage stage;
  ScriptedModel slow([](const ChatRequest& request, const CancelFlag&) -> ChatReply {
    const bool first = request.messages.size() == 2;
    const auto until = first ? request.deadline - std::chrono::milliseconds(10) : request.deadline;
    while (std::chrono::steady_clock::now() < until) {
    }
    if (first) return calls({kCities});
    throw ModelFault(FaultClass::Timeout, "nothing came");
  });
  EpisodeSetup setup = stage.setup();
  setup.limits.max_wall_ms = 100;
  const Episode episode = play(slow, std::move(setup));
  CHECK(episode.stop == StopReason::TimeLimit);
  CHECK(episode.fault_class == "out_of_time");
  CHECK_FALSE(episode.score.scored);
}

TEST_CASE("a prompt that no longer fits ends by the context limit, scored, with what the endpoint said") {
  const TripStage stage;
  const Episode episode = play({calls({kCities}), ModelFault(FaultClass::ContextLength, "too long")}, stage.setup());
  CHECK(episode.stop == StopReason::ContextLimit);
  CHECK(episode.fault_class == "context_length");
  CHECK(episode.fault_message == "too long");
  CHECK(episode.score.scored);
}

TEST_CASE("a task whose own prompt does not fit is a fault, for no reply has ever come") {
  const TripStage stage;
  const Episode episode = play({ModelFault(FaultClass::ContextLength, "too long")}, stage.setup());
  CHECK(episode.stop == StopReason::ModelFault);
  CHECK(episode.fault_class == "context_length");
  CHECK(episode.score.unscored_reason == "model_fault: too long");
}

TEST_CASE("a reply that the provider withheld is a fault, whatever came of it") {
  const TripStage stage;
  for (ChatReply withheld : {say(""), say("The plan"), calls({submit("right")})}) {
    withheld.finish = FinishReason::ContentFilter;
    const Episode episode = play({calls({kCities}), withheld}, stage.setup());
    CHECK(episode.stop == StopReason::ModelFault);
    CHECK(episode.fault_class == "rejected");
    CHECK(contains(episode.fault_message, "content_filter"));
    CHECK_FALSE(episode.score.scored);
    CHECK(episode.messages.back().content == withheld.message.content);
  }
}

TEST_CASE("faults of the model are typed, keep what was said before, and are never judged") {
  const TripStage stage;
  for (const FaultClass fault : {FaultClass::Connection, FaultClass::Timeout, FaultClass::RateLimited, FaultClass::Server, FaultClass::Rejected, FaultClass::Protocol}) {
    EpisodeSetup setup = stage.setup();
    bool judged = false;
    setup.judge = [&](const std::optional<std::string>&) {
      judged = true;
      return Score{};
    };
    const Episode episode = play({calls({kCities}), ModelFault(fault, "why")}, std::move(setup));
    CHECK(episode.stop == StopReason::ModelFault);
    CHECK(episode.fault_class == fault_name(fault));
    CHECK(episode.fault_message == "why");
    CHECK_FALSE(judged);
    CHECK_FALSE(episode.score.scored);
    CHECK(episode.score.unscored_reason == "model_fault: why");
    CHECK(episode.messages.size() == 4);
  }
}

TEST_CASE("an exception of another kind out of a model is a protocol fault, not the end of the program") {
  const TripStage stage;
  ScriptedModel broken([](const ChatRequest&, const CancelFlag&) -> ChatReply { throw std::out_of_range("index 7"); });
  const Episode episode = play(broken, stage.setup());
  CHECK(episode.stop == StopReason::ModelFault);
  CHECK(episode.fault_class == "protocol");
  CHECK(contains(episode.fault_message, "index 7"));
}

TEST_CASE("a cancelled episode is unscored, before the first request and in the middle of one") {
  const TripStage stage;
  CancelFlag cancel{true};
  ScriptedModel never({say("Hi")});
  CHECK(run_episode(never, stage.setup(), cancel).stop == StopReason::Cancelled);
  CHECK(never.seen().empty());
  const Episode episode = play({ModelFault(FaultClass::Cancelled, "gave up")}, stage.setup());
  CHECK(episode.stop == StopReason::Cancelled);
  CHECK_FALSE(episode.score.scored);
}

TEST_CASE("a judge that fails leaves the episode unscored, not failed") {
  const TripStage stage;
  EpisodeSetup setup = stage.setup();
  setup.judge = [](const std::optional<std::string>&) -> Score { fail(ErrorKind::Infrastructure, "no verifier"); };
  const Episode episode = play({calls({submit("right")})}, std::move(setup));
  CHECK(episode.stop == StopReason::Submitted);
  CHECK_FALSE(episode.score.scored);
  CHECK(episode.score.unscored_reason == "verifier fault: no verifier");
}

TEST_CASE("token traces are kept as they came, one for each reply") {
  const TripStage stage;
  ChatReply first = calls({kCities});
  first.tokens = {.prompt_ids = {1, 2}, .ids = {3, 4}, .logprobs = {-0.5F, -0.25F}};
  const Episode episode = play({first, calls({submit("right")})}, stage.setup());
  REQUIRE(episode.tokens.size() == 2);
  CHECK(episode.tokens[0].prompt_ids == std::vector<std::int32_t>{1, 2});
  CHECK(episode.tokens[0].ids == std::vector<std::int32_t>{3, 4});
  CHECK(episode.tokens[0].logprobs == std::vector<float>{-0.5F, -0.25F});
  CHECK(episode.tokens[1].ids.empty());
}

TEST_CASE("what a model says is valid UTF-8 in the record, whatever bytes came") {
  const TripStage stage;
  const Episode episode = play({calls({{"get\xff", "{\"\xc3\": 1}"}}, "\x80"), say("a\xffz")}, stage.setup());
  CHECK(episode.messages[2].reasoning == "\uFFFD");
  CHECK(episode.messages[2].tool_calls[0].name == "get\uFFFD");
  CHECK(episode.messages[2].tool_calls[0].arguments == "{\"\uFFFD\": 1}");
  CHECK(episode.messages[4].content == "a\uFFFDz");
}

}  // namespace gauntlet
