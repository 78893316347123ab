#pragma once

// Writing JSON text without building a document first, in the one form that all tool results have.

#include <string>
#include <string_view>

namespace gauntlet {

/// A JSON string; invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// A finite number with a point ("4.0", "4.3"), rounded to six decimals, so that sums of prices show no binary noise; null
/// otherwise.
void append_json_number(std::string& out, double value);

/// At most `bytes` bytes, cut between characters; for showing what a model wrote in a message.
std::string_view clip_text(std::string_view text, std::size_t bytes);

}  // namespace gauntlet
