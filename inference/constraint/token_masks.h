#pragma once

// A grammar over one vocabulary: where a text is in it, and which tokens may follow. Shared by all sequences that follow the grammar.

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "inference/constraint/state_sets.h"
#include "inference/constraint/vocabulary_trie.h"

namespace gauntlet {

using SharedMask = std::shared_ptr<const std::vector<std::uint64_t>>;

/// A place in the grammar. Sets of states belong to a generation: when there are too many, a new one begins, and places move over when they
/// are used next.
struct GrammarPlace {
  std::shared_ptr<StateSets> sets;
  SetId set = StateSets::kDead;
};

struct MaskStats {
  std::size_t computed = 0, found = 0;  ///< masks
  std::size_t sets = 0;                 ///< in the present generation
};

/// Thread-safe.
class TokenMasks {
 public:
  TokenMasks(Grammar grammar, std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<const VocabularyTrie> trie, const GrammarLimits& limits);

  GrammarPlace start();
  /// One bit a token. Throws Error(Usage) when the grammar is too ambiguous for its limits. `work` counts the steps of a request.
  SharedMask mask(GrammarPlace& place, std::uint64_t& work);
  /// False, and the place is left as it is, if the token may not follow. Throws as mask().
  bool accept(GrammarPlace& place, std::int32_t id, std::uint64_t& work);
  /// Whether the text may end here, with or without going on.
  bool accepts(const GrammarPlace& place);
  /// Whether nothing can follow.
  bool finished(GrammarPlace& place);
  MaskStats stats();

 private:
  /// Limits what `use` does to the steps of a token, and to what the request has left.
  template <typename Use>
  auto limited(std::uint64_t& work, const Use& use);
  void move(GrammarPlace& place);
  SharedMask find_mask(GrammarPlace& place);
  bool read(GrammarPlace& place, std::int32_t id);
  SharedMask compute(StateSets& sets, SetId set);

  std::mutex mutex_;
  const Grammar grammar_;
  const GrammarLimits limits_;
  std::shared_ptr<const Tokenizer> tokenizer_;   ///< shared with the trie's other users
  std::shared_ptr<const VocabularyTrie> trie_;
  std::shared_ptr<StateSets> sets_;              ///< shared with the places of its generation
  bool broken_ = false;                          ///< memory ran out while sets_ were worked on
  struct Kept {
    SetId set;
    SharedMask mask;
  };
  std::list<Kept> kept_;                         ///< masks of sets_, most recently used first
  std::unordered_map<SetId, std::list<Kept>::iterator> by_set_;
  MaskStats stats_;
};

}  // namespace gauntlet
