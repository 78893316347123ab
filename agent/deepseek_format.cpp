#include "agent/deepseek_format.h"

#include "agent/chat_format.h"
#include "agent/chat_markers.h"
#include "agent/chat_stream.h"
#include "agent/deepseek_grammar.h"
#include "core/error.h"

namespace gauntlet {
namespace {

Json tools_of(const ChatRequest& request) { return request.tools == nullptr ? Json::array() : tools_to_json(*request.tools); }

/// The template, never a message, has the last word, and it begins the thinking or ends it at once.
bool opens_reply(const std::vector<TextPiece>& prompt) {
  return !prompt.empty() && prompt.back().origin == Origin::Template && (prompt.back().text.ends_with(chat_markers::kThinkOpen) || prompt.back().text.ends_with(chat_markers::kThinkClose));
}

class DeepseekReader : public ReplyReader {
 public:
  DeepseekReader(ThinkingMode mode, Json tools) : mode_(mode), stream_(mode, std::move(tools)) {}

  std::vector<ReplyDelta> feed(std::string_view text) override {
    text_ += text;
    return deltas(stream_.feed(text));
  }

  std::vector<ReplyDelta> finish(bool complete) override {
    auto out = deltas(stream_.finish());
    message_ = stream_.message();
    if (!complete) return out;  // cut short: nothing can be said about an open call
    ChatParse strict = parse_chat(text_, mode_);
    if (!strict.error) {
      // The stream has given the calls their ids.
      for (std::size_t i = 0; i < strict.message.tool_calls.size() && i < message_.tool_calls.size(); ++i) strict.message.tool_calls[i].id = message_.tool_calls[i].id;
      message_ = std::move(strict.message);
    } else if (!stream_.problems().empty() || !message_.tool_calls.empty()) {
      malformed_ = strict.error->message;
      message_.tool_calls.clear();
    }
    return out;
  }

  const Message& message() const override { return message_; }
  const std::string& malformed_call() const override { return malformed_; }

 private:
  static std::vector<ReplyDelta> deltas(std::vector<ChatDelta> from) {
    std::vector<ReplyDelta> out;
    for (auto& delta : from) {
      const auto kind = delta.kind == ChatDelta::Kind::Call ? ReplyDelta::Kind::Call : delta.kind == ChatDelta::Kind::Reasoning ? ReplyDelta::Kind::Reasoning : ReplyDelta::Kind::Content;
      out.push_back({.kind = kind, .text = std::move(delta.text), .call = std::move(delta.call)});
    }
    return out;
  }

  ThinkingMode mode_;
  ChatStream stream_;
  std::string text_;
  Message message_;
  std::string malformed_;
};

}  // namespace

std::vector<TextPiece> DeepseekFormat::render(const ChatRequest& request) const {
  ChatPrompt prompt;
  prompt.messages = Json::array();
  for (const auto& message : request.messages) prompt.messages.push_back(to_json(message));
  if (request.tools != nullptr && !request.tools->empty()) {
    // The format carries the tools in the first system message.
    if (request.messages.empty() || request.messages.front().role != Role::System) prompt.messages.insert(prompt.messages.begin(), Json{{"role", "system"}, {"content", ""}});
    prompt.tools = tools_to_json(*request.tools);
  }
  prompt.mode = request.mode;
  ChatEncoding encoding = encode_chat(prompt);
  if (encoding.error) fail(ErrorKind::Usage, "the conversation cannot be written in DeepSeek's format: " + encoding.error->message);
  require(opens_reply(encoding.segments), ErrorKind::Usage, "no reply follows this conversation: it must end with a user's message, or with a result for each call");
  return std::move(encoding.segments);
}

std::unique_ptr<ReplyReader> DeepseekFormat::read(const ChatRequest& request) const { return std::make_unique<DeepseekReader>(request.mode, tools_of(request)); }

std::string DeepseekFormat::begin_of_text() const { return std::string(chat_markers::kBos); }

std::string DeepseekFormat::end_of_reply() const { return std::string(chat_markers::kEos); }

ReplyGrammar DeepseekFormat::reply_grammar(const ChatRequest& request, const ReplyRules& rules) const { return deepseek_reply_grammar(request, rules); }

}  // namespace gauntlet
