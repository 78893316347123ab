#pragma once

// The printable stand-ins by which byte-level vocabularies spell bytes: the 188 printable bytes of Latin-1 stand for themselves,
// the other 68 for U+0100 and up, in order (space is "Ġ", newline "Ċ").

#include <optional>
#include <string>
#include <string_view>

namespace gauntlet {

/// The bytes that `spelling` (UTF-8) spells; nothing if it has a character outside the alphabet.
std::optional<std::string> bytes_of_spelling(std::string_view spelling);

/// The inverse: two bytes at most for each byte.
std::string spelling_of_bytes(std::string_view bytes);

}  // namespace gauntlet
