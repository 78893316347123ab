#include "inference/byte_alphabet.h"

#include <array>

#include "inference/utf8.h"

namespace gauntlet {
namespace {

constexpr int kFirstStandIn = 256;
constexpr int kStandIns = 68;

constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

/// Byte of each stand-in from U+0100 on.
constexpr std::array<unsigned char, kStandIns> make_stand_ins() {
  std::array<unsigned char, kStandIns> out{};
  std::size_t next = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (!stands_for_itself(byte)) out[next++] = static_cast<unsigned char>(byte);
  }
  return out;
}

constexpr std::array<unsigned char, kStandIns> kBytes = make_stand_ins();

}  // namespace

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  std::string out;
  for (std::size_t at = 0; at < spelling.size();) {
    const Utf8Unit unit = utf8_unit(spelling, at);
    if (unit.kind != Utf8Unit::Kind::Character) return std::nullopt;
    const auto value = static_cast<int>(unit.value);
    if (value < kFirstStandIn && stands_for_itself(value)) {
      out += static_cast<char>(value);
    } else if (value >= kFirstStandIn && value < kFirstStandIn + kStandIns) {
      out += static_cast<char>(kBytes[static_cast<std::size_t>(value - kFirstStandIn)]);
    } else {
      return std::nullopt;
    }
    at += unit.length;
  }
  return out;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    int value = static_cast<unsigned char>(c);
    if (!stands_for_itself(value)) {
      int place = 0;
      while (kBytes[static_cast<std::size_t>(place)] != value) ++place;
      value = kFirstStandIn + place;
    }
    if (value < 0x80) {
      out += static_cast<char>(value);
    } else {
      out += static_cast<char>(0xC0 | (value >> 6));
      out += static_cast<char>(0x80 | (value & 0x3F));
    }
  }
  return out;
}

}  // namespace gauntlet
