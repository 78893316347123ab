#include "inference/reply_memory.h"

#include <algorithm>
#include <iterator>
#include <random>

namespace gauntlet {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;
constexpr std::size_t kMostEnds = 4096;  ///< of one conversation that are looked up
constexpr int kMostCompared = 16;        ///< texts that have the hash and are not the same

std::uint64_t draw_base() {
  std::random_device device;
  return (((std::uint64_t{device()} << 32) | device()) % (kPrime - 1'000)) + 500;
}

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

void GrowingHash::add(std::string_view text) {
  std::uint64_t value = value_;
  for (const char c : text) {
    const Wide product = static_cast<Wide>(value) * base_ + static_cast<unsigned char>(c);
    value = static_cast<std::uint64_t>(product & kPrime) + static_cast<std::uint64_t>(product >> 61);
    if (value >= kPrime) value -= kPrime;
  }
  value_ = value;
}

ReplyMemory::ReplyMemory(std::size_t most_ids) : base_(draw_base()), most_ids_(most_ids) {}

void ReplyMemory::forget(Place item) {
  held_ -= item->ids.size();
  by_hash_.erase(item->hash);
  items_.erase(item);
}

void ReplyMemory::remember(const MarkedText& prompt, const std::string& reply, std::vector<std::int32_t> ids) {
  GrowingHash hash(base_);
  hash.add(prompt.text);
  hash.add(reply);
  std::list<Item> fresh;
  fresh.push_front({.text = prompt.text + reply, .runs = prompt.runs, .ids = std::move(ids), .hash = hash.value()});
  const std::lock_guard lock(mutex_);
  if (const auto found = by_hash_.find(hash.value()); found != by_hash_.end()) forget(found->second);
  held_ += fresh.front().ids.size();
  items_.splice(items_.begin(), fresh);
  by_hash_.emplace(hash.value(), items_.begin());
  while (held_ > most_ids_ && items_.size() > 1) forget(std::prev(items_.end()));
}

std::pair<std::size_t, std::vector<std::int32_t>> ReplyMemory::recall(const MarkedText& text, const std::vector<std::size_t>& ends) {
  const auto looked_at = std::span(ends).last(std::min(ends.size(), kMostEnds));
  const std::string_view whole = text.text;
  std::vector<std::uint64_t> hashes;
  GrowingHash hash(base_);
  std::size_t at = 0;
  for (const std::size_t end : looked_at) {
    hash.add(whole.substr(at, end - at));
    hashes.push_back(hash.value());
    at = end;
  }
  int compared = 0;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = looked_at.size(); i-- > 0;) {
    const auto found = by_hash_.find(hashes[i]);
    if (found == by_hash_.end()) continue;
    const Place item = found->second;
    if (item->text == whole.substr(0, looked_at[i]) && begins_with(text.runs, item->runs)) {
      items_.splice(items_.begin(), items_, item);
      return {looked_at[i], item->ids};
    }
    // The same bytes from another hand, again and again: somebody tries.
    if (++compared == kMostCompared) break;
  }
  return {0, {}};
}

}  // namespace gauntlet
