#include "inference/constraint/char_language.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/rng.h"

namespace gauntlet {
namespace {

CharSet random_set(Rng& rng) {
  std::vector<CharRange> ranges;
  for (auto count = rng.below(4); count > 0; --count) {
    const auto low = static_cast<char32_t>(rng.pick<std::uint64_t>({rng.below(300), 0xD7F0 + rng.below(0x900), rng.below(0x110000)}));
    ranges.push_back({low, static_cast<char32_t>(std::min<std::uint64_t>(low + rng.below(3000), kLastCharacter))});
  }
  return make_char_set(ranges);
}

TEST_CASE("sets of characters behave as sets, and hold no surrogates") {
  Rng rng(1);
  for (int i = 0; i < 300; ++i) {
    const CharSet a = random_set(rng), b = random_set(rng), both = intersect(a, b), rest = complement(a);
    for (int k = 0; k < 60; ++k) {
      const CharSet& near = k % 2 == 0 || b.empty() ? a : b;
      char32_t c = near.empty() ? static_cast<char32_t>(rng.below(0x110000)) : rng.chance(500'000) ? near[rng.below(near.size())].low : near[rng.below(near.size())].high;
      c = std::min<char32_t>(kLastCharacter, c + static_cast<char32_t>(rng.below(3)) - (c > 0 ? 1 : 0));
      const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
      CHECK(contains(both, c) == (contains(a, c) && contains(b, c)));
      CHECK(contains(rest, c) == (!contains(a, c) && !surrogate));
      if (surrogate) CHECK_FALSE(contains(a, c));
    }
    CHECK(complement(rest) == a);
  }
}

TEST_CASE("counted strings and strings but some are what their names say") {
  Budget budget{GrammarLimits{}};
  const CharSet letters = {{U'a', U'c'}};
  const CharLanguage two = strings_of(letters, 1, 2, budget), many = strings_of(letters, 2, UINT64_MAX, budget);
  struct Case {
    const char* text;
    bool in_two, in_many;
  };
  for (const auto& [text, in_two, in_many] : std::vector<Case>{{"", false, false}, {"a", true, false}, {"bc", true, true}, {"abc", false, true}, {"ad", false, false}}) {
    CHECK(two.contains(text, budget) == in_two);
    CHECK(many.contains(text, budget) == in_many);
  }
  CHECK_FALSE(strings_of(letters, 3, 2, budget).contains("abc", budget));
  const CharLanguage but = strings_but(all_chars(), {"name", "na", "é", ""}, budget);
  for (const char* text : {"name", "na", "é", ""}) CHECK_FALSE(but.contains(text, budget));
  for (const char* text : {"n", "nam", "names", "ée", "x"}) CHECK(but.contains(text, budget));
}

TEST_CASE("an intersection holds what both hold, keeps no useless states, and has a limit") {
  Budget budget{GrammarLimits{}};
  const CharSet letters = {{U'a', U'c'}};
  const CharLanguage both = intersect(strings_of(letters, 0, 5, budget), strings_but(all_chars(), {"ab"}, budget), 100, "test", budget);
  CHECK(both.contains("a", budget));
  CHECK_FALSE(both.contains("ab", budget));
  CHECK_FALSE(both.contains("abcabc", budget));
  const CharLanguage none = intersect(strings_of(letters, 4, 5, budget), strings_of(letters, 1, 2, budget), 100, "test", budget);
  CHECK(none.states.size() == 1);
  CHECK(none.states[0].edges.empty());
  CHECK_THROWS_WITH_AS(intersect(strings_of(letters, 0, 50, budget), strings_of(letters, 0, 60, budget), 20, "schema /a", budget), "schema /a: pattern, length and format together need more than 20 states", Error);
}

}  // namespace
}  // namespace gauntlet
