#pragma once

// Which bytes of a prompt the chat template wrote, and which came from anywhere else.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/text_piece.h"

namespace gauntlet {

/// Pieces joined into one text that remembers the origin of each byte. A character put together from both origins is Data.
class OriginText {
 public:
  /// Refers to `text` where that is valid UTF-8; in a copy, each ill-formed stretch is U+FFFD otherwise.
  OriginText(std::string_view text, Origin origin);
  explicit OriginText(std::span<const TextPiece> pieces);
  OriginText(const OriginText&) = delete;
  OriginText& operator=(const OriginText&) = delete;

  std::string_view text() const { return text_; }
  bool all_template(std::size_t begin, std::size_t end) const;

 private:
  /// Runs end where the origin changes, so that a stretch of one origin lies in one run.
  struct Run {
    std::size_t end;
    Origin origin;
  };
  void append_run(std::size_t bytes, Origin origin);
  void replace_invalid();

  std::string_view text_;
  std::string joined_;
  std::vector<Run> runs_;
};

}  // namespace gauntlet
