#pragma once

// Regular expressions without backtracking: time is bounded by pattern length times text length, whatever either holds.

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace gauntlet {

/// Accepted: literals, ".", classes ("[a-z_]", "[^0-9]"), \d \w \s and escaped punctuation, each followed by *, +, ?, {n} or
/// {m,n}; "^" at the start and "$" at the end. No groups, alternatives or look-around. Works on code points.
class TextPattern {
 public:
  /// Throws Error(Input) saying what is not accepted.
  explicit TextPattern(std::string_view pattern);

  /// Whether the text contains a match (unless anchored), as JSON Schema's "pattern" means it.
  bool matches(std::string_view text) const;

 private:
  struct Atom {
    std::vector<std::pair<char32_t, char32_t>> ranges;
    bool negated = false;
    bool optional = false;  ///< may be skipped
    bool repeats = false;   ///< may stay for more

    bool accepts(char32_t c) const;
  };
  void add(const Atom& atom, std::uint32_t low, std::uint32_t high);

  std::vector<Atom> atoms_;
  bool from_start_ = false;
  bool to_end_ = false;
};

}  // namespace gauntlet
