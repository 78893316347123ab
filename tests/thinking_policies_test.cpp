// What a model that runs here is shown of its earlier thinking, from the episode's policy down to token ids.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/chat_markers.h"
#include "agent/deepseek_format.h"
#include "agent/rollout.h"
#include "agent/trip_stage.h"
#include "inference/local_model.h"
#include "tests/scripted_backend.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

std::string block(const std::string& calls) { return fmt::format("\n\n{}>\n{}\n{}", markers::kBlockOpen, calls, markers::kBlockClose); }
std::string look() { return block(fmt::format("{} name=\"get_all_cities\">\n\n{}>", markers::kInvokeOpen, markers::kInvokeClose)); }
std::string hand_in() {
  return block(fmt::format("{0} name=\"submit_result\">\n{1} name=\"answer_text\" string=\"true\">right{2}>\n{3}>", markers::kInvokeOpen, markers::kParameterOpen, markers::kParameterClose, markers::kInvokeClose));
}

const std::vector<std::string> kThoughts = {"First I look around.", "Then I stumble.", "Third, I look again.", "Last, I hand in."};

/// Passes on, and keeps what was asked.
class Recorder : public ChatModel {
 public:
  explicit Recorder(ChatModel& inner) : inner_(inner) {}
  ChatReply complete(const ChatRequest& request, const CancelFlag& cancel) override {
    requests.push_back(request);
    return inner_.complete(request, cancel);
  }
  Json describe() const override { return inner_.describe(); }
  std::vector<ChatRequest> requests;

 private:
  ChatModel& inner_;
};

/// An episode of a model that looks around, writes a call that cannot be read (unless it is `well_formed`), looks again and hands in.
struct Stage {
  std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json"));
  std::vector<ChatRequest> requests;
  Episode episode;

  std::shared_ptr<ChatCodec> codec() const { return std::make_shared<ChatCodec>("scripted", static_cast<int>(tokenizer->vocab_size()), tokenizer, std::make_shared<const DeepseekFormat>()); }

  void play(ThinkingPolicy policy, bool well_formed) {
    std::size_t step = 0;
    const auto script = [&](const std::string&) {
      const std::size_t at = std::min(step++, kThoughts.size() - 1);
      const std::string broken = fmt::format("\n\n{}>\n{} nonsense", markers::kBlockOpen, markers::kInvokeOpen);
      return ScriptedReply{.text = kThoughts[at] + std::string(markers::kThinkClose) + (at == 3 ? hand_in() : at == 1 && !well_formed ? broken : look())};
    };
    LocalModel model("scripted", "", std::make_shared<Engine>(std::make_unique<ScriptedBackend>(tokenizer, 2000, script), EngineOptions{}), codec());
    Recorder recorder(model);
    EpisodeSetup setup = trip.setup();
    setup.thinking = policy;
    setup.sampling.temperature = 0;
    const CancelFlag never{false};
    episode = run_episode(recorder, std::move(setup), never);
    requests = std::move(recorder.requests);
  }

  /// Which of the thoughts the prompt of each step shows: "01" for the first two.
  std::vector<std::string> shown() const {
    std::vector<std::string> out;
    for (const auto& trace : episode.tokens) {
      const std::string text = tokenizer->decode(trace.prompt_ids, SkipSpecial::No);
      std::string found;
      for (std::size_t i = 0; i < kThoughts.size(); ++i) found += text.find(kThoughts[i]) == std::string::npos ? "" : std::to_string(i);
      out.push_back(found);
    }
    return out;
  }

  TripStage trip;
};

using Shown = std::vector<std::string>;

}  // namespace

TEST_CASE("only tool results between replies: all policies but last and none keep every thought") {
  const std::map<ThinkingPolicy, Shown> expected = {{ThinkingPolicy::SinceLastUser, {"", "0", "01", "012"}}, {ThinkingPolicy::All, {"", "0", "01", "012"}}, {ThinkingPolicy::Last, {"", "0", "1", "2"}}, {ThinkingPolicy::None, {"", "", "", ""}}};
  for (const auto& [policy, shown] : expected) {
    CAPTURE(thinking_policy_name(policy));
    Stage stage;
    stage.play(policy, true);
    REQUIRE(stage.episode.stop == StopReason::Submitted);
    CHECK(stage.episode.score.value == 1.0);
    CHECK(stage.shown() == shown);
    CHECK(stage.episode.messages[2].reasoning == kThoughts[0]);  // the record keeps it
  }
}

TEST_CASE("a call that cannot be read brings a user message, before which the format itself shows no thought, whatever the policy") {
  const std::map<ThinkingPolicy, Shown> expected = {{ThinkingPolicy::SinceLastUser, {"", "0", "", "2"}}, {ThinkingPolicy::All, {"", "0", "", "2"}}, {ThinkingPolicy::Last, {"", "0", "", "2"}}, {ThinkingPolicy::None, {"", "", "", ""}}};
  for (const auto& [policy, shown] : expected) {
    CAPTURE(thinking_policy_name(policy));
    Stage stage;
    stage.play(policy, false);
    REQUIRE(stage.episode.stop == StopReason::Submitted);
    CHECK(stage.episode.malformed_calls == 1);
    CHECK(stage.shown() == shown);
  }
}

TEST_CASE("a prompt whose thinking was kept continues the ids as they were sampled; one whose thinking was dropped is written anew") {
  for (const ThinkingPolicy policy : {ThinkingPolicy::SinceLastUser, ThinkingPolicy::None}) {
    CAPTURE(thinking_policy_name(policy));
    Stage stage;
    stage.play(policy, true);
    REQUIRE(stage.episode.tokens.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto& ids = stage.episode.tokens[i].prompt_ids;
      const EncodedChat fresh = stage.codec()->encode(stage.requests[i]);
      CHECK(stage.tokenizer->decode(ids, SkipSpecial::No) == stage.tokenizer->decode(fresh.ids, SkipSpecial::No));
      if (i == 0) continue;
      std::vector<std::int32_t> before = stage.episode.tokens[i - 1].prompt_ids;
      before.insert(before.end(), stage.episode.tokens[i - 1].ids.begin(), stage.episode.tokens[i - 1].ids.end());
      const bool continues = ids.size() > before.size() && std::equal(before.begin(), before.end(), ids.begin());
      CHECK(continues == (policy == ThinkingPolicy::SinceLastUser));
      if (policy == ThinkingPolicy::None) CHECK(ids == fresh.ids);
    }
  }
}

}  // namespace gauntlet
