#include "inference/added_tokens.h"

#include <algorithm>

#include "inference/utf8.h"

namespace gauntlet {
namespace {

std::size_t white_space_before(std::string_view text, std::size_t begin, std::size_t at) {
  while (at > begin) {
    std::size_t character = at - 1;
    while (character > begin && (static_cast<unsigned char>(text[character]) & 0xC0) == 0x80) --character;
    if (!is_white_space(utf8_unit(text, character).value)) break;
    at = character;
  }
  return at;
}

std::size_t white_space_after(std::string_view text, std::size_t at, std::size_t end) {
  while (at < end) {
    const Utf8Unit unit = utf8_unit(text, at);
    if (!is_white_space(unit.value)) break;
    at += unit.length;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    Range& range = by_first_byte_[static_cast<unsigned char>(tokens_[i].content[0])];
    if (range.end == 0) range.begin = i;
    range.end = i + 1;
  }
}

AddedTokenMatcher::Match AddedTokenMatcher::match_at(const OriginText& text, std::size_t at, std::size_t end) const {
  Match best;
  Range range = by_first_byte_[static_cast<unsigned char>(text.text()[at])];
  // The tokens that agree with the text in the first `depth` bytes are neighbours; the shortest of them comes first.
  for (std::size_t depth = 1; range.begin < range.end; ++depth) {
    const AddedToken& first = tokens_[range.begin];
    if (first.content.size() == depth) {
      if (!first.marker || text.all_template(at, at + depth)) {
        best = {.token = &first};
      } else {
        best.smuggled_bytes = depth;
      }
      ++range.begin;
    }
    if (at + depth == end) break;
    const auto next = static_cast<unsigned char>(text.text()[at + depth]);
    const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(range.begin);
    const auto last = tokens_.begin() + static_cast<std::ptrdiff_t>(range.end);
    const auto byte_of = [depth](const AddedToken& token) { return static_cast<unsigned char>(token.content[depth]); };
    const auto low = std::partition_point(begin, last, [&](const AddedToken& token) { return byte_of(token) < next; });
    const auto high = std::partition_point(low, last, [&](const AddedToken& token) { return byte_of(token) == next; });
    range = {static_cast<std::size_t>(low - tokens_.begin()), static_cast<std::size_t>(high - tokens_.begin())};
  }
  return best;
}

std::size_t AddedTokenMatcher::segment(const OriginText& text, TextSegment stretch, std::vector<TextSegment>& segments) const {
  std::size_t smuggled = 0;
  std::size_t counted = stretch.begin;  // markers that begin before this are part of one that was counted
  std::size_t done = stretch.begin;
  for (std::size_t at = stretch.begin; at < stretch.end;) {
    if (by_first_byte_[static_cast<unsigned char>(text.text()[at])].end == 0) {
      ++at;
      continue;
    }
    const Match match = match_at(text, at, stretch.end);
    if (match.smuggled_bytes > 0 && at >= counted) {
      ++smuggled;
      counted = at + match.smuggled_bytes;
    }
    if (match.token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    at += match.token->content.size();
    std::size_t end = at;
    if (match.token->lstrip) begin = std::max(done, white_space_before(text.text(), stretch.begin, begin));
    if (match.token->rstrip) end = white_space_after(text.text(), end, stretch.end);
    if (done < begin) segments.push_back({done, begin});
    segments.push_back({begin, end, match.token->id});
    done = std::max(done, end);
  }
  if (done < stretch.end) segments.push_back({done, stretch.end});
  return smuggled;
}

}  // namespace gauntlet
