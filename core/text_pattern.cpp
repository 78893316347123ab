#include "core/text_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxAtoms = 2'000;
constexpr std::uint32_t kUnbounded = std::numeric_limits<std::uint32_t>::max();
constexpr char32_t kLastCodePoint = 0x10FFFF;

/// Lenient: a byte that starts no character counts as one.
std::u32string code_points(std::string_view text) {
  std::u32string out;
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length == 1 || i + length > text.size()) {
      out += lead;
      ++i;
      continue;
    }
    char32_t c = lead & (0xFFU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3FU);
    out += c;
    i += length;
  }
  return out;
}

using Ranges = std::vector<std::pair<char32_t, char32_t>>;

class Reader {
 public:
  explicit Reader(std::string_view pattern) : source_(pattern), text_(code_points(pattern)) {}

  bool done() const { return at_ == text_.size(); }
  char32_t peek() const { return done() ? U'\0' : text_[at_]; }
  char32_t take() {
    if (done()) refuse("it ends too early");
    return text_[at_++];
  }
  bool skip(char32_t c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::size_t left() const { return text_.size() - at_; }

  [[noreturn]] void refuse(std::string_view why) const {
    fail(ErrorKind::Input, fmt::format("the pattern \"{}\" is not accepted: {} (at character {})", source_, why, at_));
  }

  void escape(Ranges& out) {
    const char32_t c = take();
    switch (c) {
      case U'd':
        out.insert(out.end(), {{U'0', U'9'}});
        return;
      case U'w':
        out.insert(out.end(), {{U'a', U'z'}, {U'A', U'Z'}, {U'0', U'9'}, {U'_', U'_'}});
        return;
      case U's':
        out.insert(out.end(), {{U' ', U' '}, {U'\t', U'\r'}});
        return;
      case U'n':
        out.push_back({U'\n', U'\n'});
        return;
      case U't':
        out.push_back({U'\t', U'\t'});
        return;
      default:
        break;
    }
    const bool letter = (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9');
    if (letter) refuse("this escape is unknown; \\d, \\w, \\s, \\n, \\t and escaped punctuation are known");
    out.push_back({c, c});
  }

  void char_class(Ranges& out) {
    bool first = true;
    while (first || peek() != U']') {
      first = false;
      const char32_t low = take();
      if (low == U'\\') {
        escape(out);
        continue;
      }
      char32_t high = low;
      if (peek() == U'-' && left() > 1 && text_[at_ + 1] != U']') {
        ++at_;
        high = take();
        if (high == U'\\' || high < low) refuse("a range runs backwards or ends in an escape");
      }
      out.push_back({low, high});
    }
    ++at_;
  }

  std::uint32_t number() {
    std::uint32_t value = 0;
    if (peek() < U'0' || peek() > U'9') refuse("a number is missing in braces");
    while (peek() >= U'0' && peek() <= U'9')
      value = std::min<std::uint32_t>(value * 10 + static_cast<std::uint32_t>(take() - U'0'), 100'000);
    return value;
  }

  std::pair<std::uint32_t, std::uint32_t> quantifier() {
    if (skip(U'*')) return {0, kUnbounded};
    if (skip(U'+')) return {1, kUnbounded};
    if (skip(U'?')) return {0, 1};
    if (!skip(U'{')) return {1, 1};
    const std::uint32_t low = number();
    std::uint32_t high = low;
    if (skip(U',')) high = peek() == U'}' ? kUnbounded : number();
    if (!skip(U'}') || high < low) refuse("the braces are not {n} or {m,n}");
    return {low, high};
  }

 private:
  std::string_view source_;
  std::u32string text_;
  std::size_t at_ = 0;
};

}  // namespace

bool TextPattern::Atom::accepts(char32_t c) const {
  const bool inside =
      std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) { return c >= range.first && c <= range.second; });
  return inside != negated;
}

TextPattern::TextPattern(std::string_view pattern) {
  Reader reader(pattern);
  from_start_ = reader.skip(U'^');
  while (!reader.done()) {
    const char32_t c = reader.take();
    Atom atom;
    if (c == U'$' && reader.done()) {
      to_end_ = true;
      break;
    }
    if (c == U'.') {
      atom.ranges = {{0, U'\n' - 1}, {U'\n' + 1, kLastCodePoint}};
    } else if (c == U'[') {
      atom.negated = reader.skip(U'^');
      reader.char_class(atom.ranges);
    } else if (c == U'\\') {
      reader.escape(atom.ranges);
    } else if (std::u32string_view(U"()|*+?{}^$").find(c) != std::u32string_view::npos) {
      reader.refuse("groups, alternatives, and quantifiers or anchors in other places are not supported");
    } else {
      atom.ranges = {{c, c}};
    }
    const auto [low, high] = reader.quantifier();
    add(atom, low, high);
    if (atoms_.size() > kMaxAtoms) reader.refuse("it is too long");
  }
}

void TextPattern::add(const Atom& atom, std::uint32_t low, std::uint32_t high) {
  for (std::uint32_t i = 0; i < low && atoms_.size() <= kMaxAtoms; ++i) atoms_.push_back(atom);
  if (high == kUnbounded) {
    atoms_.push_back(atom);
    atoms_.back().optional = true;
    atoms_.back().repeats = true;
    return;
  }
  for (std::uint32_t i = low; i < high && atoms_.size() <= kMaxAtoms; ++i) {
    atoms_.push_back(atom);
    atoms_.back().optional = true;
  }
}

bool TextPattern::matches(std::string_view text) const {
  // state[i]: the atoms before i are matched.
  const auto settle = [&](std::vector<bool>& state) {
    for (std::size_t i = 0; i < atoms_.size(); ++i) {
      if (state[i] && atoms_[i].optional) state[i + 1] = true;
    }
  };
  std::vector<bool> state(atoms_.size() + 1, false);
  state[0] = true;
  settle(state);
  for (const char32_t c : code_points(text)) {
    if (state.back() && !to_end_) return true;
    std::vector<bool> next(atoms_.size() + 1, false);
    next[0] = !from_start_;
    for (std::size_t i = 0; i < atoms_.size(); ++i) {
      if (!state[i] || !atoms_[i].accepts(c)) continue;
      next[atoms_[i].repeats ? i : i + 1] = true;
    }
    settle(next);
    state = std::move(next);
  }
  return state.back();
}

}  // namespace gauntlet
