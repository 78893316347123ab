#include "inference/utf8.h"

#include <cstdint>
#include <cstring>

namespace gauntlet {
namespace {

struct LeadRule {
  std::size_t length = 0;  ///< of the whole character; 0: not a lead byte
  unsigned char low = 0x80, high = 0xBF;  ///< of the second byte: excludes over-long forms, surrogates and values above U+10FFFF
};

LeadRule lead_rule(unsigned char lead) {
  if (lead < 0x80) return {.length = 1};
  if (lead < 0xC2) return {};
  if (lead < 0xE0) return {.length = 2};
  if (lead == 0xE0) return {.length = 3, .low = 0xA0};
  if (lead == 0xED) return {.length = 3, .high = 0x9F};
  if (lead < 0xF0) return {.length = 3};
  if (lead == 0xF0) return {.length = 4, .low = 0x90};
  if (lead < 0xF4) return {.length = 4};
  if (lead == 0xF4) return {.length = 4, .high = 0x8F};
  return {};
}

}  // namespace

Utf8Unit utf8_unit(std::string_view bytes, std::size_t at) {
  const auto lead = static_cast<unsigned char>(bytes[at]);
  const LeadRule rule = lead_rule(lead);
  if (rule.length == 0) return {.kind = Utf8Unit::Kind::Invalid};
  if (rule.length == 1) return {.value = lead};
  char32_t value = lead & (0x7FU >> rule.length);
  for (std::size_t k = 1; k < rule.length; ++k) {
    if (at + k == bytes.size()) return {.kind = Utf8Unit::Kind::Cut, .length = k};
    const auto next = static_cast<unsigned char>(bytes[at + k]);
    const bool good = k == 1 ? next >= rule.low && next <= rule.high : (next & 0xC0) == 0x80;
    if (!good) return {.kind = Utf8Unit::Kind::Invalid, .length = k};
    value = (value << 6) | (next & 0x3FU);
  }
  return {.length = rule.length, .value = value};
}

bool is_utf8(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    std::uint64_t eight = 0;
    if (at + sizeof eight <= bytes.size()) {
      std::memcpy(&eight, bytes.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080U) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Utf8Unit unit = utf8_unit(bytes, at);
    if (unit.kind != Utf8Unit::Kind::Character) return false;
    at += unit.length;
  }
  return true;
}

void append_replacing(std::string& out, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Unit unit = utf8_unit(bytes, at);
    out += unit.kind == Utf8Unit::Kind::Character ? bytes.substr(at, unit.length) : kReplacement;
    at += unit.length;
  }
}

bool is_white_space(char32_t value) {
  return (value >= 0x09 && value <= 0x0D) || value == 0x20 || value == 0x85 || value == 0xA0 || value == 0x1680 ||
         (value >= 0x2000 && value <= 0x200A) || value == 0x2028 || value == 0x2029 || value == 0x202F || value == 0x205F ||
         value == 0x3000;
}

}  // namespace gauntlet
