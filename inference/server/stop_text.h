#pragma once

// Stop strings, looked for in text as it comes.

#include <string>
#include <string_view>
#include <vector>

namespace gauntlet {

/// The text up to the stop string that is complete first (of several at one place, the one that began first). What could be the beginning
/// of a stop string is held back. Any division of the text into pieces gives the same.
class StopText {
 public:
  /// None is empty.
  explicit StopText(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// The text that is certain now. Whole characters in, whole characters out.
  std::string feed(std::string_view text);
  /// What was held back, at the end of the text.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace gauntlet
