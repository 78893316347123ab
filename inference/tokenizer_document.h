#pragma once

// tokenizer.json as JSON. Vocabulary and merges, most of the file, go into flat arrays on the way; the rest becomes a document.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace gauntlet {

inline constexpr std::size_t kLargestTokenizerFile = 64 * 1024 * 1024;
inline constexpr std::size_t kMostTokens = 2'000'000;
inline constexpr std::size_t kMostMerges = 4'000'000;
inline constexpr std::size_t kLongestToken = 64 * 1024;

struct TokenizerDocument {
  /// A stretch of `text`.
  struct Text {
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
  };
  struct VocabEntry {
    Text token;
    std::int64_t id = 0;
  };
  struct MergeEntry {
    Text left;
    Text right;
  };

  std::string text;
  std::vector<VocabEntry> vocab;    ///< /model/vocab, in the file's order
  std::vector<MergeEntry> merges;   ///< /model/merges, from "a b" or ["a", "b"]
  bool has_vocab = false;
  bool has_merges = false;
  Json rest;                        ///< everything else; null in place of these two

  std::string_view view(Text part) const { return std::string_view(text).substr(part.begin, part.size); }
};

/// Throws Error(Input), naming `what` and the place, on a syntax error, a file, token or list that is too large, nesting too deep,
/// a member twice in one object, or a vocabulary or merges of another type.
TokenizerDocument parse_tokenizer_document(std::string_view json, std::string_view what);

}  // namespace gauntlet
