#include "inference/server/stop_text.h"

#include <algorithm>
#include <utility>

namespace gauntlet {

std::string StopText::feed(std::string_view text) {
  if (stopped_) return "";
  if (stops_.empty()) return std::string(text);
  held_ += text;
  std::size_t end = std::string::npos, begin = 0;
  for (const auto& stop : stops_) {
    const auto found = held_.find(stop);
    if (found == std::string::npos) continue;
    const std::size_t stop_end = found + stop.size();
    if (stop_end < end || (stop_end == end && found < begin)) {
      end = stop_end;
      begin = found;
    }
  }
  if (end != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, "").substr(0, begin);
  }
  std::size_t keep = 0;
  for (const auto& stop : stops_) {
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) keep = length;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopText::finish() { return stopped_ ? std::string() : std::exchange(held_, ""); }

}  // namespace gauntlet
