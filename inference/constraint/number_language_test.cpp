#include "inference/constraint/number_language.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include "core/rng.h"

namespace gauntlet {
namespace {

NumberBounds::Bound bound(const char* text, bool included = true) { return {Decimal::of(Json::parse(text)), included}; }

TEST_CASE("a number is taken apart into its digits, however it is spelled") {
  const auto digits = [](const char* text) {
    const Decimal d = Decimal::of(Json::parse(text));
    return std::string(d.negative ? "-" : "") + d.whole + "." + d.fraction;
  };
  CHECK(digits("0") == "0.");
  CHECK(digits("-0.0") == "0.");
  CHECK(digits("12.50") == "12.5");
  CHECK(digits("-1e-7") == "-0.0000001");
  CHECK(digits("1.5e3") == "1500.");
  CHECK(digits("1e20") == "100000000000000000000.");
  CHECK(digits("18446744073709551615") == "18446744073709551615.");
}

TEST_CASE("integers between bounds are exactly those that comparing gives") {
  Rng rng(2);
  for (int i = 0; i < 150; ++i) {
    const std::int64_t scale = rng.pick<std::int64_t>({5, 40, 1200});
    const std::int64_t low = rng.range(-scale, scale), high = rng.range(low - 2, scale + 5);
    const bool low_in = rng.chance(500'000), high_in = rng.chance(500'000), has_low = rng.chance(800'000), has_high = rng.chance(800'000);
    NumberBounds bounds;
    if (has_low) bounds.raise({Decimal::of(Json(low)), low_in});
    if (has_high) bounds.lower({Decimal::of(Json(high)), high_in});
    Budget budget{GrammarLimits{}};
    const CharLanguage language = number_language(NumberKind::Integer, bounds, budget);
    for (std::int64_t value = -1300; value <= 1300; ++value) {
      const bool want = (!has_low || value > low || (low_in && value == low)) && (!has_high || value < high || (high_in && value == high));
      REQUIRE_MESSAGE(language.contains(fmt::format("{}", value), budget) == want, value << " in " << low << " " << low_in << " to " << high << " " << high_in);
      REQUIRE(bounds.allows(Decimal::of(Json(value))) == want);
    }
    CHECK_FALSE(language.contains("-0", budget));
    CHECK_FALSE(language.contains("007", budget));
    CHECK_FALSE(language.contains("", budget));
    CHECK_FALSE(language.contains("1.0", budget));
  }
}

TEST_CASE("numbers between bounds are exactly those that comparing gives, in any number of digits") {
  Rng rng(3);
  for (int i = 0; i < 150; ++i) {
    // In hundredths, so that comparing is exact.
    const std::int64_t low = rng.range(-700, 700), high = rng.range(low - 20, 900);
    const bool low_in = rng.chance(500'000), high_in = rng.chance(500'000);
    NumberBounds bounds;
    const auto json = [](std::int64_t hundredths) { return Json::parse(fmt::format("{}{}.{:02}", hundredths < 0 ? "-" : "", std::abs(hundredths) / 100, std::abs(hundredths) % 100)); };
    bounds.raise({Decimal::of(json(low)), low_in});
    bounds.lower({Decimal::of(json(high)), high_in});
    Budget budget{GrammarLimits{}};
    const CharLanguage language = number_language(NumberKind::Any, bounds, budget);
    for (std::int64_t value = -1100; value <= 1100; ++value) {
      const bool want = (value > low || (low_in && value == low)) && (value < high || (high_in && value == high));
      const std::string sign = value < 0 ? "-" : "", whole = fmt::format("{}", std::abs(value) / 100), hundredths = fmt::format("{:02}", std::abs(value) % 100);
      const std::string text = fmt::format("{}{}.{}", sign, whole, hundredths);
      REQUIRE_MESSAGE(language.contains(text, budget) == want, text << " in " << low << " " << low_in << " to " << high << " " << high_in);
      REQUIRE(language.contains(text + "000", budget) == want);
      if (value % 100 == 0 && value != 0) REQUIRE(language.contains(sign + whole, budget) == want);
      if (value % 10 == 0 && value != 0) REQUIRE(language.contains(fmt::format("{}{}.{}", sign, whole, std::abs(value) / 10 % 10), budget) == want);
    }
  }
}

TEST_CASE("numbers of more digits than anyone reads are not written") {
  Budget budget{GrammarLimits{}};
  const CharLanguage integers = number_language(NumberKind::Integer, {}, budget);
  CHECK(integers.contains(std::string(18, '9'), budget));
  CHECK_FALSE(integers.contains(std::string(19, '9'), budget));
  const CharLanguage numbers = number_language(NumberKind::Any, {}, budget);
  CHECK(numbers.contains("0." + std::string(18, '1'), budget));
  CHECK_FALSE(numbers.contains("0." + std::string(19, '1'), budget));
  NumberBounds wide;
  wide.raise(bound("-1e300"));
  wide.lower(bound("1e300"));
  CHECK(number_language(NumberKind::Integer, wide, budget).contains("-" + std::string(18, '9'), budget));
  NumberBounds beyond;
  beyond.raise(bound("1e300"));
  CHECK_FALSE(number_language(NumberKind::Integer, beyond, budget).contains(std::string(18, '9'), budget));
}

}  // namespace
}  // namespace gauntlet
