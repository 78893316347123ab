#include "inference/stream_decoder.h"

#include "inference/utf8.h"

namespace gauntlet {

std::string StreamDecoder::append(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Unit unit = utf8_unit(pending_, at);
    if (unit.kind == Utf8Unit::Kind::Cut) break;
    out += unit.kind == Utf8Unit::Kind::Character ? std::string_view(pending_).substr(at, unit.length) : kReplacement;
    at += unit.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string StreamDecoder::finish() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? std::string(kReplacement) : std::string();
}

}  // namespace gauntlet
