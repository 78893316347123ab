#pragma once

// Sets of strings as automata over characters (code points), from which grammars of texts are made: patterns, lengths, formats, numbers. What can
// be much spends of a budget, which throws Error(Usage).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "inference/constraint/budget.h"

namespace gauntlet {

inline constexpr char32_t kLastCharacter = 0x10FFFF;

struct CharRange {
  char32_t low = 0, high = 0;  ///< both included

  bool operator==(const CharRange&) const = default;
};

/// Sorted, without overlap or touch, without surrogates.
using CharSet = std::vector<CharRange>;

CharSet make_char_set(std::vector<CharRange> ranges);
CharSet all_chars();
CharSet complement(const CharSet& set);
CharSet intersect(const CharSet& a, const CharSet& b);
bool contains(const CharSet& set, char32_t c);

/// A nondeterministic automaton without empty steps; state 0 is where a string begins.
struct CharLanguage {
  struct Edge {
    CharSet chars;
    std::uint32_t target = 0;
  };
  struct State {
    std::vector<Edge> edges;
    bool accepts = false;
  };
  std::vector<State> states = {{}};

  /// `text` must be UTF-8.
  bool contains(std::string_view text, Budget& budget) const;
};

/// Strings of `least` to `most` characters of the set.
CharLanguage strings_of(const CharSet& chars, std::uint64_t least, std::uint64_t most, Budget& budget);
/// All strings of characters of the set but these.
CharLanguage strings_but(const CharSet& chars, const std::vector<std::string>& excluded, Budget& budget);
/// Strings of both, without states that lead nowhere. Throws Error(Usage) beyond `most` states; `what` names the schema.
CharLanguage intersect(const CharLanguage& a, const CharLanguage& b, std::size_t most, const std::string& what, Budget& budget);
/// The same strings without the states from which nothing is accepted.
CharLanguage pruned(CharLanguage language, Budget& budget);
/// The same strings without the characters outside the set.
CharLanguage restricted(const CharLanguage& language, const CharSet& chars, Budget& budget);

}  // namespace gauntlet
