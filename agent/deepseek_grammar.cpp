#include "agent/deepseek_grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/chat_markers.h"
#include "core/error.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

/// What the readers take for structure, or refuse, in thinking and in text.
std::vector<std::string> structure() {
  return {std::string(markers::kBos), std::string(markers::kEos), std::string(markers::kThinkOpen), std::string(markers::kThinkClose), std::string(markers::kDsml), std::string(markers::kV31CallsOpen)};
}

void check_name(const std::string& name) {
  const bool plain = !name.empty() && std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '<' || c == '>'; });
  require(plain && name.find(markers::kDsml) == std::string::npos, ErrorKind::Usage, fmt::format("the tool name \"{}\" cannot be written in this format", valid_utf8(name)));
}

ReplyGrammar call_of(const ToolSpec& tool) {
  check_name(tool.name);
  Json schema = tool.parameters;
  // Tools without parameters are declared in several ways.
  if (schema.is_null() || (schema.is_object() && schema.empty())) schema = {{"type", "object"}, {"properties", Json::object()}};
  const std::string parameter = std::string(markers::kParameterOpen) + " name=\"";
  ReplyGrammar arguments{.kind = ReplyGrammar::Kind::Tags,
                         .without = {std::string(markers::kDsml)},
                         .schema = std::move(schema),
                         .what = "tool " + tool.name,
                         .tags = {.before_name = parameter, .text_value = "\" string=\"true\">", .json_value = "\" string=\"false\">", .close = std::string(markers::kParameterClose) + ">\n", .none = "\n"}};
  return ReplyGrammar::sequence({ReplyGrammar::literal(fmt::format("{} name=\"", markers::kInvokeOpen)), ReplyGrammar::plain(tool.name), ReplyGrammar::literal("\">\n"), std::move(arguments), ReplyGrammar::literal(std::string(markers::kInvokeClose) + ">\n")});
}

ReplyGrammar calls_of(const std::vector<const ToolSpec*>& tools, int most) {
  std::vector<ReplyGrammar> calls;
  for (const auto* tool : tools) calls.push_back(call_of(*tool));
  ReplyGrammar repeated{.kind = ReplyGrammar::Kind::Repeat, .parts = {ReplyGrammar::choice(std::move(calls))}, .least = 1, .most = most};
  return ReplyGrammar::sequence({ReplyGrammar::literal(fmt::format("\n\n{}>\n", markers::kBlockOpen)), std::move(repeated), ReplyGrammar::literal(std::string(markers::kBlockClose))});
}

}  // namespace

ReplyGrammar deepseek_reply_grammar(const ChatRequest& request, const ReplyRules& rules) {
  require(rules.most_calls >= 1, ErrorKind::Usage, fmt::format("most_calls: found {}; accepted: 1 or more", rules.most_calls));
  std::vector<const ToolSpec*> tools;
  if (request.tools != nullptr && rules.choice != ToolChoice::None) {
    for (const auto& tool : *request.tools) {
      if (rules.tool.empty() || tool.name == rules.tool) tools.push_back(&tool);
    }
  }
  if (rules.choice == ToolChoice::Required && tools.empty()) {
    fail(ErrorKind::Usage, rules.tool.empty() ? std::string("a tool call is required, but no tools are declared") : fmt::format("a call of \"{}\" is required, but no such tool is declared", rules.tool));
  }

  std::vector<ReplyGrammar> reply;
  if (request.mode == ThinkingMode::Thinking) {
    reply.push_back(ReplyGrammar::free_text(structure()));
    reply.push_back(ReplyGrammar::literal(std::string(markers::kThinkClose)));
  }
  if (rules.choice == ToolChoice::Required) {
    reply.push_back(calls_of(tools, rules.most_calls));
  } else {
    ReplyGrammar text = ReplyGrammar::free_text(structure());
    if (rules.answer) {
      text = ReplyGrammar::json(*rules.answer, "answer");
      text.without = structure();
    }
    if (tools.empty()) {
      reply.push_back(std::move(text));
    } else if (rules.answer) {
      reply.push_back(ReplyGrammar::choice({std::move(text), calls_of(tools, rules.most_calls)}));
    } else {
      reply.push_back(std::move(text));
      reply.push_back(ReplyGrammar::choice({ReplyGrammar::sequence({}), calls_of(tools, rules.most_calls)}));
    }
  }
  reply.push_back(ReplyGrammar::literal(std::string(markers::kEos)));
  return ReplyGrammar::sequence(std::move(reply));
}

}  // namespace gauntlet
