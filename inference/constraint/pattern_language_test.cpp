#include "inference/constraint/pattern_language.h"

#include <doctest/doctest.h>

#include <regex>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

/// A random pattern of what both sides know.
std::string random_pattern(Rng& rng, int depth) {
  std::string out;
  const auto parts = 1 + rng.below(3);
  for (std::uint64_t i = 0; i < parts; ++i) {
    const auto kind = rng.below(depth > 0 ? 8 : 5);
    if (kind < 3) out += rng.pick<std::string>({"a", "b", "c"});
    else if (kind == 3) out += rng.pick<std::string>({"[ab]", "[^a]", "[b-c]", ".", "\\d", "\\w", "\\S"});
    else if (kind == 4) out += rng.pick<std::string>({"\\.", "-", "1"});
    else if (kind == 5) out += "(" + random_pattern(rng, depth - 1) + "|" + random_pattern(rng, depth - 1) + ")";
    else out += "(?:" + random_pattern(rng, depth - 1) + ")";
    if (rng.chance(300'000)) out += rng.pick<std::string>({"*", "+", "?", "{2}", "{1,2}", "{0,3}", "*?"});
  }
  return out;
}

TEST_CASE("patterns mean what they mean to std::regex, on random patterns and strings") {
  Rng rng(1);
  int matched = 0, tried = 0;
  for (int i = 0; i < 600; ++i) {
    std::string pattern = random_pattern(rng, 2);
    if (rng.chance(400'000)) pattern = "^" + pattern;
    if (rng.chance(400'000)) pattern += "$";
    if (rng.chance(100'000)) pattern = "^a|" + pattern + "|c$";
    Budget budget{GrammarLimits{}};
    const std::regex expected(pattern, std::regex::ECMAScript);
    const CharLanguage language = pattern_language(pattern, 5000, "test", budget);
    for (int k = 0; k < 40; ++k) {
      std::string text;
      for (auto size = rng.below(7); size > 0; --size) text += rng.pick<char>({'a', 'b', 'c', '1', '.', '-', ' '});
      const bool want = std::regex_search(text, expected);
      CHECK_MESSAGE(language.contains(text, budget) == want, pattern << " on \"" << text << "\"");
      matched += want;
      ++tried;
    }
  }
  CHECK(matched > tried / 10);
  CHECK(matched < tried * 9 / 10);
}

TEST_CASE("characters are code points, whatever their number of bytes") {
  const auto holds = [](const char* pattern, const char* text) {
    Budget budget{GrammarLimits{}};
    return pattern_language(pattern, 1000, "test", budget).contains(text, budget);
  };
  CHECK(holds("^.$", "é"));
  CHECK(holds("^.$", "😀"));
  CHECK_FALSE(holds("^.$", "\n"));
  CHECK(holds("^[à-ü]{2}$", "éè"));
  CHECK(holds("^\\u00e9\\xe8$", "éè"));
  CHECK(holds("^\\ud83d\\ude00\\u{1F600}$", "😀😀"));
  CHECK(holds("^[\\d\\-x]+$", "1-x"));
  CHECK(holds("^[]a]$", "]") == false);  // as in ECMA-262 "[]" is empty
  CHECK(holds("^\\/\\^\\$\\{\\}$", "/^${}"));
  CHECK(holds("^(?<year>\\d{4})$", "2024"));
  CHECK(holds("", "anything"));
}

TEST_CASE("what is not supported is refused with its place") {
  const std::vector<std::pair<const char*, const char*>> refused = {
      {"a(?=b)", "look-around"}, {"(?<!a)b", "look-around"}, {"\\bword", "this escape"}, {"(a)\\1", "this escape"}, {"\\p{L}", "this escape"}, {"[b-a]", "backwards"}, {"a{3,2}", "backwards"},
      {"*a", "follows nothing"}, {"a**", "follows nothing"}, {"^*", "anchor"}, {"a)", "closes nothing"}, {"(a", "does not end"}, {"[a", "ends too early"}, {"\\", "ends too early"}, {"\\ud83d", "surrogate"}, {"\\u{110000}", "no such character"},
      {"{", "begins no {n}"}};
  for (const auto& [pattern, message] : refused) {
    INFO(pattern);
    try {
      Budget budget{GrammarLimits{}};
      pattern_language(pattern, 1000, "schema /pattern", budget);
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::Usage);
      CHECK_MESSAGE(std::string(error.what()).find(message) != std::string::npos, error.what());
      CHECK(std::string(error.what()).starts_with("schema /pattern: the pattern \""));
    }
  }
}

TEST_CASE("an error shows the beginning of a long pattern, format or reference alone") {
  const std::string text = "é" + std::string(100'000, 'n');
  const auto length = [&](const auto& use) {
    Budget budget{GrammarLimits{}};
    try {
      use(budget);
    } catch (const Error& error) {
      return std::string(error.what()).size();
    }
    return std::string::npos;
  };
  CHECK(length([&](Budget& budget) { pattern_language("(?=" + text, 1000, "schema", budget); }) < 250);
  CHECK(length([&](Budget& budget) { pattern_language(text, 1000, "schema", budget); }) < 250);
  CHECK(length([&](Budget& budget) { format_language(text, "schema", budget); }) < 300);
}

TEST_CASE("formats hold their usual spelling") {
  const auto holds = [](const char* format, const char* text) {
    Budget budget{GrammarLimits{}};
    return format_language(format, "test", budget).contains(text, budget);
  };
  int days = 0;
  for (int month = 0; month <= 13; ++month) {
    for (int day = 0; day <= 32; ++day) {
      char text[16];
      std::snprintf(text, sizeof text, "2023-%02d-%02d", month, day);
      days += holds("date", text);
    }
  }
  CHECK(days == 365);
  for (const auto& [year, leap] : std::vector<std::pair<const char*, bool>>{{"2024", true}, {"2000", true}, {"1900", false}, {"2023", false}, {"9996", true}}) CHECK(holds("date", (std::string(year) + "-02-29").c_str()) == leap);
  CHECK(holds("hostname", "a-b.example.org"));
  CHECK_FALSE(holds("hostname", "-a.org"));
  Budget budget{GrammarLimits{}};
  CHECK_THROWS_WITH_AS(format_language("regex", "schema /format", budget), "schema /format: found \"regex\"; accepted: date, time, date-time, uuid, email, ipv4, hostname, uri", Error);
}

}  // namespace
}  // namespace gauntlet
