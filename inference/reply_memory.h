#pragma once

// Replies keep the ids with which they were sampled: when a conversation comes back with a reply in it, the text up to the reply's end is
// looked up here instead of being tokenised again, which could give other ids.

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text_piece.h"

namespace gauntlet {

/// A conversation's text with the origin of every byte: runs end where the origin changes.
struct MarkedText {
  struct Run {
    std::size_t end = 0;
    Origin origin = Origin::Data;

    bool operator==(const Run&) const = default;
  };

  std::string text;
  std::vector<Run> runs;

  MarkedText() = default;
  explicit MarkedText(std::span<const TextPiece> pieces);
};

/// A hash of a text that grows: that of a beginning is known on the way to the end.
class GrowingHash {
 public:
  explicit GrowingHash(std::uint64_t base) : base_(base) {}
  void add(std::string_view text);
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t base_;
  std::uint64_t value_ = 1;
};

/// Least recently used texts are forgotten. Thread-safe; what takes time for a long text is done outside its lock.
class ReplyMemory {
 public:
  explicit ReplyMemory(std::size_t most_ids = 16'000'000);

  /// `ids` are those of prompt and reply.
  void remember(const MarkedText& prompt, const std::string& reply, std::vector<std::int32_t> ids);
  /// The longest remembered beginning of `text`: its length in bytes, and its ids; 0 and none otherwise. `ends`: places where a reply
  /// may end, ascending; of very many the last ones are looked at. Origins count: a user's text that spells out a conversation is not that conversation.
  std::pair<std::size_t, std::vector<std::int32_t>> recall(const MarkedText& text, const std::vector<std::size_t>& ends);

 private:
  struct Item {
    std::string text;
    std::vector<MarkedText::Run> runs;  ///< of the prompt; what the reply's bytes are, its ids say
    std::vector<std::int32_t> ids;
    std::uint64_t hash = 0;
  };
  using Place = std::list<Item>::iterator;
  void forget(Place item);

  std::mutex mutex_;
  std::uint64_t base_;  ///< drawn anew for each memory, so that nobody can make texts that collide
  std::size_t most_ids_;
  std::size_t held_ = 0;
  std::list<Item> items_;  ///< most recently used first
  std::unordered_map<std::uint64_t, Place> by_hash_;  ///< of two texts with one hash the newer is kept
};

}  // namespace gauntlet
