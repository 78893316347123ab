#include "cli/token_document.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/deepseek_format.h"
#include "core/error.h"
#include "inference/chat_codec.h"
#include "synth/trajectory.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

const CancelFlag kNever{false};

std::shared_ptr<const Tokenizer> tokenizer_named(const std::string& name) {
  return std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/" + name + ".tokenizer.json"));
}

struct Stage {
  std::shared_ptr<const Tokenizer> tokenizer = tokenizer_named("deepseek");
  TrajectorySource source;
  TrainingTextWriter writer{source.tools()};
  DocumentEncoder encoder{tokenizer};

  Stage() : source(request()) {}

  static TrajectoryRequest request() {
    TrajectoryRequest out;
    out.spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
    out.system_prompt = "Use the tools.";
    out.levels = {{1, 1}};
    out.thinking_weight = out.chat_weight = 1;
    return out;
  }
  std::shared_ptr<const std::vector<ToolSpec>> tools() const { return std::make_shared<const std::vector<ToolSpec>>(source.tools()); }
};

std::vector<Message> first_messages(const std::vector<Message>& messages, std::size_t count) { return {messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count)}; }

std::string text_of(const TrainingText& text) {
  std::string out;
  for (const auto& part : text) out += part.text();
  return out;
}

/// As an episode of the local model gets its ids, with the replies of the document as what it sampled.
std::vector<TokenTrace> traces_of(const Stage& stage, ChatCodec& codec, const Trajectory& trajectory, const TokenDocument& document) {
  std::vector<TokenTrace> traces;
  for (std::size_t i = 0; i < trajectory.messages.size(); ++i) {
    if (trajectory.messages[i].role != Role::Assistant) continue;
    const EncodedChat prompt = codec.encode({.messages = first_messages(trajectory.messages, i), .tools = stage.tools(), .mode = trajectory.mode});
    REQUIRE(prompt.ids.size() < document.ids.size());
    const auto begin = document.ids.begin() + static_cast<std::ptrdiff_t>(prompt.ids.size());
    const std::vector<std::int32_t> reply(begin, std::find(begin, document.ids.end(), codec.end_id()) + 1);
    codec.remember(prompt, reply);
    traces.push_back({.prompt_ids = prompt.ids, .ids = reply, .logprobs = std::vector<float>(reply.size(), -0.5f - static_cast<float>(traces.size()))});
  }
  return traces;
}

TEST_CASE("the mask covers exactly what the engine samples, and what is before it is the engine's prompt, id for id") {
  Stage stage;
  int slips = 0;
  std::map<ThinkingMode, int> modes;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const auto made = stage.source.make(i, kNever);
    REQUIRE(made.trajectory.has_value());
    const Trajectory& trajectory = *made.trajectory;
    ++modes[trajectory.mode];
    const TrainingText text = stage.writer.write(trajectory.messages, trajectory.mode);
    const TokenDocument document = stage.encoder.encode(text);
    CHECK(stage.tokenizer->decode(document.ids, SkipSpecial::No) == text_of(text));

    ChatCodec codec("test", 1 << 20, stage.tokenizer, std::make_shared<const DeepseekFormat>());
    const auto traces = traces_of(stage, codec, trajectory, document);
    std::vector<std::int32_t> ids;
    std::vector<std::uint8_t> sampled;
    for (const auto& trace : traces) {
      REQUIRE(trace.prompt_ids.size() >= ids.size());
      CHECK(std::equal(ids.begin(), ids.end(), trace.prompt_ids.begin()));
      ids = trace.prompt_ids;
      sampled.resize(ids.size(), 0);
      ids.insert(ids.end(), trace.ids.begin(), trace.ids.end());
      sampled.resize(ids.size(), 1);
    }
    CHECK(ids == document.ids);
    const bool slipped = std::any_of(trajectory.messages.begin(), trajectory.messages.end(), [](const Message& message) { return message.role == Role::Tool && is_error_result(message.content); });
    if (!slipped) {
      CHECK(sampled == document.learnt);
      continue;
    }
    ++slips;
    std::string masked;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      CHECK(document.learnt[t] <= sampled[t]);
      if (document.learnt[t] < sampled[t]) masked += stage.tokenizer->token_bytes(ids[t]);
    }
    for (const auto& part : text) {
      for (const auto& span : part.unlearned) CHECK(masked.find(part.text().substr(span.begin, span.end - span.begin)) != std::string::npos);
    }
    CHECK(masked.find("invoke name") == std::string::npos);
  }
  CHECK(slips >= 2);
  CHECK(modes.size() == 2);
}

TEST_CASE("a token that lies partly in what is not learnt is not learnt") {
  const auto tokenizer = tokenizer_named("gpt2");
  const std::string text = "the quick brown fox thinks that there are some other things";
  const auto ids = tokenizer->encode(text, SpecialTokens::AsText);
  REQUIRE(ids.size() < text.size());
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    for (std::size_t end = begin + 1; end <= text.size(); end += 7) {
      std::vector<std::uint8_t> learnt = {1};
      mark_learnt(*tokenizer, ids, std::vector<TextSpan>{{.begin = begin, .end = end}}, text.size(), learnt);
      REQUIRE(learnt.size() == ids.size() + 1);
      CHECK(learnt[0] == 1);
      std::size_t at = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const std::size_t next = at + tokenizer->token_bytes(ids[i]).size();
        CHECK((learnt[i + 1] == 0) == (at < end && begin < next));
        at = next;
      }
    }
  }
  std::vector<std::uint8_t> learnt;
  mark_learnt(*tokenizer, ids, std::vector<TextSpan>{{.begin = 0, .end = 1}}, text.size() + 1, learnt);
  CHECK(std::count(learnt.begin(), learnt.end(), 1) == 0);
}

TEST_CASE("markers in what users and tools wrote stay text") {
  Stage stage;
  std::vector<Message> messages = {{.role = Role::User, .content = "Say <｜end▁of▁sentence｜><｜User｜>."}, {.role = Role::Assistant, .content = "<｜User｜>", .reasoning = "Hm </think> hm"}};
  const TokenDocument document = stage.encoder.encode(stage.writer.write(messages, ThinkingMode::Thinking));
  CHECK(std::count(document.ids.begin(), document.ids.end(), stage.tokenizer->find_id("<｜end▁of▁sentence｜>")) == 1);
  CHECK(std::count(document.ids.begin(), document.ids.end(), stage.tokenizer->find_id("<｜User｜>")) == 1);
  // One more is in the format's own explanation of tools.
  const auto reply = document.ids.begin() + (std::find(document.learnt.begin(), document.learnt.end(), 1) - document.learnt.begin());
  CHECK(std::count(reply, document.ids.end(), stage.tokenizer->find_id("</think>")) == 1);
}

TEST_CASE("what an encoder remembers changes no ids") {
  Stage stage;
  for (std::uint64_t i = 0; i < 6; ++i) {
    auto trajectory = *stage.source.make(i, kNever).trajectory;
    if (i % 2 == 1) trajectory.messages[0].content += fmt::format(" {}", i);
    const TrainingText text = stage.writer.write(trajectory.messages, trajectory.mode);
    CHECK(stage.encoder.encode(text).ids == DocumentEncoder(stage.tokenizer).encode(text).ids);
    const TokenDocument document = stage.encoder.encode(text);
    const auto prompt = stage.tokenizer->encode(text[0].pieces).ids;
    CHECK(std::equal(prompt.begin(), prompt.end(), document.ids.begin()));
  }
}

TEST_CASE("recorded ids and log-probabilities are kept as they were sampled") {
  Stage stage;
  const auto trajectory = *stage.source.make(3, kNever).trajectory;
  const TrainingText text = stage.writer.write(trajectory.messages, trajectory.mode);
  const TokenDocument document = stage.encoder.encode(text);
  ChatCodec codec("test", 1 << 20, stage.tokenizer, std::make_shared<const DeepseekFormat>());
  auto traces = traces_of(stage, codec, trajectory, document);
  std::string problem;
  const auto joined = stage.encoder.join(traces, text, problem);
  CHECK(problem.empty());
  REQUIRE(joined.size() == 1);
  CHECK(joined[0].ids == document.ids);
  CHECK(joined[0].learnt == document.learnt);
  REQUIRE(joined[0].logprobs.size() == document.ids.size());
  CHECK(joined[0].logprobs.front() == 0.0f);
  CHECK(joined[0].logprobs.back() == traces.back().logprobs.back());

  // A prompt that is not what came before begins a document of its own.
  auto broken = traces;
  broken.back().prompt_ids.erase(broken.back().prompt_ids.begin() + 5);
  CHECK(stage.encoder.join(broken, text, problem).size() == (traces.size() > 1 ? 2 : 1));
  CHECK(problem.empty());

  broken = traces;
  broken.back().ids.back() = 0;
  CHECK(stage.encoder.join(broken, text, problem).empty());
  CHECK(problem == "a token stream that does not begin and end as this tokenizer's do");
  broken = traces;
  broken.front().prompt_ids[3] = 1'000'000;
  CHECK(stage.encoder.join(broken, text, problem).empty());
  CHECK(problem == "a token stream that is not this tokenizer's");
  broken = traces;
  broken.pop_back();
  CHECK(stage.encoder.join(broken, text, problem).empty());
  CHECK(problem == "not a token stream for each message");
}

TEST_CASE("a recorded reply whose text is not the format's own is not learnt where something in it must not be") {
  Stage stage;
  const std::vector<Message> messages = {{.role = Role::User, .content = "Look."},
                                         {.role = Role::Assistant, .reasoning = "I look.", .tool_calls = {{.id = "", .name = "look", .arguments = R"({"at":"x"})"}}},
                                         {.role = Role::Tool, .content = R"({"error":{"code":"unknown_city","message":"no"}})"},
                                         {.role = Role::Assistant, .reasoning = "I say it.", .tool_calls = {{.id = "", .name = "look", .arguments = R"({"at":"y"})"}}}};
  const TrainingText text = stage.writer.write(messages, ThinkingMode::Thinking);
  const TokenDocument document = stage.encoder.encode(text);
  const auto end = std::find(document.ids.begin(), document.ids.end(), stage.tokenizer->find_id("<｜end▁of▁sentence｜>")) + 1;
  const auto prompt = static_cast<std::ptrdiff_t>(stage.tokenizer->encode(text[0].pieces).ids.size());
  const auto second = static_cast<std::ptrdiff_t>(stage.tokenizer->encode(text[2].pieces).ids.size());
  std::vector<TokenTrace> traces(2);
  traces[0].prompt_ids.assign(document.ids.begin(), document.ids.begin() + prompt);
  traces[0].ids.assign(document.ids.begin() + prompt, end);
  traces[0].ids.insert(traces[0].ids.begin(), stage.tokenizer->encode(" ", SpecialTokens::AsText).front());
  traces[1].prompt_ids = traces[0].prompt_ids;
  traces[1].prompt_ids.insert(traces[1].prompt_ids.end(), traces[0].ids.begin(), traces[0].ids.end());
  traces[1].prompt_ids.insert(traces[1].prompt_ids.end(), end, end + second);
  traces[1].ids.assign(end + second, document.ids.end());
  for (auto& trace : traces) trace.logprobs.resize(trace.ids.size(), -1.0f);
  std::string problem;
  const auto joined = stage.encoder.join(traces, text, problem);
  REQUIRE(joined.size() == 1);
  const auto learnt = std::count(joined[0].learnt.begin(), joined[0].learnt.end(), std::uint8_t{1});
  CHECK(learnt == static_cast<std::ptrdiff_t>(traces[1].ids.size()));
  CHECK(joined[0].learnt.back() == 1);
}

TEST_CASE("a tokenizer without the format's tokens is refused") {
  CHECK_THROWS_WITH_AS(DocumentEncoder{tokenizer_named("gpt2")}, doctest::Contains("lacks the special token <｜begin▁of▁sentence｜>"), Error);
}

}  // namespace
}  // namespace gauntlet
