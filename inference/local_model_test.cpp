#include "inference/local_model.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "core/error.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

/// "U:text" and "A:text<end>" for each message, then "A:".
class PlainFormat : public PromptFormat {
 public:
  std::string name() const override { return "plain"; }
  std::vector<TextPiece> render(const ChatRequest& request) const override {
    std::vector<TextPiece> out;
    for (const auto& message : request.messages) {
      const bool assistant = message.role == Role::Assistant;
      out.push_back({.text = assistant ? "A:" : "U:", .origin = Origin::Template});
      out.push_back({.text = message.content, .origin = Origin::Data});
      if (assistant) out.push_back({.text = end_of_reply(), .origin = Origin::Template});
    }
    out.push_back({.text = "A:", .origin = Origin::Template});
    return out;
  }
  std::unique_ptr<ReplyReader> read(const ChatRequest&) const override { return std::make_unique<Reader>(end_of_reply()); }
  std::string end_of_reply() const override { return "<｜end▁of▁sentence｜>"; }

 private:
  class Reader : public ReplyReader {
   public:
    explicit Reader(std::string end) : end_(std::move(end)) { message_.role = Role::Assistant; }
    std::vector<ReplyDelta> feed(std::string_view text) override {
      message_.content += text;
      return {};
    }
    std::vector<ReplyDelta> finish(bool complete) override {
      if (complete) message_.content.resize(message_.content.size() - end_.size());
      return {};
    }
    const Message& message() const override { return message_; }
    const std::string& malformed_call() const override { return none_; }

   private:
    std::string end_, none_;
    Message message_;
  };
};

struct Stage {
  int pages = 64;
  GoldenCase golden = load_golden_case("v32-tiny");
  std::shared_ptr<const Tokenizer> tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json"));
  std::shared_ptr<Engine> engine = std::make_shared<Engine>(std::make_unique<CpuBackend>(golden.weights, CpuBackendOptions{.threads = 2, .pages = pages}), EngineOptions{});

  LocalModel model() { return {"tiny", "hash", engine, std::make_shared<ChatCodec>("tiny", engine->config().vocab, tokenizer, std::make_shared<const PlainFormat>())}; }
};

ChatRequest request(std::string text, std::uint64_t seed, int max_tokens = 40) {
  ChatRequest out{.messages = {{.role = Role::User, .content = std::move(text)}}};
  out.sampling = {.temperature = 1.0, .top_p = 1.0, .max_tokens = max_tokens, .seed = seed};
  return out;
}

const CancelFlag kNever{false};

TEST_CASE("a reply depends on conversation and seed alone, and carries its ids and log-probabilities as sampled") {
  Stage stage;
  LocalModel model = stage.model();
  const ChatReply first = model.complete(request("hello", 1), kNever), again = model.complete(request("hello", 1), kNever), other = model.complete(request("hello", 2), kNever);
  CHECK(first.message == again.message);
  CHECK(first.tokens.logprobs == again.tokens.logprobs);
  CHECK(first.message.content != other.message.content);
  CHECK(first.tokens.ids.size() == static_cast<std::size_t>(first.usage.completion_tokens));
  CHECK(first.tokens.logprobs.size() == first.tokens.ids.size());
  CHECK(first.tokens.prompt_ids.size() == static_cast<std::size_t>(first.usage.prompt_tokens));
  CHECK(stage.tokenizer->decode(first.tokens.prompt_ids, SkipSpecial::No) == "U:helloA:");
  for (const float logprob : first.tokens.logprobs) CHECK(logprob <= 0.0f);
}

TEST_CASE("many threads share the engine, each with the reply that it would get alone") {
  Stage stage;
  LocalModel model = stage.model();
  std::vector<std::string> alone;
  for (std::uint64_t i = 0; i < 8; ++i) alone.push_back(model.complete(request("question " + std::to_string(i), i), kNever).message.content);
  std::vector<std::string> together(8);
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 8; ++i) threads.emplace_back([&, i] { together[i] = model.complete(request("question " + std::to_string(i), i), kNever).message.content; });
  }
  CHECK(together == alone);
}

TEST_CASE("a reply that comes back in a conversation keeps the ids with which it was sampled") {
  Stage stage;
  LocalModel model = stage.model();
  int kept = 0;
  for (std::uint64_t seed = 0; seed < 400 && kept < 3; ++seed) {
    const ChatReply first = model.complete(request("hi", seed, 60), kNever);
    if (first.finish != FinishReason::Stop || first.tokens.ids.size() < 5) continue;
    auto second = request("hi", seed, 4);
    second.messages.push_back(first.message);
    second.messages.push_back({.role = Role::User, .content = "more"});
    const ChatReply next = model.complete(second, kNever);
    std::vector<std::int32_t> expected = first.tokens.prompt_ids;
    expected.insert(expected.end(), first.tokens.ids.begin(), first.tokens.ids.end());
    if (stage.tokenizer->decode(first.tokens.ids, SkipSpecial::No).find("\uFFFD") != std::string::npos) continue;  // bytes that no text gives back
    REQUIRE(next.tokens.prompt_ids.size() > expected.size());
    CHECK(std::equal(expected.begin(), expected.end(), next.tokens.prompt_ids.begin()));
    ++kept;
  }
  CHECK(kept > 0);
}

TEST_CASE("a conversation that leaves no room, a deadline and a cancelled call are faults of their own kinds") {
  Stage stage;
  LocalModel model = stage.model();
  const auto fault = [&](ChatRequest asked, const CancelFlag& cancel) {
    try {
      model.complete(asked, cancel);
    } catch (const ModelFault& caught) {
      return caught.fault();
    }
    return FaultClass::Protocol;
  };
  CHECK(fault(request(std::string(20'000, 'x'), 1), kNever) == FaultClass::ContextLength);
  auto late = request("x", 1, 4000);
  late.deadline = std::chrono::steady_clock::now();
  CHECK(fault(late, kNever) == FaultClass::Timeout);
  const CancelFlag stop{true};
  CHECK(fault(request("x", 1, 4000), stop) == FaultClass::Cancelled);
  CHECK(model.complete(request("x", 1, 5), kNever).tokens.ids.size() <= 5);  // the engine goes on
}

TEST_CASE("a reply that the context cut is told apart from one that its own limit cut") {
  Stage stage{.pages = 2};
  LocalModel model = stage.model();
  const int context = stage.engine->max_context();
  int cut = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const ChatReply reply = model.complete(request(std::string(60, 'x'), seed, 4000), kNever);
    if (reply.finish == FinishReason::Stop) continue;
    ++cut;
    CHECK(reply.finish == FinishReason::ContextFull);
    CHECK(reply.usage.prompt_tokens + reply.usage.completion_tokens == context);
    CHECK(model.complete(request("x", seed, 1), kNever).finish != FinishReason::ContextFull);
  }
  CHECK(cut > 0);
}

TEST_CASE("a tokenizer without the format's end token is refused") {
  Stage stage;
  const auto other = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/gpt2.tokenizer.json"));
  CHECK_THROWS_WITH_AS(ChatCodec("tiny", 512, other, std::make_shared<const PlainFormat>()), "tiny: the tokenizer lacks <｜end▁of▁sentence｜>, which ends a reply in the plain format", Error);
}

}  // namespace
}  // namespace gauntlet
