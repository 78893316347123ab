#include "core/text_pattern.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"

using gauntlet::TextPattern;

TEST_CASE("an anchored pattern matches the whole text or nothing") {
  const TextPattern identifier("^[A-Za-z_][A-Za-z0-9_]*$");
  CHECK(identifier.matches("get_all_cities"));
  CHECK(identifier.matches("_"));
  CHECK_FALSE(identifier.matches("9lives"));
  CHECK_FALSE(identifier.matches("a b"));
  CHECK_FALSE(identifier.matches(""));
}

TEST_CASE("a pattern without anchors is found anywhere") {
  CHECK(TextPattern("b+c").matches("aabbbcd"));
  CHECK_FALSE(TextPattern("b+c").matches("aabbb"));
  CHECK(TextPattern("").matches("anything"));
}

TEST_CASE("counted repetition is exact") {
  const TextPattern hash("^[0-9a-f]{4}$");
  CHECK(hash.matches("09af"));
  CHECK_FALSE(hash.matches("09a"));
  CHECK_FALSE(hash.matches("09aff"));
  const TextPattern some("^a{2,3}$");
  CHECK_FALSE(some.matches("a"));
  CHECK(some.matches("aaa"));
  CHECK_FALSE(some.matches("aaaa"));
  CHECK(TextPattern("^a{2,}$").matches("aaaaaa"));
}

TEST_CASE("classes, escapes and the full stop") {
  CHECK(TextPattern("^\\d\\d-\\w+\\.$").matches("10-x_1."));
  CHECK(TextPattern("^[^0-9]$").matches("é"));
  CHECK_FALSE(TextPattern("^[^0-9]$").matches("7"));
  CHECK(TextPattern("^.$").matches("杭"));
  CHECK_FALSE(TextPattern("^.$").matches("\n"));
}

TEST_CASE("a pattern that makes backtracking engines explode takes linear time") {
  const TextPattern pattern("^a*a*a*a*a*a*a*a*a*a*b$");
  CHECK_FALSE(pattern.matches(std::string(20'000, 'a')));
}

TEST_CASE("what is not supported is refused, not misread") {
  for (const char* pattern : {"(a)", "a|b", "*a", "[a", "a{", "a{3,1}", "\\q", "a^b", "[z-a]", "a{100000}"}) {
    CAPTURE(std::string(pattern));
    CHECK_THROWS_AS(TextPattern{pattern}, gauntlet::Error);
  }
}
