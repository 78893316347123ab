#include "cli/option_checks.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <limits>

namespace gauntlet {
namespace {

/// Empty if the text is one, as CLI11 wants it.
std::string seed_problem(const std::string& text) {
  std::uint64_t seed = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, seed);
  if (error == std::errc() && rest == end) return "";
  return fmt::format("found \"{}\"; accepted: a whole number from 0 to {}", text, std::numeric_limits<std::uint64_t>::max());
}

std::string path_problem(const std::string& text) { return text.empty() ? "found \"\"; accepted: the path of a file or folder" : ""; }

}  // namespace

CLI::Option* check_seed(CLI::Option* option) { return option->check(seed_problem); }

CLI::Option* check_path(CLI::Option* option) { return option->check(path_problem); }

}  // namespace gauntlet
