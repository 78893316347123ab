#include "envs/text_match.h"

#include <algorithm>
#include <vector>

namespace gauntlet {
namespace {

struct Token {
  enum class Kind { Many, One, Literal, Set };
  Kind kind = Kind::Literal;
  std::string_view text;  ///< Literal: one character; Set: what is between the brackets, without '^'
  bool negated = false;
};

char fold(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_character(std::string_view a, std::string_view b, PatternStyle style) {
  if (style == PatternStyle::Like && a.size() == 1 && b.size() == 1) return fold(a[0]) == fold(b[0]);
  return a == b;
}

/// UTF-8 sorts as its characters do, so ranges can be compared as bytes.
bool in_set(const Token& set, std::string_view character) {
  bool found = false;
  for (std::size_t at = 0; at < set.text.size();) {
    const std::string_view low = set.text.substr(at, character_bytes(set.text, at));
    at += low.size();
    std::string_view high = low;
    if (at + 1 < set.text.size() && set.text[at] == '-') {
      high = set.text.substr(at + 1, character_bytes(set.text, at + 1));
      at += 1 + high.size();
    }
    found |= low <= character && character <= high;
  }
  return found != set.negated;
}

/// Moves `at` behind a "[…]"; none if it does not end.
std::optional<Token> read_set(std::string_view pattern, std::size_t& at) {
  std::size_t from = at + 1;
  const bool negated = from < pattern.size() && pattern[from] == '^';
  if (negated) ++from;
  const std::size_t end = pattern.find(']', from + 1);  // A ']' at the start stands for itself.
  if (end == std::string_view::npos) return std::nullopt;
  at = end + 1;
  return Token{.kind = Token::Kind::Set, .text = pattern.substr(from, end - from), .negated = negated};
}

/// None for a pattern that can match nothing.
std::optional<std::vector<Token>> read_pattern(std::string_view pattern, PatternStyle style, std::string_view escape) {
  const bool glob = style == PatternStyle::Glob;
  std::vector<Token> tokens;
  for (std::size_t at = 0; at < pattern.size();) {
    std::string_view character = pattern.substr(at, character_bytes(pattern, at));
    if (glob && character == "[") {
      const auto set = read_set(pattern, at);
      if (!set) return std::nullopt;
      tokens.push_back(*set);
      continue;
    }
    at += character.size();
    if (!escape.empty() && character == escape) {
      if (at == pattern.size()) return std::nullopt;
      character = pattern.substr(at, character_bytes(pattern, at));
      at += character.size();
      tokens.push_back({.kind = Token::Kind::Literal, .text = character});
    } else if (character == (glob ? "*" : "%")) {
      tokens.push_back({.kind = Token::Kind::Many, .text = {}});
    } else if (character == (glob ? "?" : "_")) {
      tokens.push_back({.kind = Token::Kind::One, .text = {}});
    } else {
      tokens.push_back({.kind = Token::Kind::Literal, .text = character});
    }
  }
  return tokens;
}

}  // namespace

std::size_t character_bytes(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0xC0) return 1;
  const std::size_t longest = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  std::size_t bytes = 1;
  while (bytes < longest && at + bytes < text.size() && (static_cast<unsigned char>(text[at + bytes]) & 0xC0) == 0x80) ++bytes;
  return bytes;
}

bool matches_pattern(std::string_view pattern, std::string_view text, PatternStyle style, std::string_view escape,
                     std::size_t& work) {
  work += 100 + 10 * pattern.size();
  const auto tokens = read_pattern(pattern, style, escape);
  if (!tokens) return false;
  constexpr std::size_t kNone = std::string_view::npos;
  std::size_t at = 0;
  std::size_t token = 0;
  std::size_t retry_token = kNone;  // Behind the last Many; it takes one character more at each retry.
  std::size_t retry_at = 0;
  while (at < text.size()) {
    work += 5;
    const std::size_t bytes = character_bytes(text, at);
    bool fits = false;
    if (token < tokens->size()) {
      const Token& expected = (*tokens)[token];
      if (expected.kind == Token::Kind::Many) {
        retry_token = ++token;
        retry_at = at;
        continue;
      }
      if (expected.kind == Token::Kind::Set) work += 5 * expected.text.size();
      fits = expected.kind == Token::Kind::One ||
             (expected.kind == Token::Kind::Set ? in_set(expected, text.substr(at, bytes))
                                                : same_character(expected.text, text.substr(at, bytes), style));
    }
    if (fits) {
      ++token;
      at += bytes;
    } else if (retry_token == kNone) {
      return false;
    } else if (retry_token == tokens->size()) {
      return true;
    } else {
      retry_at += character_bytes(text, retry_at);
      at = retry_at;
      token = retry_token;
    }
  }
  while (token < tokens->size() && (*tokens)[token].kind == Token::Kind::Many) ++token;
  return token == tokens->size();
}

std::optional<std::size_t> find_text(std::string_view text, std::string_view needle, std::size_t from, std::size_t& work) {
  work += 20;
  if (needle.size() > text.size()) return std::nullopt;
  for (std::size_t at = from; at + needle.size() <= text.size(); ++at) {
    const std::size_t candidate = needle.empty() ? at : text.find(needle[0], at);
    if (candidate == std::string_view::npos || candidate + needle.size() > text.size()) {
      work += text.size() - at;
      return std::nullopt;
    }
    work += 5 + candidate - at + needle.size() / 4;
    if (text.compare(candidate, needle.size(), needle) == 0) return candidate;
    at = candidate;
  }
  return std::nullopt;
}

std::optional<std::string> replace_text(std::string_view text, std::string_view from, std::string_view to,
                                        std::size_t max_bytes, std::size_t& work) {
  std::string out;
  std::size_t at = 0;
  while (!from.empty()) {
    const auto found = find_text(text, from, at, work);
    if (!found) break;
    out.append(text, at, *found - at);
    out += to;
    work += to.size();
    if (out.size() > max_bytes) return std::nullopt;
    at = *found + from.size();
  }
  out.append(text, at);
  work += text.size() - at;
  if (out.size() > max_bytes) return std::nullopt;
  return out;
}

}  // namespace gauntlet
