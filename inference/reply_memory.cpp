#include "inference/reply_memory.h"

#include <algorithm>

namespace gauntlet {
namespace {

/// Whether `text` begins with these runs; its own run there may go on.
bool begins_with(const std::vector<MarkedText::Run>& text, const std::vector<MarkedText::Run>& beginning) {
  if (beginning.empty()) return true;
  if (text.size() < beginning.size()) return false;
  const auto last = static_cast<std::ptrdiff_t>(beginning.size()) - 1;
  return std::equal(beginning.begin(), beginning.begin() + last, text.begin()) && text[beginning.size() - 1].origin == beginning.back().origin && text[beginning.size() - 1].end >= beginning.back().end;
}

}  // namespace

MarkedText::MarkedText(std::span<const TextPiece> pieces) {
  for (const auto& piece : pieces) {
    if (piece.text.empty()) continue;
    text += piece.text;
    if (!runs.empty() && runs.back().origin == piece.origin) {
      runs.back().end = text.size();
    } else {
      runs.push_back({.end = text.size(), .origin = piece.origin});
    }
  }
}

void ReplyMemory::remember(const MarkedText& prompt, const std::string& reply, std::vector<std::int32_t> ids) {
  const std::string text = prompt.text + reply;
  const std::lock_guard lock(mutex_);
  if (const auto found = by_text_.find(text); found != by_text_.end()) {
    held_ -= found->second->ids.size();
    const auto item = found->second;
    by_text_.erase(found);
    items_.erase(item);
  }
  held_ += ids.size();
  items_.push_front({.text = text, .runs = prompt.runs, .ids = std::move(ids)});
  by_text_.emplace(items_.front().text, items_.begin());
  while (held_ > most_ids_ && items_.size() > 1) {
    held_ -= items_.back().ids.size();
    by_text_.erase(items_.back().text);
    items_.pop_back();
  }
}

std::pair<std::size_t, std::vector<std::int32_t>> ReplyMemory::recall(const MarkedText& text, const std::vector<std::size_t>& ends) {
  const std::lock_guard lock(mutex_);
  for (auto end = ends.rbegin(); end != ends.rend(); ++end) {
    const auto found = by_text_.find(std::string_view(text.text).substr(0, *end));
    if (found == by_text_.end() || !begins_with(text.runs, found->second->runs)) continue;
    items_.splice(items_.begin(), items_, found->second);
    return {*end, found->second->ids};
  }
  return {0, {}};
}

}  // namespace gauntlet
