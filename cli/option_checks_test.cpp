#include "cli/option_checks.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace gauntlet {
namespace {

/// What is said of a command line, or the values that were read.
std::string parsed(const std::vector<std::string>& words) {
  CLI::App app;
  std::uint64_t seed = 1;
  std::string out = "o";
  check_seed(app.add_option("--seed", seed, ""));
  check_path(app.add_option("--out", out, ""));
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return std::to_string(seed) + " " + out;
}

TEST_CASE("a seed is a whole number of 64 bits without a sign") {
  CHECK(parsed({"--seed", "0"}) == "0 o");
  CHECK(parsed({"--seed", "18446744073709551615"}) == "18446744073709551615 o");
  for (const char* wrong : {"-1", "18446744073709551616", "99999999999999999999", "1.5", "abc", "7x", "+7", " 7"}) {
    CAPTURE(wrong);
    CHECK(parsed({"--seed=" + std::string(wrong)}) == "--seed: found \"" + std::string(wrong) + "\"; accepted: a whole number from 0 to 18446744073709551615");
  }
}

TEST_CASE("a path is not empty") {
  CHECK(parsed({"--out", "x"}) == "1 x");
  CHECK(parsed({"--out", ""}) == "--out: found \"\"; accepted: the path of a file or folder");
}

}  // namespace
}  // namespace gauntlet
