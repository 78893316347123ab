#pragma once

// Token ids and log-probabilities as blobs: little-endian int32 and IEEE float32, four bytes each, nothing before or between
// them.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "datasets/sqlite.h"

namespace gauntlet {

std::string encode_ids(std::span<const std::int32_t> ids);
std::string encode_floats(std::span<const float> values);
inline Blob as_blob(const std::string& bytes) { return std::as_bytes(std::span(bytes)); }

/// Throw Error(Store) if the length is not a multiple of four.
std::vector<std::int32_t> decode_ids(Blob bytes);
std::vector<float> decode_floats(Blob bytes);

}  // namespace gauntlet
