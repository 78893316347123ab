// The strict parser: the grammar that the model was trained on, as its reference implementation reads it.

#include <algorithm>
#include <array>
#include <initializer_list>
#include <unordered_set>

#include "agent/chat_format.h"
#include "agent/chat_markers.h"
#include "agent/python_json.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

/// What Python's \s matches, as UTF-8.
std::size_t space_length(std::string_view text) {
  static constexpr std::array<std::string_view, 19> kWide = {
      "\u0085", "\u00A0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006",
      "\u2007", "\u2008", "\u2009", "\u200A", "\u2028", "\u2029", "\u202F", "\u205F", "\u3000"};
  if (text.empty()) return 0;
  const char c = text.front();
  if (c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F)) return 1;
  const auto it = std::find_if(kWide.begin(), kWide.end(), [&](std::string_view wide) { return text.starts_with(wide); });
  return it == kWide.end() ? 0 : it->size();
}

class StrictParser {
 public:
  explicit StrictParser(std::string_view text) : text_(text) {}

  ChatParse parse(ThinkingMode mode) {
    ChatParse out;
    out.message.role = Role::Assistant;
    if (valid_utf8(text_) != text_) {
      out.error = ChatError{"InvalidInput", "the completion is not valid UTF-8"};
      return out;
    }
    if (!read_message(mode, out.message)) {
      out.message = Message{};
      out.message.role = Role::Assistant;
      out.error = ChatError{"AssertionError", problem_};
    }
    return out;
  }

 private:
  bool stop(std::string_view message) {
    problem_ = message;
    return false;
  }

  /// The text up to the nearest of `stops` (each begins with "<", "/" or a newline), which is stepped over and kept in stop_ (empty: the rest of the text was taken).
  std::string_view read_until(std::initializer_list<std::string_view> stops) {
    const std::size_t begin = at_;
    stop_ = {};
    for (std::size_t place = text_.find_first_of("<\n/", at_); place != std::string_view::npos; place = text_.find_first_of("<\n/", place + 1)) {
      const std::string_view rest = text_.substr(place);
      const auto word = std::find_if(stops.begin(), stops.end(), [&](std::string_view stop_word) { return rest.starts_with(stop_word); });
      if (word == stops.end()) continue;
      stop_ = *word;
      at_ = place + stop_.size();
      return text_.substr(begin, place - begin);
    }
    at_ = text_.size();
    return text_.substr(begin);
  }

  bool read_message(ThinkingMode mode, Message& message) {
    constexpr std::string_view kCalls = "\n\n<｜DSML｜function_calls";
    if (mode == ThinkingMode::Thinking) {
      message.reasoning = read_until({markers::kThinkClose, kCalls});
      if (stop_ != markers::kThinkClose) return stop("the reasoning does not end in </think> before the content or the calls");
    }
    message.content = read_until({markers::kEos, kCalls});
    if (stop_ == kCalls) {
      if (!read_calls(message.tool_calls)) return false;
      if (!read_until({markers::kEos}).empty()) return stop("text stands after the tool calls; only the end-of-sentence token may");
    } else if (stop_ != markers::kEos) {
      return stop("the answer does not end in the end-of-sentence token");
    }
    if (at_ != text_.size()) return stop("text stands after the end-of-sentence token");
    for (const std::string_view token :
         {markers::kBos, markers::kEos, markers::kThinkOpen, markers::kThinkClose, markers::kDsml}) {
      if (message.content.find(token) == std::string::npos && message.reasoning.find(token) == std::string::npos) continue;
      return stop("the content or the reasoning holds the special token " + std::string(token));
    }
    return true;
  }

  bool read_calls(std::vector<ToolCall>& calls) {
    while (at_ < text_.size()) {
      if (read_until({markers::kInvokeOpen, markers::kBlockClose}) != ">\n") {
        return stop("a block of tool calls needs \">\" and a newline after its opener and after each call");
      }
      if (stop_ == markers::kBlockClose) break;
      if (stop_.empty()) return stop("the block of tool calls does not end");
      if (!read_call(calls.emplace_back())) return false;
    }
    return true;
  }

  bool read_call(ToolCall& call) {
    std::string_view head = read_until({markers::kParameterOpen, markers::kInvokeClose});
    while (const std::size_t length = space_length(head)) head.remove_prefix(length);
    constexpr std::string_view kName = "name=\"";
    // A blank line may follow the tag: that is how a call without parameters is written.
    if (head.ends_with("\">\n\n")) head.remove_suffix(1);
    if (!head.starts_with(kName) || !head.ends_with("\">\n") || head.size() < kName.size() + 3) {
      return stop("an invoke tag must read: <｜DSML｜invoke name=\"NAME\"> and a newline");
    }
    call.name = head.substr(kName.size(), head.size() - kName.size() - 3);
    std::unordered_set<std::string> seen;
    call.arguments = "{";
    while (stop_ == markers::kParameterOpen) {
      if (!read_parameter(call.arguments, seen)) return false;
    }
    call.arguments += "}";
    return true;
  }

  bool read_parameter(std::string& arguments, std::unordered_set<std::string>& seen) {
    constexpr std::string_view kFormat = "a parameter must read: <｜DSML｜parameter name=\"KEY\" string=\"true|false\">VALUE</｜DSML｜parameter>";
    constexpr std::string_view kName = " name=\"";
    constexpr std::string_view kTrue = "\" string=\"true\">";
    constexpr std::string_view kFalse = "\" string=\"false\">";
    std::string_view text = read_until({markers::kParameterClose.substr(1)});
    if (text.ends_with("<\n")) text.remove_suffix(1);
    if (!text.starts_with(kName) || !text.ends_with("<")) return stop(kFormat);
    text.remove_prefix(kName.size());
    const std::size_t true_at = text.find(kTrue);
    const std::size_t false_at = text.find(kFalse);
    const bool is_string = true_at < false_at;
    const std::size_t key_end = std::min(true_at, false_at);
    if (key_end == std::string_view::npos) return stop(kFormat);
    const std::string key(text.substr(0, key_end));
    text.remove_prefix(key_end + (is_string ? kTrue : kFalse).size());
    if (text.empty()) return stop(kFormat);
    text.remove_suffix(1);
    if (!seen.insert(key).second) return stop("a parameter stands twice in one call: " + key);
    if (arguments.size() > 1) arguments += ", ";
    arguments += quote_python_json(key) + ": ";
    arguments += is_string ? quote_python_json(text) : std::string(text);
    if (read_until({markers::kParameterOpen, markers::kInvokeClose}) != ">\n") return stop(kFormat);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string_view stop_;
  std::string problem_;
};

}  // namespace

ChatParse parse_chat(std::string_view completion, ThinkingMode mode) { return StrictParser(completion).parse(mode); }

}  // namespace gauntlet
