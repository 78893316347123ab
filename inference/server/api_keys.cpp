#include "inference/server/api_keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "core/sha256.h"

namespace gauntlet {
namespace {

constexpr std::size_t kShortestKey = 8;
constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kScheme = "bearer ";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

/// No branch depends on the contents.
bool equal(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) difference |= static_cast<unsigned>(static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]));
  return difference == 0;
}

}  // namespace

void ApiKeys::add_key(std::string_view key, const std::string& source) {
  const bool visible = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7F; });
  require(visible && key.size() >= kShortestKey, ErrorKind::Input, fmt::format("{}: key {} is not usable; accepted: {} or more visible ASCII characters", source, hashes_.size() + 1, kShortestKey));
  hashes_.push_back(sha256_hex(key));
}

ApiKeys ApiKeys::from_file(const std::string& path) {
  const std::string text = read_text_file(path);
  ApiKeys keys;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const auto line = trimmed(std::string_view(text).substr(at, end - at));
    if (!line.empty() && line.front() != '#') keys.add_key(line, path);
    at = end + 1;
  }
  require(!keys.empty(), ErrorKind::Input, fmt::format("{}: found no key; accepted: one a line", path));
  return keys;
}

ApiKeys ApiKeys::from_text(std::string_view text, const std::string& name) {
  ApiKeys keys;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(", \t\r\n", at), text.size());
    if (end > at) keys.add_key(text.substr(at, end - at), name);
    at = end + 1;
  }
  require(!keys.empty(), ErrorKind::Input, fmt::format("{}: found no key; accepted: keys separated by commas or spaces", name));
  return keys;
}

bool ApiKeys::accepts(std::string_view key) const {
  const std::string hash = sha256_hex(key);
  unsigned found = 0;
  for (const auto& known : hashes_) found |= equal(known, hash) ? 1U : 0U;
  return found != 0;
}

bool ApiKeys::accepts_header(std::string_view authorization) const {
  std::string scheme(authorization.substr(0, kScheme.size()));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const bool bearer = scheme == kScheme;
  return accepts(bearer ? trimmed(authorization.substr(kScheme.size())) : std::string_view()) && bearer;
}

}  // namespace gauntlet
