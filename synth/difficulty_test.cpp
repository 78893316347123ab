#include "synth/difficulty.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace gauntlet {
namespace {

std::string usage_problem(const std::string& text) {
  try {
    parse_difficulty(text);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    return error.what();
  }
  return "accepted";
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

TEST_CASE("a difficulty is a level, ranges of the vector, or both") {
  CHECK(parse_difficulty("4").level == 4);
  CHECK(parse_difficulty("level=2").level == 2);
  CHECK(parse_difficulty("4").ranges.empty());
  const DifficultyRequest both = parse_difficulty("level=4,minimal_tool_calls=30..40,log10_density=..-6.5");
  CHECK(both.level == 4);
  REQUIRE(both.ranges.size() == 2);
  CHECK(both.ranges[0].name == "minimal_tool_calls");
  CHECK(both.ranges[0].low == 30.0);
  CHECK(both.ranges[0].high == 40.0);
  CHECK(both.ranges[1].low < -1e17);
  CHECK(both.ranges[1].high == -6.5);
  CHECK(parse_difficulty("hops=3..").level == 3);
}

TEST_CASE("a wrong difficulty is a usage error that says what is accepted") {
  CHECK(usage_problem("6") == "difficulty level: found 6; accepted: 1, 2, 3, 4, 5");
  CHECK(usage_problem("2.5") == "difficulty level: found 2.5; accepted: 1, 2, 3, 4, 5");
  CHECK(usage_problem("") == "difficulty level: found \"\"; accepted: 1, 2, 3, 4, 5, or figures with ranges, such as level=4,minimal_tool_calls=30..40");
  CHECK(usage_problem("hard") == "difficulty level: found \"hard\"; accepted: 1, 2, 3, 4, 5, or figures with ranges, such as level=4,minimal_tool_calls=30..40");
  CHECK(usage_problem("hops=a..3") == "difficulty hops: found \"a..3\"; accepted: LOW..HIGH with numbers, either side may be empty");
  CHECK(says(usage_problem("calls=1..2"), "unknown entry \"calls\"; accepted: level, log10_density, active_constraints"));
  CHECK(says(usage_problem("hops=3"), "difficulty hops: found \"3\"; accepted: LOW..HIGH"));
  CHECK(says(usage_problem("hops=4..3"), "accepted: LOW..HIGH with LOW not above HIGH"));
  CHECK(says(usage_problem("hops=nan..3"), "found \"nan..3\"; accepted: LOW..HIGH with numbers"));
}

}  // namespace
}  // namespace gauntlet
