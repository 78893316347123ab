#include "inference/text_origin.h"

#include <algorithm>

#include "inference/utf8.h"

namespace gauntlet {

OriginText::OriginText(std::string_view text, Origin origin) : text_(text) {
  append_run(text.size(), origin);
  replace_invalid();
}

OriginText::OriginText(std::span<const TextPiece> pieces) {
  std::size_t total = 0;
  for (const TextPiece& piece : pieces) total += piece.text.size();
  joined_.reserve(total);
  for (const TextPiece& piece : pieces) {
    joined_ += piece.text;
    append_run(piece.text.size(), piece.origin);
  }
  text_ = joined_;
  replace_invalid();
}

void OriginText::append_run(std::size_t bytes, Origin origin) {
  if (bytes == 0) return;
  const std::size_t end = (runs_.empty() ? 0 : runs_.back().end) + bytes;
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = end;
  } else {
    runs_.push_back({end, origin});
  }
}

bool OriginText::all_template(std::size_t begin, std::size_t end) const {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), begin, [](std::size_t at, const Run& r) { return at < r.end; });
  return run != runs_.end() && run->origin == Origin::Template && end <= run->end;
}

void OriginText::replace_invalid() {
  if (is_utf8(text_)) return;
  std::string repaired;
  OriginText origins({}, Origin::Data);  // collects the runs of the repaired text
  for (std::size_t at = 0; at < text_.size();) {
    const Utf8Unit unit = utf8_unit(text_, at);
    const std::size_t before = repaired.size();
    repaired += unit.kind == Utf8Unit::Kind::Character ? text_.substr(at, unit.length) : kReplacement;
    origins.append_run(repaired.size() - before, all_template(at, at + unit.length) ? Origin::Template : Origin::Data);
    at += unit.length;
  }
  runs_ = std::move(origins.runs_);
  joined_ = std::move(repaired);
  text_ = joined_;
}

}  // namespace gauntlet
