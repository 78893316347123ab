#pragma once

// Byte-pair encoding of one word: the adjacent pair with the lowest rank is merged first, the leftmost of equals, until no pair
// has a rank.

#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "inference/token_table.h"

namespace gauntlet {

struct MergeRule {
  std::int32_t left = kNoToken;
  std::int32_t right = kNoToken;
  std::int32_t merged = kNoToken;
};

class BytePairs {
 public:
  struct Options {
    bool ignore_merges = false;  ///< a word that is itself a token becomes that token, whatever the merges say
    /// Ids that no word may become: a merge that makes one is not applied.
    std::unordered_set<std::int32_t> never;
  };

  /// `table` must outlive this and hold each byte that UTF-8 uses. Rules in order of rank; of two for one pair the last holds.
  BytePairs(const TokenTable& table, const std::vector<MergeRule>& rules, Options options);

  /// Appends the ids of `word` (UTF-8). Takes O(n log n) steps.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

 private:
  struct Merge {
    std::uint64_t pair = kEmpty;
    std::uint32_t rank = kNoRank;
    std::int32_t merged = kNoToken;
  };
  static constexpr std::uint64_t kEmpty = UINT64_MAX;
  static constexpr std::uint32_t kNoRank = UINT32_MAX;

  const Merge& find_merge(std::int32_t left, std::int32_t right) const;
  void merge_short(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_long(std::string_view word, std::vector<std::int32_t>& ids) const;
  bool becomes_itself(std::int32_t id, const Options& options) const;

  const TokenTable* table_;
  std::vector<Merge> merges_;       ///< open addressing, a power of two, at most half full
  std::int32_t byte_ids_[256];
  std::vector<bool> whole_;         ///< by id: a word with these bytes is encoded as this one token
};

}  // namespace gauntlet
