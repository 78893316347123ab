#include "inference/constraint/char_language.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "inference/utf8.h"

namespace gauntlet {
namespace {

constexpr char32_t kBeforeSurrogates = 0xD7FF, kAfterSurrogates = 0xE000;

std::u32string characters(std::string_view text) {
  std::u32string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Unit unit = utf8_unit(text, at);
    out += unit.value;
    at += unit.length;
  }
  return out;
}

/// Of an edge with these characters.
std::uint64_t bytes_of(const CharSet& chars) { return sizeof(CharLanguage::Edge) + 16 + chars.size() * sizeof(CharRange); }

}  // namespace

CharSet make_char_set(std::vector<CharRange> ranges) {
  std::vector<CharRange> valid;
  for (const auto& range : ranges) {
    if (range.low <= kBeforeSurrogates) valid.push_back({range.low, std::min(range.high, kBeforeSurrogates)});
    if (range.high >= kAfterSurrogates) valid.push_back({std::max(range.low, kAfterSurrogates), std::min(range.high, kLastCharacter)});
  }
  std::sort(valid.begin(), valid.end(), [](const CharRange& a, const CharRange& b) { return a.low < b.low; });
  CharSet out;
  for (const auto& range : valid) {
    if (range.low > range.high) continue;
    if (!out.empty() && range.low <= out.back().high + 1) out.back().high = std::max(out.back().high, range.high);
    else out.push_back(range);
  }
  return out;
}

CharSet all_chars() { return make_char_set({{0, kLastCharacter}}); }

CharSet complement(const CharSet& set) {
  std::vector<CharRange> out;
  char32_t next = 0;
  for (const auto& range : set) {
    if (range.low > next) out.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLastCharacter) out.push_back({next, kLastCharacter});
  return make_char_set(std::move(out));
}

CharSet intersect(const CharSet& a, const CharSet& b) {
  CharSet out;
  for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    const char32_t low = std::max(a[i].low, b[k].low), high = std::min(a[i].high, b[k].high);
    if (low <= high) out.push_back({low, high});
    if (a[i].high < b[k].high) ++i;
    else ++k;
  }
  return out;
}

bool contains(const CharSet& set, char32_t c) {
  const auto it = std::upper_bound(set.begin(), set.end(), c, [](char32_t value, const CharRange& range) { return value < range.low; });
  return it != set.begin() && c <= std::prev(it)->high;
}

bool CharLanguage::contains(std::string_view text, Budget& budget) const {
  std::vector<std::uint32_t> now = {0};
  for (const char32_t c : characters(text)) {
    std::vector<std::uint32_t> next;
    for (const auto state : now) {
      budget.spend(1 + states[state].edges.size() / 4);
      for (const auto& edge : states[state].edges) {
        if (gauntlet::contains(edge.chars, c)) next.push_back(edge.target);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    now = std::move(next);
    if (now.empty()) return false;
  }
  return std::any_of(now.begin(), now.end(), [&](std::uint32_t state) { return states[state].accepts; });
}

CharLanguage strings_of(const CharSet& chars, std::uint64_t least, std::uint64_t most, Budget& budget) {
  CharLanguage out;
  const std::uint64_t chain = most == UINT64_MAX ? least : most;
  budget.spend(chain);
  budget.hold(chain * (sizeof(CharLanguage::State) + bytes_of(chars)));
  out.states.resize(chain + 1);
  for (std::uint64_t i = 0; i < chain; ++i) out.states[i].edges.push_back({chars, static_cast<std::uint32_t>(i + 1)});
  for (std::uint64_t i = least; i <= chain; ++i) out.states[i].accepts = true;
  if (most == UINT64_MAX) out.states[chain].edges.push_back({chars, static_cast<std::uint32_t>(chain)});
  return out;
}

CharLanguage strings_but(const CharSet& chars, const std::vector<std::string>& excluded, Budget& budget) {
  // A tree of the excluded strings; whoever leaves it is free.
  CharLanguage out;
  std::vector<std::map<char32_t, std::uint32_t>> children(1);
  out.states[0].accepts = true;
  for (const auto& text : excluded) {
    std::uint32_t at = 0;
    budget.spend(1 + text.size());
    for (const char32_t c : characters(text)) {
      const auto [it, fresh] = children[at].try_emplace(c, static_cast<std::uint32_t>(out.states.size()));
      at = it->second;
      if (fresh) {
        budget.spend(5);
        budget.hold(sizeof(CharLanguage::State) + 2 * bytes_of({{c, c}}) + 100);
        out.states.push_back({.edges = {}, .accepts = true});
        children.emplace_back();
      }
    }
    out.states[at].accepts = false;
  }
  const auto free = static_cast<std::uint32_t>(out.states.size());
  for (std::uint32_t s = 0; s < free; ++s) {
    std::vector<CharRange> inside;
    for (const auto& [c, target] : children[s]) {
      if (!contains(chars, c)) continue;
      inside.push_back({c, c});
      out.states[s].edges.push_back({make_char_set({{c, c}}), target});
    }
    if (CharSet rest = intersect(chars, complement(make_char_set(inside))); !rest.empty()) out.states[s].edges.push_back({std::move(rest), free});
  }
  out.states.push_back({.edges = {{chars, free}}, .accepts = true});
  return out;
}

CharLanguage intersect(const CharLanguage& a, const CharLanguage& b, std::size_t most, const std::string& what, Budget& budget) {
  CharLanguage out;
  std::unordered_map<std::uint64_t, std::uint32_t> index;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs = {{0, 0}};
  index.emplace(0, 0);
  for (std::uint32_t at = 0; at < pairs.size(); ++at) {
    const auto [i, k] = pairs[at];
    budget.spend(1);
    out.states[at].accepts = a.states[i].accepts && b.states[k].accepts;
    for (const auto& x : a.states[i].edges) {
      for (const auto& y : b.states[k].edges) {
        budget.spend(1 + (x.chars.size() + y.chars.size()) / 16);
        CharSet both = intersect(x.chars, y.chars);
        if (both.empty()) continue;
        const auto [it, fresh] = index.try_emplace((std::uint64_t{x.target} << 32) | y.target, static_cast<std::uint32_t>(pairs.size()));
        if (fresh) {
          require(pairs.size() < most, ErrorKind::Usage, fmt::format("{}: pattern, length and format together need more than {} states", what, most));
          budget.hold(sizeof(CharLanguage::State) + 64);
          pairs.emplace_back(x.target, y.target);
          out.states.emplace_back();
        }
        budget.spend(1);
        budget.hold(bytes_of(both));
        out.states[at].edges.push_back({std::move(both), it->second});
      }
    }
  }
  return pruned(std::move(out), budget);
}

CharLanguage pruned(CharLanguage out, Budget& budget) {
  // States that a string leads to.
  std::vector<std::uint8_t> useful(out.states.size(), 0);  // 1: reached, 2: and something is accepted from there
  std::vector<std::uint32_t> reached = {0};
  useful[0] = 1;
  std::vector<std::vector<std::uint32_t>> into(out.states.size());
  for (std::size_t i = 0; i < reached.size(); ++i) {
    const std::uint32_t s = reached[i];
    budget.spend(1 + out.states[s].edges.size() / 4);
    for (const auto& edge : out.states[s].edges) {
      into[edge.target].push_back(s);
      if (std::exchange(useful[edge.target], std::uint8_t{1}) == 0) reached.push_back(edge.target);
    }
  }
  std::vector<std::uint32_t> stack;
  for (const auto s : reached) {
    if (!out.states[s].accepts) continue;
    useful[s] = 2;
    stack.push_back(s);
  }
  while (!stack.empty()) {
    const auto s = stack.back();
    stack.pop_back();
    for (const auto from : into[s]) {
      if (std::exchange(useful[from], std::uint8_t{2}) != 2) stack.push_back(from);
    }
  }
  std::vector<std::uint32_t> number(out.states.size(), 0);
  CharLanguage kept;
  for (const auto s : reached) {
    if (s == 0 || useful[s] != 2) continue;
    number[s] = static_cast<std::uint32_t>(kept.states.size());
    kept.states.emplace_back();
  }
  for (const auto s : reached) {
    if (s > 0 && useful[s] != 2) continue;
    auto& to = kept.states[number[s]];
    to.accepts = out.states[s].accepts;
    for (auto& edge : out.states[s].edges) {
      if (useful[edge.target] == 2) to.edges.push_back({std::move(edge.chars), number[edge.target]});
    }
  }
  return kept;
}

CharLanguage restricted(const CharLanguage& language, const CharSet& chars, Budget& budget) {
  CharLanguage out;
  out.states.resize(language.states.size());
  for (std::size_t s = 0; s < language.states.size(); ++s) {
    out.states[s].accepts = language.states[s].accepts;
    for (const auto& edge : language.states[s].edges) {
      budget.spend(1 + edge.chars.size() / 16);
      CharSet both = intersect(edge.chars, chars);
      if (both.empty()) continue;
      budget.hold(bytes_of(both));
      out.states[s].edges.push_back({std::move(both), edge.target});
    }
  }
  return out;
}

}  // namespace gauntlet
