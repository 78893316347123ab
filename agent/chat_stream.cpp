// Tested through chat_format_test.cpp and chat_property_test.cpp.

#include "agent/chat_stream.h"

#include <algorithm>
#include <utility>

#include "agent/chat_markers.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

/// Up to two newlines before a block belong to it.
std::size_t without_separator(std::string_view text, std::size_t end) {
  for (int i = 0; i < 2 && end > 0 && text[end - 1] == '\n'; ++i) --end;
  return end;
}

}  // namespace

ChatStream::ChatStream(ThinkingMode mode, Json tools) : mode_(mode), tools_{std::move(tools)} { message_.role = Role::Assistant; }

std::vector<ChatDelta> ChatStream::feed(std::string_view bytes) {
  if (finished_) return {};
  // In slices, so that text read again after broken markup is never long.
  constexpr std::size_t kSlice = 4096;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(kSlice, bytes.size()))) {
    pending_ += bytes.substr(0, kSlice);
    while (step(false)) {
    }
  }
  return std::exchange(deltas_, {});
}

std::vector<ChatDelta> ChatStream::finish() {
  if (finished_) return {};
  while (step(true)) {
  }
  finished_ = true;
  if (message_.reasoning.find(markers::kBlockOpen) != std::string::npos) {
    note("tool calls inside the reasoning were left there");
  }
  std::string_view after = after_end_;
  if (after.starts_with(markers::kEos)) after.remove_prefix(markers::kEos.size());
  if (!after.empty()) note("text after the end of the answer was left out");
  return std::exchange(deltas_, {});
}

bool ChatStream::step(bool at_end) {
  switch (phase_) {
    case Phase::Start: return step_start(at_end);
    case Phase::Reasoning: return step_reasoning(at_end);
    case Phase::Content: return step_content(at_end);
    case Phase::Calls: return step_calls(at_end);
    case Phase::Done: step_done(); return false;
  }
  return false;
}

void ChatStream::emit(ChatDelta::Kind kind, std::string_view text) {
  if (text.empty()) return;
  (kind == ChatDelta::Kind::Reasoning ? message_.reasoning : message_.content) += text;
  if (!deltas_.empty() && deltas_.back().kind == kind) deltas_.back().text += text;
  else deltas_.push_back({.kind = kind, .text = std::string(text), .call = {}});
}

void ChatStream::note(std::string problem) {
  constexpr std::size_t kMost = 20;
  if (problems_.size() >= kMost || std::find(problems_.begin(), problems_.end(), problem) != problems_.end()) return;
  problems_.push_back(std::move(problem));
}

void ChatStream::emit_calls() {
  for (ToolCall& call : reader_->take_calls()) {
    message_.tool_calls.push_back(call);
    deltas_.push_back({.kind = ChatDelta::Kind::Call, .text = {}, .call = std::move(call)});
  }
}

/// The prompt already ends in the opener; a model that repeats it must not have it shown.
bool ChatStream::step_start(bool at_end) {
  const bool thinks = mode_ == ThinkingMode::Thinking;
  const std::string_view opener = thinks ? markers::kThinkOpen : markers::kThinkClose;
  if (!at_end && pending_.size() < opener.size() && opener.starts_with(pending_)) return false;
  if (pending_.starts_with(opener)) {
    pending_.erase(0, opener.size());
    note("a repeated " + std::string(opener) + " at the start was left out");
  }
  phase_ = thinks ? Phase::Reasoning : Phase::Content;
  return true;
}

bool ChatStream::step_reasoning(bool at_end) {
  const MarkerSearch found = find_marker(pending_, 0, {markers::kThinkClose, markers::kEos});
  const std::size_t end = found.word.empty() && at_end ? pending_.size() : std::min(found.at, pending_.size());
  emit(ChatDelta::Kind::Reasoning, std::string_view(pending_).substr(0, end));
  pending_.erase(0, end + found.word.size());
  if (found.word == markers::kThinkClose) {
    phase_ = Phase::Content;
    return true;
  }
  if (found.word.empty() && !at_end) return false;
  note("the reasoning has no </think>");
  phase_ = Phase::Done;
  return true;
}

bool ChatStream::step_content(bool at_end) {
  const bool reads_calls = !(tools_.known() && tools_.tools.empty());
  const MarkerSearch found =
      reads_calls ? find_marker(pending_, 0, {markers::kEos, markers::kBlockOpen, markers::kInvokeOpen, markers::kV4BlockOpen, markers::kV31CallsOpen})
                  : find_marker(pending_, 0, {markers::kEos});
  std::size_t end = std::min(found.at, pending_.size());
  if (found.word.empty()) {
    end = at_end ? pending_.size() : without_separator(pending_, end);
  } else if (found.word != markers::kEos) {
    end = without_separator(pending_, end);
  }
  emit(ChatDelta::Kind::Content, std::string_view(pending_).substr(0, end));
  if (found.word.empty()) {
    pending_.erase(0, end);
    if (at_end) phase_ = Phase::Done;
    return false;
  }
  separator_ = pending_.substr(end, found.at - end);
  pending_.erase(0, found.at + found.word.size());
  if (found.word == markers::kEos) phase_ = Phase::Done;
  else open_calls(found);
  return true;
}

void ChatStream::open_calls(const MarkerSearch& found) {
  const CallForm form = found.word == markers::kInvokeOpen     ? CallForm::BareInvoke
                        : found.word == markers::kV31CallsOpen ? CallForm::V31Block
                                                               : CallForm::DsmlBlock;
  reader_.emplace(form, found.word, tools_);
  phase_ = Phase::Calls;
}

bool ChatStream::step_calls(bool at_end) {
  const CallReader::State state = reader_->read(std::exchange(pending_, {}));
  emit_calls();
  if (state == CallReader::State::Reading && !at_end) return false;
  for (const std::string& problem : reader_->problems()) note(problem);
  const bool is_content = state == CallReader::State::Broken || (at_end && reader_->is_content_at_end());
  if (is_content) {
    note("markup of tool calls that could not be read was left in the content");
    emit(ChatDelta::Kind::Content, separator_);
    emit(ChatDelta::Kind::Content, reader_->text());
    pending_ = reader_->rest();
    if (state == CallReader::State::Reading) emit(ChatDelta::Kind::Content, std::exchange(pending_, {}));
    phase_ = Phase::Content;
  } else {
    if (state == CallReader::State::Closed) pending_ = reader_->rest();
    else note("the block of tool calls was cut off");
    phase_ = Phase::Done;
  }
  reader_.reset();
  return true;
}

void ChatStream::step_done() {
  constexpr std::size_t kEnough = 64;
  for (const char c : std::exchange(pending_, {})) {
    if (after_end_.size() < kEnough && c != ' ' && c != '\t' && c != '\r' && c != '\n') after_end_ += c;
  }
}

ChatParse parse_chat_lenient(std::string_view completion, ThinkingMode mode, const Json& tools) {
  ChatStream stream(mode, tools);
  stream.feed(completion);
  stream.finish();
  return {.message = stream.message(), .error = std::nullopt, .problems = stream.problems()};
}

}  // namespace gauntlet
