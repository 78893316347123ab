// That the grammar's replies are read back is tested with the engine, in tests/constrained_calls_test.cpp.

#include "agent/deepseek_grammar.h"

#include <doctest/doctest.h>

#include "agent/deepseek_format.h"
#include "core/error.h"

namespace gauntlet {
namespace {

ChatRequest request(ThinkingMode mode = ThinkingMode::Chat) {
  ChatRequest out{.mode = mode};
  out.tools = std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{{.name = "look", .parameters = {{"type", "object"}}}, {.name = "wait"}});
  return out;
}

std::vector<std::string> literals(const ReplyGrammar& reply) {
  std::vector<std::string> out;
  if (reply.kind == ReplyGrammar::Kind::Literal || reply.kind == ReplyGrammar::Kind::Plain) out.push_back(reply.text);
  for (const auto& part : reply.parts) {
    for (auto& text : literals(part)) out.push_back(std::move(text));
  }
  return out;
}

TEST_CASE("the literals of a required call, joined, are the format's own spelling") {
  const auto found = literals(DeepseekFormat().reply_grammar(request(), {.choice = ToolChoice::Required, .tool = "look", .most_calls = 1}));
  CHECK(found == std::vector<std::string>{"\n\n<｜DSML｜function_calls>\n", "<｜DSML｜invoke name=\"", "look", "\">\n", "</｜DSML｜invoke>\n", "</｜DSML｜function_calls>", "<｜end▁of▁sentence｜>"});
}

TEST_CASE("thinking comes first in thinking mode alone, and no tool is offered when none is to be called") {
  CHECK(literals(deepseek_reply_grammar(request(ThinkingMode::Thinking), {.choice = ToolChoice::None})) == std::vector<std::string>{"</think>", "<｜end▁of▁sentence｜>"});
  CHECK(literals(deepseek_reply_grammar(request(), {.choice = ToolChoice::None})) == std::vector<std::string>{"<｜end▁of▁sentence｜>"});
  CHECK(literals(deepseek_reply_grammar(request(), {})).size() == 11);  // both tools
}

TEST_CASE("calls that cannot be are refused") {
  const auto refused = [](const ChatRequest& asked, const ReplyRules& rules, const char* message) { CHECK_THROWS_WITH_AS(deepseek_reply_grammar(asked, rules), message, Error); };
  refused(ChatRequest{}, {.choice = ToolChoice::Required}, "a tool call is required, but no tools are declared");
  refused(request(), {.choice = ToolChoice::Required, .tool = "jump"}, "a call of \"jump\" is required, but no such tool is declared");
  refused(request(), {.most_calls = 0}, "most_calls: found 0; accepted: 1 or more");
  ChatRequest odd = request();
  for (const char* name : {"a\"b", "", "a b", "a\n", "x>", "<｜DSML｜"}) {
    odd.tools = std::make_shared<const std::vector<ToolSpec>>(std::vector<ToolSpec>{{.name = name}});
    CHECK_THROWS_AS(deepseek_reply_grammar(odd, {}), Error);
  }
}

}  // namespace
}  // namespace gauntlet
