#include "core/rng.h"

#include <doctest/doctest.h>

using gauntlet::Rng;

TEST_CASE("the generator's first outputs are pinned: they are part of every world's identity") {
  Rng rng(1);
  CHECK(rng.next() == 12966619160104079557ULL);
  CHECK(rng.next() == 9600361134598540522ULL);
  CHECK(gauntlet::hash_text("hotel") == gauntlet::hash_text("hotel"));
  CHECK(gauntlet::hash_text("hotel") != gauntlet::hash_text("hotels"));
}

TEST_CASE("splits do not advance the parent and differ by label") {
  Rng a(7);
  const Rng b(7);
  Rng first = a.split("x");
  Rng second = b.split("x");
  CHECK(first.next() == second.next());
  CHECK(a.split("x").next() != a.split("y").next());
  CHECK(a.split(1).next() != a.split(2).next());
}

TEST_CASE("below and range stay in bounds and reach both ends") {
  Rng rng(3);
  bool low = false;
  bool high = false;
  for (int i = 0; i < 1000; ++i) {
    const auto value = rng.range(-2, 2);
    CHECK(value >= -2);
    CHECK(value <= 2);
    low = low || value == -2;
    high = high || value == 2;
  }
  CHECK(low);
  CHECK(high);
  CHECK(rng.below(1) == 0);
}

TEST_CASE("the normal approximation has mean 0 and standard deviation near 1,000") {
  Rng rng(5);
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const auto value = static_cast<double>(rng.normal_thousandths());
    sum += value;
    squares += value * value;
  }
  CHECK(sum / kDraws == doctest::Approx(0).epsilon(1).scale(30));
  CHECK(squares / kDraws == doctest::Approx(1'000'000).epsilon(0.05));
}

TEST_CASE("weights of zero are never drawn") {
  Rng rng(9);
  for (int i = 0; i < 200; ++i) CHECK(rng.weighted({0, 3, 0, 1}) % 2 == 1);
}
