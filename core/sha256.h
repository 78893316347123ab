#pragma once

// SHA-256 (FIPS 180-4), for content hashes of specs, worlds, verifiers and certificates.

#include <string>
#include <string_view>

namespace gauntlet {

/// Lower-case hexadecimal digest, 64 characters.
std::string sha256_hex(std::string_view bytes);

}  // namespace gauntlet
