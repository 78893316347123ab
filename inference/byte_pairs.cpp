#include "inference/byte_pairs.h"

#include <array>
#include <bit>
#include <queue>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Up to this length a scan for the best pair is faster than a heap. Also bounds what is precomputed about each token.
constexpr std::size_t kShort = 48;
constexpr std::size_t kMostProbes = 1000;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
}

std::size_t pair_hash(std::uint64_t key) {
  key *= 0x9E3779B97F4A7C15U;
  return key ^ (key >> 32);
}

}  // namespace

BytePairs::BytePairs(const TokenTable& table, const std::vector<MergeRule>& rules, Options options)
    : table_(&table), merges_(std::bit_ceil(2 * rules.size() + 2)), whole_(table.ids(), false) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] = table.find({&c, 1});
  }
  for (std::size_t rank = 0; rank < rules.size(); ++rank) {
    const MergeRule& rule = rules[rank];
    if (options.never.contains(rule.merged)) continue;
    const std::uint64_t key = pair_key(rule.left, rule.right);
    std::size_t slot = pair_hash(key) & (merges_.size() - 1);
    for (std::size_t probes = 0; merges_[slot].pair != kEmpty && merges_[slot].pair != key; slot = (slot + 1) & (merges_.size() - 1)) {
      if (++probes > kMostProbes) fail(ErrorKind::Input, "the merges are chosen so that looking them up is slow");
    }
    merges_[slot] = {.pair = key, .rank = static_cast<std::uint32_t>(rank), .merged = rule.merged};
  }
  for (std::size_t id = 0; id < table.ids(); ++id) {
    whole_[id] = becomes_itself(static_cast<std::int32_t>(id), options);
  }
}

bool BytePairs::becomes_itself(std::int32_t id, const Options& options) const {
  const std::string_view bytes = table_->bytes(id);
  if (bytes.empty() || table_->find(bytes) != id || options.never.contains(id)) return false;
  if (options.ignore_merges) return true;
  if (bytes.size() > kShort) return false;  // not known: such a word is merged when it comes
  for (const char c : bytes) {
    if (byte_ids_[static_cast<unsigned char>(c)] == kNoToken) return false;
  }
  std::vector<std::int32_t> ids;
  merge_short(bytes, ids);
  return ids.size() == 1 && ids[0] == id;
}

const BytePairs::Merge& BytePairs::find_merge(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  std::size_t slot = pair_hash(key) & (merges_.size() - 1);
  while (merges_[slot].pair != key && merges_[slot].pair != kEmpty) slot = (slot + 1) & (merges_.size() - 1);
  return merges_[slot];
}

void BytePairs::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (word.empty()) return;
  const std::int32_t whole = table_->find(word);
  if (whole != kNoToken && whole_[static_cast<std::size_t>(whole)]) {
    ids.push_back(whole);
  } else if (word.size() <= kShort) {
    merge_short(word, ids);
  } else {
    merge_long(word, ids);
  }
}

void BytePairs::merge_short(std::string_view word, std::vector<std::int32_t>& ids) const {
  std::array<std::int32_t, kShort> symbols;
  std::array<const Merge*, kShort> pairs;  // pairs[i]: what symbols i and i + 1 become
  std::size_t count = word.size();
  for (std::size_t i = 0; i < count; ++i) symbols[i] = byte_ids_[static_cast<unsigned char>(word[i])];
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = &find_merge(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i]->rank < pairs[best]->rank) best = i;
    }
    if (pairs[best]->rank == kNoRank) break;
    symbols[best] = pairs[best]->merged;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (std::size_t i = best; i + 1 < count; ++i) pairs[i] = pairs[i + 1];
    if (best > 0) pairs[best - 1] = &find_merge(symbols[best - 1], symbols[best]);
    if (best + 1 < count) pairs[best] = &find_merge(symbols[best], symbols[best + 1]);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(count));
}

void BytePairs::merge_long(std::string_view word, std::vector<std::int32_t>& ids) const {
  struct Symbol {
    std::int32_t id = kNoToken;  ///< kNoToken once merged into its left neighbour
    std::int32_t previous = -1;
    std::int32_t next = -1;
  };
  struct Candidate {
    std::uint32_t rank;
    std::int32_t place;
    std::uint64_t pair;  ///< as it was when queued; another pair there now makes the entry stale
    std::int32_t merged;
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : place > other.place; }
  };
  require(word.size() < INT32_MAX, ErrorKind::Input, "a word of 2 GiB cannot be encoded");
  const auto count = static_cast<std::int32_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  std::priority_queue<Candidate> queue;
  const auto at = [&](std::int32_t place) -> Symbol& { return symbols[static_cast<std::size_t>(place)]; };
  const auto offer = [&](std::int32_t place) {
    if (place < 0 || at(place).next < 0) return;
    const Merge& merge = find_merge(at(place).id, at(at(place).next).id);
    if (merge.rank != kNoRank) queue.push({merge.rank, place, merge.pair, merge.merged});
  };
  for (std::int32_t i = 0; i < count; ++i) {
    at(i) = {byte_ids_[static_cast<unsigned char>(word[static_cast<std::size_t>(i)])], i - 1, i + 1 < count ? i + 1 : -1};
  }
  for (std::int32_t i = 0; i < count; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = at(best.place);
    if (left.id == kNoToken || left.next < 0 || pair_key(left.id, at(left.next).id) != best.pair) continue;
    Symbol& right = at(left.next);
    left.id = best.merged;
    right.id = kNoToken;
    left.next = right.next;
    if (left.next >= 0) at(left.next).previous = best.place;
    offer(left.previous);
    offer(best.place);
  }
  for (std::int32_t i = 0; i >= 0; i = at(i).next) ids.push_back(at(i).id);
}

}  // namespace gauntlet
