#pragma once

// Tokens that are looked for in the text itself, before it is split into words.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inference/text_origin.h"

namespace gauntlet {

struct AddedToken {
  std::string content;
  std::int32_t id = -1;
  bool special = false;     ///< decoding can leave it out
  bool lstrip = false;      ///< takes the white space before it along
  bool rstrip = false;      ///< takes the white space after it along
  bool normalized = false;  ///< looked for after all that are not, in the stretches between these
  /// Matched only where the template wrote every byte of it. All special tokens are markers, and so are other added tokens with a
  /// character besides letters, marks, numbers and white space ("<tool_call>", "</think>"): those structure a conversation just
  /// as much. What remains ("    ", "covid") is ordinary vocabulary and is matched anywhere.
  bool marker = true;
};

inline constexpr std::size_t kLongestAddedToken = 256;

/// One stretch of text, in order: an added token, or text between them (id -1).
struct TextSegment {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::int32_t id = -1;
};

class AddedTokenMatcher {
 public:
  /// Contents are distinct, and 1 to kLongestAddedToken bytes long.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  /// Appends the segments of text[begin, end): leftmost match first, the longest of several at one place, as Hugging Face's
  /// tokenizers does. Returns the number of markers that were not matched because of their origin.
  std::size_t segment(const OriginText& text, TextSegment stretch, std::vector<TextSegment>& segments) const;

 private:
  struct Match {
    const AddedToken* token = nullptr;
    std::size_t smuggled_bytes = 0;  ///< length of the longest marker here whose origin forbids it, if it is longer than the match
  };
  Match match_at(const OriginText& text, std::size_t at, std::size_t end) const;

  std::vector<AddedToken> tokens_;  ///< sorted by content
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  std::array<Range, 256> by_first_byte_{};
};

}  // namespace gauntlet
