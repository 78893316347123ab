#include "agent/training_text.h"

#include <doctest/doctest.h>

#include "agent/deepseek_format.h"
#include "core/error.h"

namespace gauntlet {
namespace {

const std::vector<ToolSpec> kTools = {{.name = "look", .description = "Looks.", .parameters = {{"type", "object"}}}, {.name = "submit", .description = "Hands in.", .parameters = {{"type", "object"}}}};

Message said(Role role, std::string content) { return {.role = role, .content = std::move(content), .reasoning = "", .tool_calls = {}, .tool_call_id = "", .tool_name = ""}; }

Message called(std::string reasoning, std::vector<ToolCall> calls) { return {.role = Role::Assistant, .content = "", .reasoning = std::move(reasoning), .tool_calls = std::move(calls), .tool_call_id = "", .tool_name = ""}; }

Message result(std::string content) { return said(Role::Tool, std::move(content)); }

ToolCall call(std::string name, std::string arguments) { return {.id = "", .name = std::move(name), .arguments = std::move(arguments)}; }

std::vector<Message> conversation() {
  return {said(Role::System, "Be brief."),
          said(Role::User, "Find <｜end▁of▁sentence｜>."),
          called("I look twice.", {call("look", R"({"at":"Beijng"})"), call("look", R"({"at":"Xi'an","deep":true})")}),
          result(R"({"error":{"code":"unknown_city","message":"no"}})"),
          result(R"(["a"])"),
          called("", {call("look", R"({"at":"Beijing"})")}),
          result(R"(["b"])"),
          called("Done.", {call("submit", "{}")}),
          result(R"({"submitted":true})")};
}

std::string joined(const std::vector<TextPiece>& pieces) {
  std::string out;
  for (const auto& piece : pieces) out += piece.text;
  return out;
}

std::vector<std::string> unlearned(const TrainingPart& part) {
  std::vector<std::string> out;
  for (const auto& span : part.unlearned) out.push_back(part.text().substr(span.begin, span.end - span.begin));
  return out;
}

TEST_CASE("what comes before each reply is the prompt that the engine gets, byte for byte with its origins") {
  for (const ThinkingMode mode : {ThinkingMode::Thinking, ThinkingMode::Chat}) {
    const auto messages = conversation();
    const TrainingText text = TrainingTextWriter(kTools).write(messages, mode);
    REQUIRE(text.size() == 6);
    std::vector<TextPiece> before;
    std::size_t part = 0;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].role != Role::Assistant) continue;
      CHECK_FALSE(text[part].agent);
      CHECK(text[part + 1].agent);
      before.insert(before.end(), text[part].pieces.begin(), text[part].pieces.end());
      ChatRequest request;
      request.messages.assign(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i));
      request.tools = std::make_shared<const std::vector<ToolSpec>>(kTools);
      request.mode = mode;
      const auto prompt = DeepseekFormat().render(request);
      CHECK(joined(before) == joined(prompt));
      std::string origins, expected;
      for (const auto& piece : before) origins.append(piece.text.size(), piece.origin == Origin::Data ? 'd' : 't');
      for (const auto& piece : prompt) expected.append(piece.text.size(), piece.origin == Origin::Data ? 'd' : 't');
      CHECK(origins == expected);
      before.insert(before.end(), text[part + 1].pieces.begin(), text[part + 1].pieces.end());
      part += 2;
    }
  }
}

TEST_CASE("a reply goes from behind the opener to its end-of-sentence marker") {
  const auto thinking = TrainingTextWriter(kTools).write(conversation(), ThinkingMode::Thinking);
  CHECK(thinking[0].text().ends_with("<｜Assistant｜><think>"));
  CHECK(thinking[2].text().ends_with("\n</function_results>\n\n<think>"));
  CHECK(thinking[1].text().starts_with("I look twice.</think>\n\n<｜DSML｜function_calls>"));
  CHECK(thinking[3].text().starts_with("</think>\n\n<｜DSML｜function_calls>"));
  CHECK(thinking[5].text().ends_with("</｜DSML｜function_calls><｜end▁of▁sentence｜>"));
  auto quiet = conversation();
  for (auto& message : quiet) message.reasoning.clear();
  const auto chat = TrainingTextWriter(kTools).write(quiet, ThinkingMode::Chat);
  CHECK(chat[0].text().ends_with("<｜Assistant｜></think>"));
  CHECK(chat[1].text().starts_with("\n\n<｜DSML｜function_calls>"));
}

TEST_CASE("only the arguments of a call that was answered with an error are not learnt") {
  for (const ThinkingMode mode : {ThinkingMode::Thinking, ThinkingMode::Chat}) {
    const auto text = TrainingTextWriter(kTools).write(conversation(), mode);
    CHECK(unlearned(text[1]) == std::vector<std::string>{R"(<｜DSML｜parameter name="at" string="true">Beijng</｜DSML｜parameter>)"});
    CHECK(text[3].unlearned.empty());
    CHECK(text[5].unlearned.empty());
  }
}

TEST_CASE("the name of a tool that does not exist is not learnt either") {
  auto messages = conversation();
  messages[2].tool_calls[1].name = "lok";
  messages[4].content = R"({"error":{"code":"unknown_tool","message":"there is no tool named \"lok\""}})";
  const auto text = TrainingTextWriter(kTools).write(messages, ThinkingMode::Thinking);
  const auto spans = unlearned(text[1]);
  REQUIRE(spans.size() == 3);
  CHECK(spans[1] == "lok");
  CHECK(spans[2].starts_with(R"(<｜DSML｜parameter name="at" string="true">Xi'an)"));
  CHECK(spans[2].ends_with(R"(string="false">true</｜DSML｜parameter>)"));
}

TEST_CASE("a reply whose call could not be read is seen but not learnt") {
  auto messages = conversation();
  messages.insert(messages.begin() + 2, {said(Role::Assistant, "<｜DSML｜function_calls>"), said(Role::User, "Your last tool call could not be read.")});
  for (const ThinkingMode mode : {ThinkingMode::Thinking, ThinkingMode::Chat}) {
    const auto text = TrainingTextWriter(kTools).write(messages, mode);
    REQUIRE(text.size() == 8);
    CHECK(unlearned(text[1]) == std::vector<std::string>{text[1].text()});
    CHECK(text[5].unlearned.empty());
  }
}

TEST_CASE("replies whose thinking the format leaves out are not learnt") {
  auto messages = conversation();
  messages.insert(messages.end(), {said(Role::User, "And now?"), {.role = Role::Assistant, .content = "Nothing.", .reasoning = "Well.", .tool_calls = {}, .tool_call_id = "", .tool_name = ""}});
  const auto text = TrainingTextWriter(kTools).write(messages, ThinkingMode::Thinking);
  REQUIRE(text.size() == 8);
  for (const std::size_t part : {1, 3, 5}) CHECK(unlearned(text[part]) == std::vector<std::string>{text[part].text()});
  CHECK(text[7].text() == "Well.</think>Nothing.<｜end▁of▁sentence｜>");
  CHECK(text[7].unlearned.empty());
}

TEST_CASE("a conversation that the format cannot write, or in which nobody answers, is refused") {
  const TrainingTextWriter writer(kTools);
  CHECK_THROWS_WITH_AS(writer.write(std::vector<Message>{said(Role::User, "Hello?")}, ThinkingMode::Thinking), "no assistant speaks in this conversation", Error);
  CHECK_THROWS_WITH_AS(writer.write(std::vector<Message>{said(Role::User, "Hello?"), said(Role::Assistant, "Hi.")}, ThinkingMode::Thinking), doctest::Contains("cannot be written in DeepSeek's format"), Error);
}

}  // namespace
}  // namespace gauntlet
