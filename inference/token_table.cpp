#include "inference/token_table.h"

#include <bit>
#include <cstring>

#include "core/error.h"

namespace gauntlet {
namespace {

/// Never reached by chance at half load; a file made to collide is refused instead of slowing everything down.
constexpr std::size_t kMostProbes = 1000;

std::uint64_t hash_bytes(std::string_view bytes) {
  std::uint64_t hash = bytes.size() * 0xD6E8FEB86659FD93U;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t part = 0;
    std::memcpy(&part, bytes.data() + at, 8);
    hash = (hash ^ part) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
  }
  std::uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  hash = (hash ^ rest) * 0x9E3779B97F4A7C15U;
  return hash ^ (hash >> 32);
}

}  // namespace

TokenTable::TokenTable(std::size_t ids, std::size_t total_bytes)
    : entries_(ids), slots_(std::bit_ceil(2 * ids + 2), kNoToken) {
  text_.reserve(total_bytes);
}

void TokenTable::add(std::int32_t id, std::string_view bytes, Findable findable) {
  require(id >= 0 && static_cast<std::size_t>(id) < entries_.size() && !holds(id), ErrorKind::Internal, "token id taken or out of range");
  if (findable == Findable::Yes) {
    std::size_t slot = hash_bytes(bytes) & (slots_.size() - 1);
    for (std::size_t probes = 0; slots_[slot] != kNoToken; slot = (slot + 1) & (slots_.size() - 1)) {
      if (++probes > kMostProbes) fail(ErrorKind::Input, "the tokens are chosen so that looking them up is slow");
    }
    slots_[slot] = id;
  }
  entries_[static_cast<std::size_t>(id)] = {static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(bytes.size())};
  text_ += bytes;
}

std::string_view TokenTable::bytes(std::int32_t id) const {
  if (!holds(id)) return {};
  const Entry& entry = entries_[static_cast<std::size_t>(id)];
  return std::string_view(text_).substr(entry.begin, entry.size);
}

std::int32_t TokenTable::find(std::string_view bytes) const {
  std::size_t slot = hash_bytes(bytes) & (slots_.size() - 1);
  for (; slots_[slot] != kNoToken; slot = (slot + 1) & (slots_.size() - 1)) {
    if (this->bytes(slots_[slot]) == bytes) return slots_[slot];
  }
  return kNoToken;
}

}  // namespace gauntlet
