// Completions of a model: the first byte chooses mode, tools and the length of pieces, the rest is the text. Every parser answers, and the
// forgiving one says the same of a text in one piece and in many.

#include <algorithm>

#include "agent/chat_format.h"
#include "agent/chat_stream.h"
#include "check.h"

namespace gauntlet {

namespace {

Json declared_tools() {
  return parse_json(
      R"([{"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {
            "query": {"type": "string"}, "topn": {"type": "integer"}, "deep": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}}}}}},
          {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])",
      "tools");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  static const Json known = declared_tools();
  const unsigned choice = data[0];
  const ThinkingMode mode = (choice & 1) != 0 ? ThinkingMode::Thinking : ThinkingMode::Chat;
  const Json tools = (choice & 6) == 0 ? Json(nullptr) : (choice & 6) == 2 ? Json::array() : known;
  const std::size_t piece = 1 + choice / 8;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);

  const ChatParse strict = parse_chat(text, mode);
  promise(!strict.error || !strict.error->code.empty(), "a refusal has a code");

  const ChatParse lenient = parse_chat_lenient(text, mode, tools);
  promise(!lenient.error, "the forgiving parser refuses nothing");
  for (const auto& call : lenient.message.tool_calls) {
    promise(parse_json(call.arguments, "arguments").is_object(), "the forgiving parser's arguments are a JSON object");
  }
  dump_json(chat_message_json(lenient.message));

  ChatStream stream(mode, tools);
  Message joined{.role = Role::Assistant};
  const auto take = [&](const std::vector<ChatDelta>& deltas) {
    for (const auto& delta : deltas) {
      if (delta.kind == ChatDelta::Kind::Reasoning) joined.reasoning += delta.text;
      if (delta.kind == ChatDelta::Kind::Content) joined.content += delta.text;
      if (delta.kind == ChatDelta::Kind::Call) joined.tool_calls.push_back(delta.call);
    }
  };
  for (std::size_t at = 0; at < text.size(); at += piece) take(stream.feed(text.substr(at, piece)));
  take(stream.finish());
  promise(stream.message() == lenient.message, "pieces give the same message as the whole text");
  promise(stream.problems() == lenient.problems, "pieces give the same problems as the whole text");
  promise(joined.content == lenient.message.content && joined.reasoning == lenient.message.reasoning &&
              joined.tool_calls == lenient.message.tool_calls,
          "the deltas joined are the message");
  return 0;
}

}  // namespace gauntlet
