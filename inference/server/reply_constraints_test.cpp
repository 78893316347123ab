#include "inference/server/reply_constraints.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

/// Replies are "yes" and the end. Keeps what it was asked for.
class AskedFormat : public PromptFormat {
 public:
  struct Asked {
    ChatRequest request;
    ReplyRules rules;
  };

  explicit AskedFormat(std::vector<Asked>& asked) : asked_(asked) {}
  std::string name() const override { return "asked"; }
  std::vector<TextPiece> render(const ChatRequest&) const override { return {}; }
  std::unique_ptr<ReplyReader> read(const ChatRequest&) const override { return nullptr; }
  std::string end_of_reply() const override { return "<｜end▁of▁sentence｜>"; }
  ReplyGrammar reply_grammar(const ChatRequest& request, const ReplyRules& rules) const override {
    asked_.push_back({request, rules});
    return ReplyGrammar::literal("yes" + end_of_reply());
  }

 private:
  std::vector<Asked>& asked_;
};

TEST_CASE("a wish becomes the rules of a reply") {
  using Kind = ConstraintWish::Kind;
  CHECK(reply_rules({.kind = Kind::JsonObject}).answer == Json{{"type", "object"}});
  CHECK(reply_rules({.kind = Kind::JsonObject}).choice == ToolChoice::Auto);
  CHECK(reply_rules({.kind = Kind::JsonSchema, .schema = {{"const", 5}}}).answer == Json{{"const", 5}});
  const ReplyRules required = reply_rules({.kind = Kind::ToolCalls});
  CHECK(required.choice == ToolChoice::Required);
  CHECK(required.most_calls > 1);
  CHECK(required.tool.empty());
  CHECK_FALSE(required.answer.has_value());
  CHECK(reply_rules({.kind = Kind::ToolCalls, .parallel = false}).most_calls == 1);
  const ReplyRules own = reply_rules({.kind = Kind::OwnChoice});
  CHECK(own.choice == ToolChoice::Auto);
  CHECK(own.most_calls > 1);
  CHECK_FALSE(own.answer.has_value());
  CHECK(reply_rules({.kind = Kind::OwnChoice, .parallel = false}).most_calls == 1);
}

TEST_CASE("a tool that is named is called once, also where calls may be parallel") {
  const ReplyRules named = reply_rules({.kind = ConstraintWish::Kind::ToolCalls, .tool = "look"});
  CHECK(named.choice == ToolChoice::Required);
  CHECK(named.tool == "look");
  CHECK(named.most_calls == 1);
}

TEST_CASE("the maker asks the format with the request's tools and mode, and its constraint allows what the format says") {
  std::vector<AskedFormat::Asked> asked;
  const auto tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(std::string(kTestData) + "/golden/tokenizer/deepseek.tokenizer.json"));
  const auto codec = std::make_shared<const ChatCodec>("tiny", static_cast<int>(tokenizer->vocab_size()), tokenizer, std::make_shared<const AskedFormat>(asked));
  const ConstraintMaker make = make_reply_constraints(codec);
  const auto tools = std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{{.name = "look"}});
  const auto constraint = make({.kind = ConstraintWish::Kind::ToolCalls, .tools = tools, .parallel = false, .mode = ThinkingMode::Chat});
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].request.tools == tools);
  CHECK(asked[0].request.mode == ThinkingMode::Chat);
  CHECK(asked[0].rules.choice == ToolChoice::Required);
  CHECK(asked[0].rules.most_calls == 1);
  for (const auto id : tokenizer->encode("yes", SpecialTokens::AsText)) constraint->accept(id);
  CHECK_THROWS_AS(constraint->clone()->accept(tokenizer->encode("n", SpecialTokens::AsText).front()), Error);
  constraint->accept(codec->end_id());
}

}  // namespace
}  // namespace gauntlet
