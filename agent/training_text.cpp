#include "agent/training_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/chat_encode.h"
#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::string_view kErrorBegins = R"({"error":)";
constexpr std::string_view kUnknownTool = R"({"error":{"code":"unknown_tool")";

PythonJson read_back(const Json& value) {
  PythonJsonReading reading = read_python_json(dump_json(value));
  require(reading.value.has_value(), ErrorKind::Usage, "the conversation cannot be written in DeepSeek's format: " + reading.problem);
  return std::move(*reading.value);
}

/// Takes consecutive bytes off the front of a list of pieces.
class PieceCutter {
 public:
  explicit PieceCutter(std::vector<TextPiece> pieces) : pieces_(std::move(pieces)) {}

  /// Up to `end`, counted from the very beginning.
  std::vector<TextPiece> take_until(std::size_t end) {
    std::vector<TextPiece> out;
    while (at_ < end && piece_ < pieces_.size()) {
      TextPiece& piece = pieces_[piece_];
      const std::size_t take = std::min(end - at_, piece.text.size() - inside_);
      out.push_back({.text = piece.text.substr(inside_, take), .origin = piece.origin});
      at_ += take;
      inside_ += take;
      if (inside_ == piece.text.size()) {
        ++piece_;
        inside_ = 0;
      }
    }
    return out;
  }

 private:
  std::vector<TextPiece> pieces_;
  std::size_t piece_ = 0;
  std::size_t inside_ = 0;
  std::size_t at_ = 0;
};

/// `reply` is of the assistant message at `index`.
std::vector<TextSpan> unlearned_spans(const EncodedReply& reply, std::span<const Message> messages, std::size_t index) {
  const TextSpan all{.begin = 0, .end = reply.text.end - reply.text.begin};
  if (!reply.whole) return {all};
  if (index + 1 < messages.size() && messages[index + 1].role == Role::User) return {all};
  std::vector<TextSpan> spans;
  const auto add = [&](const TextSpan& span) {
    if (span.end > span.begin) spans.push_back({.begin = span.begin - reply.text.begin, .end = span.end - reply.text.begin});
  };
  // The format matches results with calls by position.
  for (std::size_t i = 0; i < reply.calls.size() && index + 1 + i < messages.size(); ++i) {
    const Message& result = messages[index + 1 + i];
    if (result.role != Role::Tool) break;
    if (!is_error_result(result.content)) continue;
    if (result.content.starts_with(kUnknownTool)) add(reply.calls[i].name);
    add(reply.calls[i].arguments);
  }
  return spans;
}

}  // namespace

std::string TrainingPart::text() const {
  std::string out;
  for (const auto& piece : pieces) out += piece.text;
  return out;
}

bool is_error_result(std::string_view content) { return content.starts_with(kErrorBegins); }

TrainingTextWriter::TrainingTextWriter(const std::vector<ToolSpec>& tools) : tools_(read_back(tools_to_json(tools))) {}

TrainingText TrainingTextWriter::write(std::span<const Message> messages, ThinkingMode mode) const {
  std::size_t spoken = messages.size();
  while (spoken > 0 && messages[spoken - 1].role != Role::Assistant) --spoken;
  require(spoken > 0, ErrorKind::Usage, "no assistant speaks in this conversation");
  Json list = Json::array();
  for (const auto& message : messages.first(spoken)) list.push_back(to_json(message));
  ChatEncoding encoding = encode_prompt({.messages = read_back(list), .tools = tools_, .context = {}, .mode = mode});
  require(!encoding.error, ErrorKind::Usage, "the conversation cannot be written in DeepSeek's format: " + (encoding.error ? encoding.error->message : ""));
  TrainingText out;
  PieceCutter cutter(std::move(encoding.segments));
  std::size_t index = 0;
  for (const auto& reply : encoding.replies) {
    while (messages[index].role != Role::Assistant) ++index;
    out.push_back({.pieces = cutter.take_until(reply.text.begin), .agent = false, .unlearned = {}});
    out.push_back({.pieces = cutter.take_until(reply.text.end), .agent = true, .unlearned = unlearned_spans(reply, messages, index)});
    ++index;
  }
  return out;
}

}  // namespace gauntlet
