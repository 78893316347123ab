#include "agent/sse.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace gauntlet {

void SseParser::feed(std::string_view bytes, const OnData& on_data) {
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    check_size(line_.size() + piece.size());
    line_ += piece;
    if (end == std::string_view::npos) return;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    end_line(on_data);
  }
}

void SseParser::finish(const OnData& on_data) {
  if (!line_.empty()) end_line(on_data);
  dispatch(on_data);
}

void SseParser::end_line(const OnData& on_data) {
  std::string_view line = line_;
  if (first_line_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  first_line_ = false;
  if (line.empty()) {
    dispatch(on_data);
  } else if (line == "data" || line.starts_with("data:")) {
    std::string_view value = line.substr(std::min<std::size_t>(5, line.size()));
    if (value.starts_with(' ')) value.remove_prefix(1);
    check_size(data_.size() + value.size() + 1);
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
  line_.clear();
}

void SseParser::dispatch(const OnData& on_data) {
  if (has_data_) on_data(data_);
  data_.clear();
  has_data_ = false;
}

void SseParser::check_size(std::size_t size) const {
  if (size <= max_event_bytes_) return;
  fail(ErrorKind::Input, fmt::format("could not read an event: it is longer than the {} bytes allowed", max_event_bytes_));
}

}  // namespace gauntlet
