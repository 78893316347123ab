#pragma once

// Server-sent events (WHATWG HTML, section 9.2), as far as chat completions use them: only the data of each event matters.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace gauntlet {

/// Splits a byte stream into events. Pieces may be cut anywhere. Lines end in LF, CRLF or CR; comments and fields other than
/// `data` are dropped; several data lines of one event are joined by LF.
class SseParser {
 public:
  using OnData = std::function<void(std::string_view data)>;

  /// `max_event_bytes` bounds a line and the data of one event.
  explicit SseParser(std::size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  /// Throws Error(Input) when a line or event is longer than allowed.
  void feed(std::string_view bytes, const OnData& on_data);

  /// To be called when the stream ended in good order: hands over an event whose closing blank line was left off.
  void finish(const OnData& on_data);

 private:
  void end_line(const OnData& on_data);
  void dispatch(const OnData& on_data);
  void check_size(std::size_t size) const;

  std::size_t max_event_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
};

}  // namespace gauntlet
