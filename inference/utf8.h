#pragma once

// UTF-8, character by character, over bytes that may be anything.

#include <cstddef>
#include <string>
#include <string_view>

namespace gauntlet {

/// What stands at one place of a byte string.
struct Utf8Unit {
  enum class Kind {
    Character,  ///< a well-formed character of `length` bytes
    Invalid,    ///< `length` bytes that no continuation could make a character
    Cut,        ///< `length` bytes at the end that more bytes could make a character
  };
  Kind kind = Kind::Character;
  std::size_t length = 1;
  char32_t value = 0;  ///< of a Character
};

/// `at` < bytes.size(). An ill-formed stretch is measured as the Unicode standard recommends (maximal subpart), so that replacing
/// each by U+FFFD gives what Rust's from_utf8_lossy and Python's errors="replace" give.
Utf8Unit utf8_unit(std::string_view bytes, std::size_t at);

bool is_utf8(std::string_view bytes);

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Appends one U+FFFD for each ill-formed stretch, everything else as it is.
void append_replacing(std::string& out, std::string_view bytes);

/// Unicode's White_Space property.
bool is_white_space(char32_t value);

}  // namespace gauntlet
