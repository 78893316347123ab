#include "inference/constraint/char_language.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

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

bool CharLanguage::contains(std::string_view text) const {
  std::vector<std::uint32_t> now = {0};
  for (const char32_t c : characters(text)) {
    std::vector<std::uint32_t> next;
    for (const auto state : now) {
      for (const auto& edge : states[state].edges) {
        if (gauntlet::contains(edge.chars, c)) next.push_back(edge.target);
      }
    }
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    now = std::move(next);
  }
  return std::any_of(now.begin(), now.end(), [&](std::uint32_t state) { return states[state].accepts; });
}

CharLanguage strings_of(const CharSet& chars, std::uint64_t least, std::uint64_t most) {
  CharLanguage out;
  const std::uint64_t chain = most == UINT64_MAX ? least : most;
  out.states.resize(chain + 1);
  for (std::uint64_t i = 0; i < chain; ++i) out.states[i].edges.push_back({chars, static_cast<std::uint32_t>(i + 1)});
  for (std::uint64_t i = least; i <= chain; ++i) out.states[i].accepts = true;
  if (most == UINT64_MAX) out.states[chain].edges.push_back({chars, static_cast<std::uint32_t>(chain)});
  return out;
}

CharLanguage strings_but(const CharSet& chars, const std::vector<std::string>& excluded) {
  // A tree of the excluded strings; whoever leaves it is free.
  CharLanguage out;
  std::vector<std::map<char32_t, std::uint32_t>> children(1);
  out.states[0].accepts = true;
  for (const auto& text : excluded) {
    std::uint32_t at = 0;
    for (const char32_t c : characters(text)) {
      const auto [it, fresh] = children[at].try_emplace(c, static_cast<std::uint32_t>(out.states.size()));
      at = it->second;
      if (fresh) {
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

CharLanguage intersect(const CharLanguage& a, const CharLanguage& b, std::size_t most, const std::string& what) {
  CharLanguage out;
  std::unordered_map<std::uint64_t, std::uint32_t> index;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs = {{0, 0}};
  index.emplace(0, 0);
  std::size_t steps = 0;
  for (std::uint32_t at = 0; at < pairs.size(); ++at) {
    const auto [i, k] = pairs[at];
    out.states[at].accepts = a.states[i].accepts && b.states[k].accepts;
    for (const auto& x : a.states[i].edges) {
      for (const auto& y : b.states[k].edges) {
        require(++steps < 500 * most + 100'000, ErrorKind::Usage, fmt::format("{}: pattern, length and format together have too many ways to match", what));
        CharSet both = intersect(x.chars, y.chars);
        if (both.empty()) continue;
        const auto [it, fresh] = index.try_emplace((std::uint64_t{x.target} << 32) | y.target, static_cast<std::uint32_t>(pairs.size()));
        if (fresh) {
          require(pairs.size() < most, ErrorKind::Usage, fmt::format("{}: pattern, length and format together need more than {} states", what, most));
          pairs.emplace_back(x.target, y.target);
          out.states.emplace_back();
        }
        out.states[at].edges.push_back({std::move(both), it->second});
      }
    }
  }
  // Without the states from which nothing is accepted.
  std::vector<std::vector<std::uint32_t>> into(out.states.size());
  std::vector<std::uint32_t> stack;
  std::vector<bool> useful(out.states.size(), false);
  for (std::uint32_t s = 0; s < out.states.size(); ++s) {
    for (const auto& edge : out.states[s].edges) into[edge.target].push_back(s);
    if (out.states[s].accepts) {
      useful[s] = true;
      stack.push_back(s);
    }
  }
  while (!stack.empty()) {
    const auto s = stack.back();
    stack.pop_back();
    for (const auto from : into[s]) {
      if (useful[from]) continue;
      useful[from] = true;
      stack.push_back(from);
    }
  }
  std::vector<std::uint32_t> number(out.states.size(), 0);
  CharLanguage kept;
  for (std::uint32_t s = 1; s < out.states.size(); ++s) {
    if (!useful[s]) continue;
    number[s] = static_cast<std::uint32_t>(kept.states.size());
    kept.states.emplace_back();
  }
  for (std::uint32_t s = 0; s < out.states.size(); ++s) {
    if (s > 0 && !useful[s]) continue;
    auto& to = kept.states[number[s]];
    to.accepts = out.states[s].accepts;
    for (auto& edge : out.states[s].edges) {
      if (useful[edge.target]) to.edges.push_back({std::move(edge.chars), number[edge.target]});
    }
  }
  return kept;
}

CharLanguage restricted(CharLanguage language, const CharSet& chars) {
  for (auto& state : language.states) {
    for (auto& edge : state.edges) edge.chars = intersect(edge.chars, chars);
    std::erase_if(state.edges, [](const auto& edge) { return edge.chars.empty(); });
  }
  return language;
}

}  // namespace gauntlet
