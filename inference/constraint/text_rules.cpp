#include "inference/constraint/text_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>

namespace gauntlet {
namespace {

using Bytes = std::vector<std::pair<std::uint8_t, std::uint8_t>>;  ///< one range for each byte of a character

/// Byte ranges of the characters low to high, which have one length in UTF-8.
void split_utf8(char32_t low, char32_t high, std::vector<Bytes>& out) {
  const auto bytes_of = [](char32_t c) {
    std::vector<std::uint8_t> b;
    if (c < 0x80) b = {static_cast<std::uint8_t>(c)};
    else if (c < 0x800) b = {static_cast<std::uint8_t>(0xC0 | (c >> 6)), static_cast<std::uint8_t>(0x80 | (c & 0x3F))};
    else if (c < 0x10000) b = {static_cast<std::uint8_t>(0xE0 | (c >> 12)), static_cast<std::uint8_t>(0x80 | ((c >> 6) & 0x3F)), static_cast<std::uint8_t>(0x80 | (c & 0x3F))};
    else b = {static_cast<std::uint8_t>(0xF0 | (c >> 18)), static_cast<std::uint8_t>(0x80 | ((c >> 12) & 0x3F)), static_cast<std::uint8_t>(0x80 | ((c >> 6) & 0x3F)), static_cast<std::uint8_t>(0x80 | (c & 0x3F))};
    return b;
  };
  // Cut where a lower byte does not run over all its values.
  for (unsigned shift = 6; shift <= 18; shift += 6) {
    const char32_t mask = (char32_t{1} << shift) - 1;
    if ((low & ~mask) == (high & ~mask)) break;
    if ((low & mask) != 0) {
      split_utf8(low, low | mask, out);
      split_utf8((low | mask) + 1, high, out);
      return;
    }
    if ((high & mask) != mask) {
      split_utf8(low, (high & ~mask) - 1, out);
      split_utf8(high & ~mask, high, out);
      return;
    }
  }
  const auto a = bytes_of(low), b = bytes_of(high);
  Bytes ranges;
  for (std::size_t i = 0; i < a.size(); ++i) ranges.emplace_back(a[i], b[i]);
  out.push_back(std::move(ranges));
}

std::vector<Bytes> utf8_ranges(const CharSet& chars) {
  constexpr std::array<char32_t, 4> kLast = {0x7F, 0x7FF, 0xFFFF, kLastCharacter};
  std::vector<Bytes> out;
  for (const auto& range : chars) {
    char32_t first = 0;
    for (const char32_t last : kLast) {
      const char32_t low = std::max(range.low, first), high = std::min(range.high, last);
      if (low <= high) split_utf8(low, high, out);
      first = last + 1;
    }
  }
  return out;
}

/// What JSON lets stand in a string without an escape.
CharSet json_plain() { return make_char_set({{0x20, 0x21}, {0x23, 0x5B}, {0x5D, kLastCharacter}}); }

std::string json_escape(char32_t c) {
  switch (c) {
    case U'"': return "\\\"";
    case U'\\': return "\\\\";
    case U'\b': return "\\b";
    case U'\f': return "\\f";
    case U'\n': return "\\n";
    case U'\r': return "\\r";
    case U'\t': return "\\t";
    default: return fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
  }
}

/// Characters into grammar states. Characters that end alike and lead to one place share their last states.
class CharSpeller {
 public:
  explicit CharSpeller(GrammarBuilder& builder) : builder_(builder) {}

  void raw(StateId from, const CharSet& chars, StateId to) {
    for (const auto& bytes : utf8_ranges(chars)) {
      builder_.budget().spend(2);
      const StateId next = bytes.size() == 1 ? to : rest(Bytes(bytes.begin() + 1, bytes.end()), to);
      builder_.bytes(from, bytes[0].first, bytes[0].second, next);
    }
  }

  void json(StateId from, const CharSet& chars, StateId to) {
    raw(from, intersect(chars, plain_), to);
    for (const auto& range : intersect(chars, escaped_)) {
      for (char32_t c = range.low; c <= range.high; ++c) builder_.literal(from, json_escape(c), to);
    }
  }

 private:
  StateId rest(const Bytes& bytes, StateId to) {
    const auto [it, fresh] = shared_.try_emplace({to, bytes}, 0);
    if (!fresh) return it->second;
    builder_.budget().spend(3);
    builder_.budget().hold(100);
    const StateId state = builder_.add_state();
    it->second = state;
    const StateId next = bytes.size() == 1 ? to : rest(Bytes(bytes.begin() + 1, bytes.end()), to);
    builder_.bytes(state, bytes[0].first, bytes[0].second, next);
    return state;
  }

  GrammarBuilder& builder_;
  const CharSet plain_ = json_plain(), escaped_ = complement(plain_);  ///< in JSON
  std::map<std::pair<StateId, Bytes>, StateId> shared_;
};

/// The words as an automaton that knows, after each byte, whether one of them stands at the end (Aho and Corasick 1975).
class WordFinder {
 public:
  explicit WordFinder(std::span<const std::string> words) {
    for (const auto& word : words) {
      std::uint32_t at = 0;
      for (const char c : word) {
        auto& next = to_[at][static_cast<std::uint8_t>(c)];
        if (next == 0) {
          next = static_cast<std::uint32_t>(to_.size());
          to_.emplace_back();
          ends_.push_back(false);
        }
        at = to_[at][static_cast<std::uint8_t>(c)];
      }
      ends_[at] = true;
    }
    std::vector<std::uint32_t> fall(to_.size(), 0);
    std::deque<std::uint32_t> open;
    for (const auto next : to_[0]) {
      if (next != 0) open.push_back(next);
    }
    while (!open.empty()) {
      const auto at = open.front();
      open.pop_front();
      ends_[at] = ends_[at] || ends_[fall[at]];
      for (std::size_t b = 0; b < 256; ++b) {
        auto& next = to_[at][b];
        if (next != 0) {
          fall[next] = to_[fall[at]][b];
          open.push_back(next);
        } else {
          next = to_[fall[at]][b];
        }
      }
    }
  }

  std::uint32_t step(std::uint32_t at, std::uint8_t byte) const { return to_[at][byte]; }
  bool found(std::uint32_t at) const { return ends_[at]; }

 private:
  std::vector<std::array<std::uint32_t, 256>> to_ = std::vector<std::array<std::uint32_t, 256>>(1);
  std::vector<bool> ends_ = {false};
};

/// UTF-8 by bytes (RFC 3629): what a place inside a character accepts, and where that leads. Place 0 is between characters.
struct Utf8Step {
  std::uint8_t low, high, next;
};
const std::vector<Utf8Step>& utf8_steps(std::uint8_t place) {
  static const std::array<std::vector<Utf8Step>, 8> kSteps = {{
      {{0xC2, 0xDF, 1}, {0xE0, 0xE0, 4}, {0xE1, 0xEC, 2}, {0xED, 0xED, 5}, {0xEE, 0xEF, 2}, {0xF0, 0xF0, 6}, {0xF1, 0xF3, 3}, {0xF4, 0xF4, 7}},
      {{0x80, 0xBF, 0}},
      {{0x80, 0xBF, 1}},
      {{0x80, 0xBF, 2}},
      {{0xA0, 0xBF, 1}},
      {{0x80, 0x9F, 1}},
      {{0x90, 0xBF, 2}},
      {{0x80, 0x8F, 2}},
  }};
  return kSteps[place];
}

/// Text without the words: adds its states after `from`, and gives those that are between characters. `ascii`: what single bytes may be.
std::vector<StateId> add_text(GrammarBuilder& builder, StateId from, const std::array<bool, 128>& ascii, std::span<const std::string> without) {
  const WordFinder words(without);
  using Place = std::pair<std::uint8_t, std::uint32_t>;
  std::map<Place, StateId> index = {{{0, 0}, from}};
  std::vector<Place> open = {{0, 0}};
  std::vector<StateId> between = {from};
  while (!open.empty()) {
    builder.budget().spend(100);
    const auto [place, word] = open.back();
    open.pop_back();
    const StateId state = index.at({place, word});
    std::array<StateId, 256> target{};
    std::array<bool, 256> allowed{};
    const auto allow = [&](unsigned byte, std::uint8_t next_place) {
      const std::uint32_t next_word = words.step(word, static_cast<std::uint8_t>(byte));
      if (words.found(next_word)) return;
      const auto [it, fresh] = index.try_emplace({next_place, next_word}, 0);
      if (fresh) {
        it->second = builder.add_state();
        open.emplace_back(next_place, next_word);
        if (next_place == 0) between.push_back(it->second);
      }
      allowed[byte] = true;
      target[byte] = it->second;
    };
    if (place == 0) {
      for (unsigned b = 0; b < 128; ++b) {
        if (ascii[b]) allow(b, 0);
      }
    }
    for (const auto& step : utf8_steps(place)) {
      for (unsigned b = step.low; b <= step.high; ++b) allow(b, step.next);
    }
    for (unsigned b = 0; b < 256;) {
      unsigned end = b + 1;
      while (end < 256 && allowed[end] == allowed[b] && target[end] == target[b]) ++end;
      if (allowed[b]) builder.bytes(state, static_cast<std::uint8_t>(b), static_cast<std::uint8_t>(end - 1), target[b]);
      b = end;
    }
  }
  return between;
}

void hex_digit(GrammarBuilder& builder, StateId from, std::string_view digits, StateId to) {
  for (const char c : digits) builder.bytes(from, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c), to);
}

/// From after the backslash to the end of the escaped character.
void add_escapes(GrammarBuilder& builder, StateId from, StateId to) {
  constexpr std::string_view kHex = "0123456789abcdefABCDEF";
  for (const char c : std::string_view("\"\\/bfnrt")) builder.bytes(from, static_cast<std::uint8_t>(c), static_cast<std::uint8_t>(c), to);
  const StateId u = builder.add_state(), three = builder.add_state(), two = builder.add_state(), one = builder.add_state(), d = builder.add_state();
  builder.bytes(from, 'u', 'u', u);
  hex_digit(builder, u, "0123456789abcefABCEF", three);
  hex_digit(builder, three, kHex, two);
  hex_digit(builder, two, kHex, one);
  hex_digit(builder, one, kHex, to);
  hex_digit(builder, u, "dD", d);
  hex_digit(builder, d, "01234567", two);
  // A surrogate comes as a pair.
  StateId at = builder.add_state();
  hex_digit(builder, d, "89abAB", at);
  for (const std::string_view digits : {kHex, kHex, std::string_view("\\"), std::string_view("u"), std::string_view("dD"), std::string_view("cdefCDEF"), kHex}) {
    const StateId next = builder.add_state();
    hex_digit(builder, at, digits, next);
    at = next;
  }
  hex_digit(builder, at, kHex, to);
}

std::string name_of(std::string_view kind, std::span<const std::string> without) {
  std::string out(kind);
  for (const auto& word : without) out += fmt::format(" {}:{}", word.size(), word);
  return out;
}

}  // namespace

RuleId free_text_rule(GrammarBuilder& builder, std::span<const std::string> without) {
  std::array<bool, 128> ascii{};
  for (std::size_t b = 0; b < 128; ++b) ascii[b] = b >= 0x20 || b == '\t' || b == '\n' || b == '\r';
  auto& shared = builder.shared(name_of("text", without));
  if (shared) return *shared;
  const RuleId rule = *(shared = builder.add_rule());
  for (const StateId state : add_text(builder, builder.start(rule), ascii, without)) builder.empty(state, builder.end(rule));
  return rule;
}

RuleId json_content_rule(GrammarBuilder& builder, std::span<const std::string> without) {
  std::array<bool, 128> ascii{};
  for (std::size_t b = 0x20; b < 128; ++b) ascii[b] = b != '"' && b != '\\';
  auto& shared = builder.shared(name_of("string", without));
  if (shared) return *shared;
  const RuleId rule = *(shared = builder.add_rule());
  const StateId start = builder.start(rule), escape = builder.add_state();
  // An escape breaks a word that the plain characters may have begun.
  for (const StateId state : add_text(builder, start, ascii, without)) {
    builder.empty(state, builder.end(rule));
    builder.bytes(state, '\\', '\\', escape);
  }
  add_escapes(builder, escape, start);
  return rule;
}

RuleId json_char_rule(GrammarBuilder& builder, const CharSet& chars) {
  const RuleId rule = builder.add_rule();
  const StateId escape = builder.add_state();
  CharSpeller(builder).raw(builder.start(rule), intersect(chars, json_plain()), builder.end(rule));
  builder.bytes(builder.start(rule), '\\', '\\', escape);
  add_escapes(builder, escape, builder.end(rule));
  return rule;
}

RuleId raw_char_rule(GrammarBuilder& builder, const CharSet& chars) {
  const RuleId rule = builder.add_rule();
  CharSpeller(builder).raw(builder.start(rule), chars, builder.end(rule));
  return rule;
}

void spell(GrammarBuilder& builder, StateId from, const CharLanguage& language, Spelling spelling, StateId to) {
  std::vector<StateId> states;
  for (std::size_t i = 0; i < language.states.size(); ++i) states.push_back(builder.add_state());
  builder.empty(from, states[0]);
  CharSpeller speller(builder);
  for (std::size_t i = 0; i < language.states.size(); ++i) {
    for (const auto& edge : language.states[i].edges) {
      builder.budget().spend(2 + edge.chars.size() / 16);
      if (spelling == Spelling::Quoted) speller.json(states[i], edge.chars, states[edge.target]);
      else speller.raw(states[i], edge.chars, states[edge.target]);
    }
    if (language.states[i].accepts) builder.empty(states[i], to);
  }
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x20 || c == '"' || c == '\\') out += json_escape(byte);
    else out += c;
  }
  return out + "\"";
}

}  // namespace gauntlet
