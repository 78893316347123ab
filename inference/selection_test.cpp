#include "inference/selection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/rng.h"

namespace gauntlet {
namespace {

/// By the definition: chosen are the positions that fewer than k others come before.
std::vector<std::int32_t> by_definition(const std::vector<float>& scores, int k) {
  std::vector<std::int32_t> out;
  for (std::size_t a = 0; a < scores.size(); ++a) {
    int before = 0;
    for (std::size_t b = 0; b < scores.size(); ++b) before += b != a && chosen_before(scores[b], static_cast<std::int32_t>(b), scores[a], static_cast<std::int32_t>(a));
    if (before < k) out.push_back(static_cast<std::int32_t>(a));
  }
  return out;
}

std::vector<float> filled(std::size_t n, Rng& rng, const std::vector<float>& values) {
  std::vector<float> out(n);
  for (float& v : out) v = rng.pick(values);
  return out;
}

float any_float(Rng& rng) { return std::bit_cast<float>(static_cast<std::uint32_t>(rng.next())); }

std::vector<std::vector<float>> adversarial(std::size_t n, Rng& rng) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min(), kInf = INFINITY, kNan = NAN;
  std::vector<std::vector<float>> out = {
      std::vector<float>(n, 1.5f), std::vector<float>(n, 0.0f), std::vector<float>(n, kNan), std::vector<float>(n, -kInf), std::vector<float>(n, kInf),
      filled(n, rng, {1.0f, std::nextafter(1.0f, 2.0f)}),
      filled(n, rng, {0.0f, -0.0f}),
      filled(n, rng, {kTiny, -kTiny, 0.0f, -0.0f, 2 * kTiny}),
      filled(n, rng, {kInf, -kInf, 0.0f, 1.0f, -1.0f}),
      filled(n, rng, {kNan, -kNan, 1.0f, -kInf}),
      filled(n, rng, {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 3.0f}),
  };
  std::vector<float> ascending(n), descending(n), random(n), bits(n), plateau(n);
  for (std::size_t i = 0; i < n; ++i) {
    ascending[i] = static_cast<float>(i) - static_cast<float>(n) / 2;
    descending[i] = -ascending[i];
    random[i] = static_cast<float>(rng.range(-1'000'000, 1'000'000)) * 1e-3f;
    bits[i] = any_float(rng);
    plateau[i] = i % 3 == 0 ? static_cast<float>(i) : 7.0f;  // many equal ones around the cut
  }
  for (auto* scores : {&ascending, &descending, &random, &bits, &plateau}) out.push_back(*scores);
  return out;
}

TEST_CASE("the fast selection and the sorting one both follow the definition on adversarial scores") {
  Rng rng(1);
  std::vector<std::uint64_t> scratch;
  std::vector<std::int32_t> out = {99, 98};  // what a former call left must not show
  for (const std::size_t n : {0, 1, 2, 3, 17, 64, 65, 200}) {
    for (const auto& scores : adversarial(n, rng)) {
      for (const int k : {-1, 0, 1, 2, static_cast<int>(n) / 2, static_cast<int>(n) - 1, static_cast<int>(n), static_cast<int>(n) + 1, 1 << 20}) {
        const auto expected = by_definition(scores, k);
        REQUIRE(select_top_reference(scores, k) == expected);
        select_top(scores, k, scratch, out);
        REQUIRE(out == expected);
      }
    }
  }
}

TEST_CASE("the fast selection equals the sorting one on long rows") {
  Rng rng(2);
  std::vector<std::uint64_t> scratch;
  std::vector<std::int32_t> out;
  for (const auto& scores : adversarial(20'000, rng)) {
    for (const int k : {1, 2048, 10'000, 19'999}) {
      select_top(scores, k, scratch, out);
      REQUIRE(out == select_top_reference(scores, k));
    }
  }
}

TEST_CASE("equal scores are chosen from the front, zeros of both signs are equal, NaN comes last") {
  std::vector<std::uint64_t> scratch;
  std::vector<std::int32_t> out;
  const std::vector<float> ties = {2, 1, 1, 1, 3}, zeros = {-0.0f, 0.0f, -0.0f}, nans = {NAN, -INFINITY, NAN, -1.0f};
  select_top(ties, 3, scratch, out);
  CHECK(out == std::vector<std::int32_t>{0, 1, 4});
  select_top(zeros, 2, scratch, out);
  CHECK(out == std::vector<std::int32_t>{0, 1});
  select_top(nans, 3, scratch, out);
  CHECK(out == std::vector<std::int32_t>{0, 1, 3});
}

}  // namespace
}  // namespace gauntlet
