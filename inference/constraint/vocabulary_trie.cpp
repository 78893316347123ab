// Tested through token_masks_test.cpp.

#include "inference/constraint/vocabulary_trie.h"

#include <algorithm>

namespace gauntlet {

VocabularyTrie::VocabularyTrie(const Tokenizer& tokenizer) {
  std::vector<std::pair<std::string_view, std::int32_t>> tokens;
  for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokenizer.vocab_size()); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    longest_ = std::max(longest_, bytes.size());
    if (!bytes.empty() && !tokenizer.is_marker(id) && !tokenizer.is_special(id)) tokens.emplace_back(bytes, id);
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<std::uint32_t> path;  // nodes of the bytes of the token before
  std::string_view before;
  const auto leave = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].after = static_cast<std::uint32_t>(nodes_.size());
  };
  for (const auto& [bytes, id] : tokens) {
    std::size_t shared = 0;
    while (shared < before.size() && shared < bytes.size() && before[shared] == bytes[shared]) ++shared;
    leave(shared);
    for (std::size_t i = shared; i < bytes.size(); ++i) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({.tokens_end = static_cast<std::uint32_t>(tokens_.size()), .byte = static_cast<std::uint8_t>(bytes[i])});
    }
    tokens_.push_back(id);
    nodes_.back().tokens_end = static_cast<std::uint32_t>(tokens_.size());
    before = bytes;
  }
  leave(0);
}

}  // namespace gauntlet
