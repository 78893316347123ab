#include "datasets/token_blobs.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "core/error.h"

namespace gauntlet {
namespace {

static_assert(sizeof(float) == 4);

std::uint32_t swap_on_big_endian(std::uint32_t word) {
  if constexpr (std::endian::native == std::endian::big) return __builtin_bswap32(word);
  return word;
}

template <class T>
std::string encode(std::span<const T> values) {
  std::string bytes(values.size() * 4, '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t word = swap_on_big_endian(std::bit_cast<std::uint32_t>(values[i]));
    std::memcpy(bytes.data() + i * 4, &word, 4);
  }
  return bytes;
}

template <class T>
std::vector<T> decode(Blob bytes) {
  if (bytes.size() % 4 != 0) {
    fail(ErrorKind::Store,
         fmt::format("could not read a token stream: a blob of {} bytes, expected a multiple of 4", bytes.size()));
  }
  std::vector<T> values(bytes.size() / 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data() + i * 4, 4);
    values[i] = std::bit_cast<T>(swap_on_big_endian(word));
  }
  return values;
}

}  // namespace

std::string encode_ids(std::span<const std::int32_t> ids) { return encode(ids); }
std::string encode_floats(std::span<const float> values) { return encode(values); }
std::vector<std::int32_t> decode_ids(Blob bytes) { return decode<std::int32_t>(bytes); }
std::vector<float> decode_floats(Blob bytes) { return decode<float>(bytes); }

}  // namespace gauntlet
