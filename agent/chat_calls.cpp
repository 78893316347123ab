// Tested through chat_format_test.cpp and chat_property_test.cpp.

#include "agent/chat_calls.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "agent/chat_arguments.h"
#include "agent/chat_markers.h"
#include "agent/python_json.h"

namespace gauntlet {
namespace {

namespace markers = chat_markers;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

constexpr std::string_view kName = "name=\"";

/// Strips `string="true"` or `string="false"` in any case, as the model's Python habits have it. -1: neither is there.
int take_string_attribute(std::string_view& tag) {
  std::string lower(tag.substr(tag.size() - std::min<std::size_t>(tag.size(), 14)));
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const auto& [word, value] : {std::pair<std::string_view, int>{"string=\"true\"", 1}, {"string=\"false\"", 0}}) {
    if (!lower.ends_with(word)) continue;
    tag.remove_suffix(word.size());
    return value;
  }
  return -1;
}

}  // namespace

MarkerSearch find_marker(std::string_view text, std::size_t from, std::initializer_list<std::string_view> words) {
  for (std::size_t place = text.find('<', from); place != std::string_view::npos; place = text.find('<', place + 1)) {
    const std::string_view rest = text.substr(place);
    for (const std::string_view word : words) {
      if (rest.starts_with(word)) return {place, word};
    }
    if (std::any_of(words.begin(), words.end(), [&](std::string_view word) { return word.starts_with(rest); })) return {place, {}};
  }
  return {};
}

const Json* DeclaredTools::find(std::string_view name) const {
  if (!tools.is_array()) return nullptr;
  for (const Json& tool : tools) {
    const auto function = tool.is_object() ? tool.find("function") : tool.end();
    if (function == tool.end() || !function->is_object()) continue;
    const auto found = function->find("name");
    if (found != function->end() && found->is_string() && found->get_ref<const std::string&>() == name) return &*function;
  }
  return nullptr;
}

CallReader::CallReader(CallForm form, std::string_view opener, const DeclaredTools& tools) : form_(form), tools_(tools), text_(opener) {
  const Phase first = form == CallForm::DsmlBlock ? Phase::BlockTag : form == CallForm::BareInvoke ? Phase::InvokeTag : Phase::V31Between;
  advance(text_.size(), first);
}

CallReader::State CallReader::read(std::string_view bytes) {
  text_ += bytes;
  while (state_ == State::Reading && step()) {
  }
  return state_;
}

std::vector<ToolCall> CallReader::take_calls() { return std::exchange(calls_, {}); }

bool CallReader::is_content_at_end() const {
  if (state_ != State::Reading || good_ > 0) return false;
  return form_ == CallForm::BareInvoke || rest().find(markers::kBlockClose) != std::string_view::npos ||
         rest().find(markers::kV4BlockClose) != std::string_view::npos;
}

/// One step forward; false if more text is needed or the reading has ended.
bool CallReader::step() {
  switch (phase_) {
    case Phase::BlockTag: return step_block_tag();
    case Phase::Between: return step_between();
    case Phase::InvokeTag: return step_invoke_tag();
    case Phase::Inside: return step_inside();
    case Phase::ParameterTag: return step_parameter_tag();
    case Phase::Value: return step_value();
    case Phase::InvokeEnd: return step_invoke_end();
    case Phase::V31Between: return step_v31_between();
    case Phase::V31Call: return step_v31_call();
  }
  return false;
}

void CallReader::advance(std::size_t to, Phase next) {
  at_ = to;
  search_ = to;
  phase_ = next;
}

/// False at the end of the text.
bool CallReader::skip_space() {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  search_ = std::max(search_, at_);
  return at_ < text_.size();
}

bool CallReader::close() {
  state_ = good_ > 0 || (bad_ == 0 && !junk_ && form_ != CallForm::BareInvoke) ? State::Closed : State::Broken;
  return false;
}

void CallReader::spoil(std::string_view reason) {
  if (spoiled_.empty()) spoiled_ = reason;
}

/// Like find_marker, but only for a word right here: at is npos if something else stands here.
MarkerSearch CallReader::at_marker(std::initializer_list<std::string_view> words) const {
  if (text_[at_] != '<') return {};
  constexpr std::size_t kLongest = 64;  // longer than any marker
  const MarkerSearch found = find_marker(std::string_view(text_).substr(0, at_ + kLongest), at_, words);
  return found.at == at_ ? found : MarkerSearch{};
}

/// Steps over text that belongs to nothing, up to one of `words`. False if none is there yet.
bool CallReader::skip_junk(std::initializer_list<std::string_view> words) {
  const MarkerSearch found = find_marker(text_, search_, words);
  search_ = std::min(found.at, text_.size());
  if (found.word.empty()) return false;
  at_ = found.at;
  return true;
}

bool CallReader::step_block_tag() {
  if (!skip_space()) return false;
  if (text_[at_] == '>') {
    advance(at_ + 1, Phase::Between);
    return true;
  }
  junk_ = true;
  return close();
}

bool CallReader::step_between() {
  const std::initializer_list<std::string_view> words = {markers::kInvokeOpen, markers::kBlockClose, markers::kV4BlockClose};
  if (form_ == CallForm::BareInvoke && good_ == 0) return close();
  if (!skip_space()) return false;
  const MarkerSearch here = at_marker(words);
  if (here.at == std::string_view::npos) {
    if (form_ == CallForm::BareInvoke) return close();
    if (!std::exchange(junk_, true)) problems_.emplace_back("text between the calls of a block was left out");
    return skip_junk(words);
  }
  if (here.word.empty()) return false;
  if (here.word == markers::kInvokeOpen) {
    advance(at_ + here.word.size(), Phase::InvokeTag);
    return true;
  }
  at_ += here.word.size();
  return close();
}

bool CallReader::step_invoke_tag() {
  const std::size_t end = text_.find('>', search_);
  search_ = std::min(end, text_.size() - 1) + 1;
  if (end == std::string::npos) return false;
  std::string_view tag = trimmed(std::string_view(text_).substr(at_, end - at_));
  if (!tag.starts_with(kName)) {
    spoil("its tag has no name");
    advance(end + 1, Phase::Inside);
    return true;
  }
  tag.remove_prefix(kName.size());
  const bool self_closing = take_suffix(tag, "/");
  tag = tag.substr(0, tag.find_last_not_of(" \t\r\n") + 1);
  if (!take_suffix(tag, "\"")) return true;
  name_ = valid_utf8(tag);
  advance(end + 1, Phase::Inside);
  if (self_closing) {
    complete_call();
    phase_ = Phase::Between;
  }
  return true;
}

bool CallReader::step_inside() {
  const std::initializer_list<std::string_view> words = {markers::kParameterOpen, markers::kInvokeClose, markers::kInvokeOpen, markers::kBlockClose, markers::kV4BlockClose};
  if (!skip_space()) return false;
  const MarkerSearch here = at_marker(words);
  if (here.at == std::string_view::npos) {
    spoil("it holds text outside its parameters");
    return skip_junk(words);
  }
  if (here.word.empty()) return false;
  if (here.word == markers::kParameterOpen) {
    advance(at_ + here.word.size(), Phase::ParameterTag);
  } else if (here.word == markers::kInvokeClose) {
    advance(at_ + here.word.size(), Phase::InvokeEnd);
  } else {
    spoil("it has no closing tag");
    complete_call();
    advance(at_, Phase::Between);
  }
  return true;
}

bool CallReader::step_parameter_tag() {
  const std::size_t end = text_.find('>', search_);
  search_ = std::min(end, text_.size() - 1) + 1;
  if (end == std::string::npos) return false;
  std::string_view tag = trimmed(std::string_view(text_).substr(at_, end - at_));
  // A ">" that follows no quotation mark stands inside the key.
  if (!tag.ends_with('"') && tag.starts_with(kName)) return true;
  const int is_string = take_string_attribute(tag);
  tag = trimmed(tag);
  if (is_string < 0 || !tag.starts_with(kName) || tag.size() <= kName.size() || !tag.ends_with('"')) {
    spoil("a parameter tag is not name=\"…\" string=\"true|false\"");
    advance(end + 1, Phase::Inside);
    return true;
  }
  tag.remove_prefix(kName.size());
  tag.remove_suffix(1);
  const bool again = std::any_of(parameters_.begin(), parameters_.end(), [&](const CallParameter& p) { return p.key == tag; });
  if (again) spoil("a parameter stands twice");
  else parameters_.push_back({.key = std::string(tag), .value = {}, .is_string = is_string == 1});
  advance(end + 1, Phase::Value);
  return true;
}

bool CallReader::step_value() {
  const MarkerSearch found = find_marker(text_, search_, {markers::kParameterClose});
  search_ = std::min(found.at, text_.size());
  if (found.word.empty()) return false;
  const std::size_t end = text_.find_first_not_of(" \t\r\n", found.at + found.word.size());
  if (end == std::string::npos) return false;
  if (text_[end] != '>') spoil("a parameter's closing tag does not end");
  if (spoiled_.empty()) parameters_.back().value = text_.substr(at_, found.at - at_);
  advance(text_[end] == '>' ? end + 1 : end, Phase::Inside);
  return true;
}

bool CallReader::step_invoke_end() {
  if (!skip_space()) return false;
  const bool closes = text_[at_] == '>';
  if (!closes) spoil("its closing tag does not end");
  complete_call();
  advance(closes ? at_ + 1 : at_, Phase::Between);
  return true;
}

void CallReader::complete_call(std::optional<std::string> arguments) {
  const Json* function = tools_.find(name_);
  if (name_.empty()) spoil("its tag has no name");
  if (tools_.known() && function == nullptr) spoil("no such tool was declared");
  if (spoiled_.empty()) {
    calls_.push_back({.id = {}, .name = name_, .arguments = arguments ? std::move(*arguments) : dsml_arguments(parameters_, function)});
    ++good_;
  } else {
    problems_.push_back("call of \"" + name_ + "\" not taken: " + spoiled_);
    ++bad_;
  }
  name_.clear();
  parameters_.clear();
  spoiled_.clear();
}

bool CallReader::step_v31_between() {
  const std::initializer_list<std::string_view> words = {markers::kV31CallOpen, markers::kV31CallsClose};
  if (!skip_space()) return false;
  const MarkerSearch here = at_marker(words);
  if (here.at == std::string_view::npos) {
    if (!std::exchange(junk_, true)) problems_.emplace_back("text between the calls of a block was left out");
    return skip_junk(words);
  }
  if (here.word.empty()) return false;
  if (here.word == markers::kV31CallOpen) {
    advance(at_ + here.word.size(), Phase::V31Call);
    return true;
  }
  at_ += here.word.size();
  return close();
}

bool CallReader::step_v31_call() {
  const MarkerSearch found = find_marker(text_, search_, {markers::kV31CallClose, markers::kV31CallOpen, markers::kV31CallsClose});
  search_ = std::min(found.at, text_.size());
  if (found.word.empty()) return false;
  const std::string_view body = std::string_view(text_).substr(at_, found.at - at_);
  const std::size_t middle = body.find(markers::kV31Separator);
  name_ = valid_utf8(trimmed(body.substr(0, middle)));
  const std::string_view arguments = middle == std::string_view::npos ? body.substr(0, 0) : trimmed(body.substr(middle + markers::kV31Separator.size()));
  const PythonJsonReading reading = read_python_json(arguments, JsonDialect::Strict);
  const bool closes = found.word == markers::kV31CallClose;
  if (!closes) spoil("it has no closing tag");
  if (!reading.value || !reading.value->is_object()) spoil("its arguments are no JSON object");
  complete_call(std::string(arguments));
  advance(closes ? found.at + found.word.size() : found.at, Phase::V31Between);
  return true;
}

}  // namespace gauntlet
