#include "inference/constraint/pattern_language.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "inference/constraint/shortened.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

constexpr int kMostDepth = 100;  ///< of groups inside groups
constexpr std::uint64_t kUnbounded = UINT64_MAX;

struct Node {
  enum class Kind { Chars, Begin, End, Sequence, Choice, Repeat };
  Kind kind = Kind::Sequence;
  CharSet chars;
  std::vector<std::unique_ptr<Node>> parts;
  std::uint64_t least = 0, most = 0;
};
using NodePointer = std::unique_ptr<Node>;

CharSet digits() { return {{U'0', U'9'}}; }
CharSet word() { return make_char_set({{U'0', U'9'}, {U'A', U'Z'}, {U'_', U'_'}, {U'a', U'z'}}); }
CharSet space() {
  return make_char_set({{0x09, 0x0D}, {0x20, 0x20}, {0xA0, 0xA0}, {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}});
}
CharSet line_ends() { return make_char_set({{0x0A, 0x0A}, {0x0D, 0x0D}, {0x2028, 0x2029}}); }

class Parser {
 public:
  Parser(std::string_view pattern, const std::string& what, Budget& budget) : pattern_(pattern), what_(what), budget_(budget) {
    budget.spend(pattern.size() / 4);
    budget.hold(4 * pattern.size());
    for (std::size_t at = 0; at < pattern.size();) {
      const Utf8Unit unit = utf8_unit(pattern, at);
      text_ += unit.value;
      at += unit.length;
    }
  }

  NodePointer parse() {
    NodePointer out = choice(0);
    if (at_ < text_.size()) refuse("a \")\" closes nothing");
    return out;
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const { fail(ErrorKind::Usage, fmt::format("{}: the pattern \"{}\" is not accepted: {} (at character {})", what_, shortened(pattern_), why, at_)); }
  bool done() const { return at_ == text_.size(); }
  bool ahead(std::u32string_view text) const { return std::u32string_view(text_).substr(at_).starts_with(text); }
  bool skip(std::u32string_view text) {
    if (!ahead(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t take() {
    if (done()) refuse("it ends too early");
    return text_[at_++];
  }

  NodePointer node(Node node) {
    budget_.spend(1);
    budget_.hold(sizeof(Node) + 32);
    return std::make_unique<Node>(std::move(node));
  }

  NodePointer choice(int depth) {
    if (depth > kMostDepth) refuse("its groups are nested too deeply");
    NodePointer out = node(Node{.kind = Node::Kind::Choice});
    do out->parts.push_back(sequence(depth));
    while (skip(U"|"));
    return out;
  }

  NodePointer sequence(int depth) {
    NodePointer out = node(Node{.kind = Node::Kind::Sequence});
    while (!done() && !ahead(U"|") && !ahead(U")")) {
      NodePointer part = atom(depth);
      const bool assertion = part->kind == Node::Kind::Begin || part->kind == Node::Kind::End;
      std::uint64_t least = 1, most = 1;
      if (quantifier(least, most)) {
        if (assertion) refuse("an anchor cannot be repeated");
        NodePointer repeat = node(Node{.kind = Node::Kind::Repeat, .least = least, .most = most});
        repeat->parts.push_back(std::move(part));
        part = std::move(repeat);
      }
      out->parts.push_back(std::move(part));
    }
    return out;
  }

  NodePointer atom(int depth) {
    if (skip(U"(")) {
      if (skip(U"?:")) {
      } else if (ahead(U"?<") && !ahead(U"?<=") && !ahead(U"?<!")) {
        while (take() != U'>') {
        }
      } else if (ahead(U"?")) {
        refuse("look-around and flags are not supported");
      }
      NodePointer out = choice(depth + 1);
      if (!skip(U")")) refuse("a group does not end");
      return out;
    }
    NodePointer out = node(Node{.kind = Node::Kind::Chars});
    const char32_t c = take();
    if (c == U'^') {
      out->kind = Node::Kind::Begin;
    } else if (c == U'$') {
      out->kind = Node::Kind::End;
    } else if (c == U'.') {
      out->chars = complement(line_ends());
    } else if (c == U'[') {
      out->chars = char_class();
    } else if (c == U'\\') {
      out->chars = escape();
    } else if (std::u32string_view(U"*+?{}]").find(c) != std::u32string_view::npos && c != U'}' && c != U']') {
      --at_;
      refuse(c == U'{' ? "a \"{\" begins no {n}, {n,} or {m,n} here; write \\{" : "a quantifier follows nothing");
    } else {
      out->chars = make_char_set({{c, c}});
    }
    return out;
  }

  std::uint32_t hex(std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const char32_t c = take();
      const bool digit = c >= U'0' && c <= U'9', lower = c >= U'a' && c <= U'f', upper = c >= U'A' && c <= U'F';
      if (!digit && !lower && !upper) refuse("a hexadecimal digit is missing");
      value = value * 16 + static_cast<std::uint32_t>(digit ? c - U'0' : lower ? c - U'a' + 10 : c - U'A' + 10);
      if (value > kLastCharacter) refuse("there is no such character");
    }
    return value;
  }

  char32_t code_point() {
    if (!skip(U"{")) {
      const std::uint32_t high = hex(4);
      // A surrogate pair is one character.
      if (high >= 0xD800 && high <= 0xDBFF && skip(U"\\u")) {
        const std::uint32_t low = hex(4);
        if (low < 0xDC00 || low > 0xDFFF) refuse("a lone surrogate is no character");
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
      }
      if (high >= 0xD800 && high <= 0xDFFF) refuse("a lone surrogate is no character");
      return high;
    }
    std::uint32_t value = 0;
    do value = value * 16 + hex(1);
    while (!ahead(U"}") && value <= kLastCharacter);
    if (!skip(U"}") || value > kLastCharacter) refuse("there is no such character");
    return value;
  }

  CharSet escape() {
    const char32_t c = take();
    switch (c) {
      case U'd': return digits();
      case U'D': return complement(digits());
      case U'w': return word();
      case U'W': return complement(word());
      case U's': return space();
      case U'S': return complement(space());
      case U't': return {{9, 9}};
      case U'n': return {{10, 10}};
      case U'v': return {{11, 11}};
      case U'f': return {{12, 12}};
      case U'r': return {{13, 13}};
      case U'x': {
        const char32_t value = hex(2);
        return {{value, value}};
      }
      case U'u': {
        const char32_t value = code_point();
        return make_char_set({{value, value}});
      }
      default: break;
    }
    if (c == U'0' && (done() || text_[at_] < U'0' || text_[at_] > U'9')) return {{0, 0}};
    const bool letter = (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'0' && c <= U'9');
    if (letter) refuse("this escape is not supported (known: d D w W s S t n r f v 0 xHH uHHHH and punctuation)");
    return make_char_set({{c, c}});
  }

  /// One member of a class: a character, or a set such as \d.
  CharSet member() {
    const char32_t c = take();
    if (c != U'\\') return make_char_set({{c, c}});
    if (skip(U"b")) return {{8, 8}};
    return escape();
  }

  CharSet char_class() {
    const bool negated = skip(U"^");
    std::vector<CharRange> ranges;
    while (!skip(U"]")) {
      const CharSet low = member();
      budget_.spend(1 + low.size() / 4);
      budget_.hold(low.size() * sizeof(CharRange));
      const bool single = low.size() == 1 && low[0].low == low[0].high;
      if (single && ahead(U"-") && !ahead(U"-]")) {
        skip(U"-");
        const CharSet high = member();
        if (high.size() != 1 || high[0].low != high[0].high || high[0].low < low[0].low) refuse("a range runs backwards or ends in a set");
        ranges.push_back({low[0].low, high[0].high});
      } else {
        ranges.insert(ranges.end(), low.begin(), low.end());
      }
    }
    budget_.spend(ranges.size());
    CharSet out = make_char_set(std::move(ranges));
    budget_.hold(out.size() * sizeof(CharRange));
    return negated ? complement(out) : out;
  }

  std::uint64_t number() {
    constexpr std::uint64_t kLarge = 1'000'000'000'000;
    std::uint64_t value = 0;
    while (!done() && text_[at_] >= U'0' && text_[at_] <= U'9') value = std::min<std::uint64_t>(kLarge, value * 10 + (text_[at_++] - U'0'));
    return value;
  }

  bool quantifier(std::uint64_t& least, std::uint64_t& most) {
    if (skip(U"*")) {
      least = 0, most = kUnbounded;
    } else if (skip(U"+")) {
      least = 1, most = kUnbounded;
    } else if (skip(U"?")) {
      least = 0, most = 1;
    } else if (ahead(U"{") && at_ + 1 < text_.size() && text_[at_ + 1] >= U'0' && text_[at_ + 1] <= U'9') {
      skip(U"{");
      least = most = number();
      if (skip(U",")) most = ahead(U"}") ? kUnbounded : number();
      if (!skip(U"}")) refuse("the braces are not {n}, {n,} or {m,n}");
      if (most < least) refuse("the braces count backwards");
    } else {
      return false;
    }
    skip(U"?");  // lazy: the same strings
    return true;
  }

  std::string_view pattern_;
  const std::string& what_;
  Budget& budget_;
  std::u32string text_;
  std::size_t at_ = 0;
};

/// Thompson's construction, then without empty steps.
class Builder {
 public:
  Builder(std::size_t most, std::string_view pattern, const std::string& what, Budget& budget) : most_(most), pattern_(pattern), what_(what), budget_(budget) {}

  CharLanguage build(const Node& root) {
    const auto before = add(), begin = add(), match = add(), after = add();
    // A match may begin and end anywhere.
    edge(before, all_chars(), before);
    link(before, begin, Step::Free);
    place(root, begin, match);
    link(match, after, Step::Free);
    edge(after, all_chars(), after);
    accept_ = after;
    end_accept_ = match;

    CharLanguage out;
    out.states.resize(states_.size() + 1);
    seen_.assign(states_.size(), 0);
    fill(out.states[0], before, Where::Begin);
    for (std::uint32_t s = 0; s < states_.size(); ++s) fill(out.states[s + 1], s, Where::Later);
    return pruned(std::move(out), budget_);
  }

 private:
  enum class Step { Free, AtBegin, AtEnd };
  enum class Where { Begin, Later };  ///< in the string
  struct State {
    std::vector<CharLanguage::Edge> edges;
    std::vector<std::pair<std::uint32_t, Step>> links;
  };

  std::uint32_t add() {
    require(states_.size() < most_, ErrorKind::Usage, fmt::format("{}: the pattern \"{}\" needs more than {} states", what_, shortened(pattern_), most_));
    budget_.spend(3);
    budget_.hold(sizeof(State) + sizeof(CharLanguage::State) + 16);
    states_.emplace_back();
    return static_cast<std::uint32_t>(states_.size() - 1);
  }
  void link(std::uint32_t from, std::uint32_t to, Step step) {
    budget_.spend(1);
    budget_.hold(2 * sizeof(states_[from].links[0]));
    states_[from].links.emplace_back(to, step);
  }
  void edge(std::uint32_t from, const CharSet& chars, std::uint32_t to) {
    budget_.spend(1 + chars.size() / 64);
    budget_.hold(sizeof(CharLanguage::Edge) + 16 + chars.size() * sizeof(CharRange));
    states_[from].edges.push_back({chars, to});
  }

  void place(const Node& node, std::uint32_t from, std::uint32_t to) {
    switch (node.kind) {
      case Node::Kind::Chars: edge(from, node.chars, to); break;
      case Node::Kind::Begin: link(from, to, Step::AtBegin); break;
      case Node::Kind::End: link(from, to, Step::AtEnd); break;
      case Node::Kind::Choice:
        for (const auto& part : node.parts) place(*part, from, to);
        break;
      case Node::Kind::Sequence: {
        std::uint32_t at = from;
        for (const auto& part : node.parts) {
          const auto next = add();
          place(*part, at, next);
          at = next;
        }
        link(at, to, Step::Free);
        break;
      }
      case Node::Kind::Repeat: place_repeat(node, from, to); break;
    }
  }

  void place_repeat(const Node& node, std::uint32_t from, std::uint32_t to) {
    std::uint32_t at = from;
    const std::uint64_t chain = node.most == kUnbounded ? node.least : node.most;
    for (std::uint64_t i = 0; i < chain; ++i) {
      if (i >= node.least) link(at, to, Step::Free);
      const auto next = add();
      place(*node.parts[0], at, next);
      at = next;
    }
    if (node.most == kUnbounded) {
      const auto loop = add();
      link(at, loop, Step::Free);
      place(*node.parts[0], loop, loop);
      at = loop;
    }
    link(at, to, Step::Free);
  }

  void fill(CharLanguage::State& out, std::uint32_t from, Where where) {
    std::vector<std::uint32_t> reached;
    std::vector<std::pair<std::uint32_t, std::uint8_t>> stack = {{from, std::uint8_t{1}}};
    while (!stack.empty()) {
      const auto [s, how] = stack.back();
      stack.pop_back();
      if (seen_[s] != 0 && seen_[s] <= how) continue;
      if (seen_[s] == 0) reached.push_back(s);
      seen_[s] = how;
      budget_.spend(1 + states_[s].links.size() / 8);
      for (const auto& [to, step] : states_[s].links) {
        if (step == Step::AtBegin && where != Where::Begin) continue;
        stack.emplace_back(to, step == Step::AtEnd ? std::uint8_t{2} : how);
      }
    }
    for (const auto s : reached) {
      const std::uint8_t how = std::exchange(seen_[s], std::uint8_t{0});
      if (s == accept_ || s == end_accept_) out.accepts = true;
      if (how != 1) continue;
      for (const auto& edge : states_[s].edges) {
        if (edge.chars.empty()) continue;
        require(++edges_ <= 16 * most_, ErrorKind::Usage, fmt::format("{}: the pattern \"{}\" has too many ways to match", what_, shortened(pattern_)));
        budget_.spend(1 + edge.chars.size() / 64);
        budget_.hold(sizeof(CharLanguage::Edge) + 16 + edge.chars.size() * sizeof(CharRange));
        out.edges.push_back({edge.chars, edge.target + 1});
      }
    }
  }

  std::size_t most_;
  std::string_view pattern_;
  const std::string& what_;
  Budget& budget_;
  std::vector<State> states_;
  std::vector<std::uint8_t> seen_;  ///< by fill(): 1 freely, 2 only where the string ends
  std::size_t edges_ = 0;
  std::uint32_t accept_ = 0, end_accept_ = 0;
};

}  // namespace

CharLanguage pattern_language(std::string_view pattern, std::size_t most, const std::string& what, Budget& budget) {
  const NodePointer root = Parser(pattern, what, budget).parse();
  return Builder(most, pattern, what, budget).build(*root);
}

}  // namespace gauntlet
