// The formats of JSON Schema as patterns. Declared in pattern_language.h, tested through pattern_language_test.cpp.

#include <fmt/format.h>

#include "core/error.h"
#include "inference/constraint/pattern_language.h"
#include "inference/constraint/shortened.h"

namespace gauntlet {
namespace {

constexpr std::string_view kDate =
    "(?:[1-9]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))"
    "|(?:[1-9]\\d(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)";
constexpr std::string_view kTime = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
/// Without "--", which in some places marks names in other scripts (RFC 5891).
constexpr std::string_view kLabel = "[A-Za-z0-9](?:-?[A-Za-z0-9]){0,39}";
constexpr std::string_view kOctet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
constexpr std::string_view kFormats = "date, time, date-time, uuid, email, ipv4, hostname, uri";

std::string format_pattern(std::string_view format) {
  if (format == "date") return fmt::format("^{}$", kDate);
  if (format == "time") return fmt::format("^{}$", kTime);
  if (format == "date-time") return fmt::format("^{}T{}$", kDate, kTime);
  if (format == "uuid") return "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$";
  if (format == "email") return fmt::format("^[A-Za-z0-9_+-]{{1,20}}(?:\\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@{0}(?:\\.{0}){{1,2}}$", kLabel);
  if (format == "ipv4") return fmt::format("^{0}(?:\\.{0}){{3}}$", kOctet);
  if (format == "hostname") return fmt::format("^{0}(?:\\.{0}){{0,4}}$", kLabel);
  if (format == "uri") {
    constexpr std::string_view kPart = "(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*";
    return fmt::format("^https?://{0}(?:\\.{0}){{0,3}}(?::[1-9]\\d{{0,3}})?(?:/{1})?(?:\\?{1})?(?:#{1})?$", kLabel, kPart);
  }
  return "";
}

}  // namespace

CharLanguage format_language(std::string_view format, const std::string& what, Budget& budget) {
  const std::string pattern = format_pattern(format);
  require(!pattern.empty(), ErrorKind::Usage, fmt::format("{}: found \"{}\"; accepted: {}", what, shortened(format), kFormats));
  return pattern_language(pattern, 10'000, what, budget);
}

}  // namespace gauntlet
