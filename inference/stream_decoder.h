#pragma once

// Text as it is generated, token by token, never with half a character.

#include <string>
#include <string_view>

namespace gauntlet {

/// Turns bytes that arrive in any portions into valid UTF-8. All that it gives, joined, is what the whole would give: each
/// ill-formed stretch is one U+FFFD.
class StreamDecoder {
 public:
  /// The text that is certain now; a character that is not complete is kept back (three bytes at most).
  std::string append(std::string_view bytes);
  /// What was kept back, as U+FFFD; afterwards a new stream can begin.
  std::string finish();

 private:
  std::string pending_;
};

}  // namespace gauntlet
