#include "envs/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/json.h"

namespace gauntlet {

void append_json_string(std::string& out, std::string_view text) {
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    out += dump_json(Json(std::string(text)));
    return;
  }
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  constexpr double kExact = 1e9;  // Beyond this a double holds fewer than six decimals anyway.
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  if (std::abs(value) < kExact) {
    const std::int64_t millionths = std::llround(value * 1e6);
    const std::int64_t magnitude = std::abs(millionths);
    fmt::format_to(std::back_inserter(out), "{}{}.{:06}", millionths < 0 ? "-" : "", magnitude / 1'000'000,
                   magnitude % 1'000'000);
    while (out.back() == '0' && out[out.size() - 2] != '.') out.pop_back();
    return;
  }
  const std::size_t before = out.size();
  fmt::format_to(std::back_inserter(out), "{}", value);
  if (out.find_first_of(".e", before) == std::string::npos) out += ".0";
}

std::string_view clip_text(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace gauntlet
