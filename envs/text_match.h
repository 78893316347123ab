#pragma once

// SQL's LIKE and GLOB, instr and replace, with the work that they do counted: SQLite's own take time that is the product of
// their texts' lengths.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gauntlet {

enum class PatternStyle { Like, Glob };

/// The bytes of the UTF-8 character at `at`; 1 for a byte that starts none.
std::size_t character_bytes(std::string_view text, std::size_t at);

/// LIKE folds ASCII letters; `escape` is one character or empty. `work` grows by about the nanoseconds taken.
bool matches_pattern(std::string_view pattern, std::string_view text, PatternStyle style, std::string_view escape,
                     std::size_t& work);

/// Byte offset of the first `needle` at or after `from`.
std::optional<std::size_t> find_text(std::string_view text, std::string_view needle, std::size_t from, std::size_t& work);

/// None if the result would be longer than `max_bytes`. An empty `from` replaces nothing.
std::optional<std::string> replace_text(std::string_view text, std::string_view from, std::string_view to,
                                        std::size_t max_bytes, std::size_t& work);

}  // namespace gauntlet
