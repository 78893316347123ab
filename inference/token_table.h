#pragma once

// The vocabulary: the bytes of each id and the id of each byte string, in two flat allocations.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gauntlet {

inline constexpr std::int32_t kNoToken = -1;

class TokenTable {
 public:
  /// Room for ids below `ids` that hold `total_bytes` together.
  TokenTable(std::size_t ids, std::size_t total_bytes);

  /// `id` must be in range and free. With Findable::Yes, find(bytes) gives it from now on; no other token has these bytes. Throws Error(Input)
  /// if the tokens were chosen so that look-ups would be slow.
  enum class Findable { No, Yes };
  void add(std::int32_t id, std::string_view bytes, Findable findable);

  std::size_t ids() const { return entries_.size(); }
  bool holds(std::int32_t id) const {
    return id >= 0 && static_cast<std::size_t>(id) < entries_.size() && entries_[static_cast<std::size_t>(id)].size != kHole;
  }
  /// "" for an id without a token.
  std::string_view bytes(std::int32_t id) const;
  std::int32_t find(std::string_view bytes) const;

 private:
  static constexpr std::uint32_t kHole = UINT32_MAX;
  struct Entry {
    std::uint32_t begin = 0;
    std::uint32_t size = kHole;
  };
  std::string text_;
  std::vector<Entry> entries_;
  std::vector<std::int32_t> slots_;  ///< open addressing, a power of two, at most half full
};

}  // namespace gauntlet
