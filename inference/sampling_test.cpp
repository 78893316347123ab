#include "inference/sampling.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/rng.h"
#include "inference/token_mass.h"

namespace gauntlet {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<double> frequencies(const std::vector<float>& logits, SamplingParameters p, const TokenHistory& history = {}, TokenMask mask = {}) {
  Sampler sampler;
  std::vector<double> out(logits.size());
  constexpr int kDraws = 40'000;
  for (int i = 0; i < kDraws; ++i) {
    p.seed = static_cast<std::uint64_t>(i);
    out[static_cast<std::size_t>(sampler.sample(logits, p, history, mask, 3).id)] += 1.0 / kDraws;
  }
  return out;
}

/// Four standard deviations of a share estimated from 40,000 draws.
void check_share(double found, double expected) { CHECK(std::fabs(found - expected) <= 4 * std::sqrt(expected * (1 - expected) / 40'000) + 1e-12); }

TEST_CASE("with temperature 0 the best token is taken, the lowest id among equals, and NaN never") {
  Sampler sampler;
  const std::vector<float> logits = {1.0f, kNan, 3.0f, 3.0f, -1.0f};
  CHECK(sampler.sample(logits, {.temperature = 0}, {}, {}, 0).id == 2);
  const std::vector<std::uint64_t> mask = {0b11000};
  CHECK(sampler.sample(logits, {.temperature = 0}, {}, mask, 0).id == 3);
}

TEST_CASE("draws follow the softmax at the given temperature") {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    const auto shares = frequencies(logits, {.temperature = temperature});
    double total = 0;
    for (const float v : logits) total += std::exp(v / temperature);
    for (std::size_t i = 0; i < 3; ++i) check_share(shares[i], std::exp(logits[i] / temperature) / total);
  }
}

TEST_CASE("top-k, top-p and min-p cut the tail and keep the proportions of the rest") {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  auto shares = frequencies(logits, {.top_k = 2});
  check_share(shares[0], 0.625);
  check_share(shares[1], 0.375);
  CHECK(shares[2] + shares[3] == 0.0);
  shares = frequencies(logits, {.top_p = 0.81});
  check_share(shares[2], 0.15 / 0.95);
  CHECK(shares[3] == 0.0);
  shares = frequencies(logits, {.top_p = 1e-9});
  CHECK(shares[0] == doctest::Approx(1.0));
  shares = frequencies(logits, {.min_p = 0.5});
  check_share(shares[1], 0.375);
  CHECK(shares[2] + shares[3] == 0.0);
}

TEST_CASE("what is left after the cuts is drawn from in the order of ids, not best first") {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.2f), std::log(0.3f), std::log(0.4f)};
  Sampler sampler;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const double u = uniform_draw(seed, 5);
    const auto drawn = [&](SamplingParameters p) {
      p.seed = seed;
      return sampler.sample(logits, p, {}, {}, 5).id;
    };
    CHECK(drawn({}) == (u < 0.1 ? 0 : u < 0.3 ? 1 : u < 0.6 ? 2 : 3));
    CHECK(drawn({.top_k = 2}) == (u < 3.0 / 7 ? 2 : 3));
    CHECK(drawn({.top_p = 0.85}) == (u < 2.0 / 9 ? 1 : u < 5.0 / 9 ? 2 : 3));
    CHECK(drawn({.min_p = 0.6}) == (u < 3.0 / 7 ? 2 : 3));
  }
}

TEST_CASE("among equal tokens at a cut the lower ids stay") {
  const std::vector<float> logits(8, 1.0f);
  auto shares = frequencies(logits, {.top_k = 2});
  check_share(shares[0], 0.5);
  check_share(shares[1], 0.5);
  shares = frequencies(logits, {.top_p = 0.375});
  for (std::size_t id = 0; id < 3; ++id) check_share(shares[id], 1.0 / 3);
  shares = frequencies(logits, {.top_p = 0.5, .top_k = 4});
  check_share(shares[0], 0.5);
  check_share(shares[1], 0.5);
}

TEST_CASE("masses are the exponential function in 40 bits below the best, to 2^-29") {
  for (const float temperature : {0.1f, 0.7f, 1.0f, 3.0f}) {
    const double scale = mass_scale(temperature);
    for (int i = 0; i < 100'000; ++i) {
      const float value = 2.5f - static_cast<float>(i) * 4e-4f * temperature;
      const double exact = std::exp((static_cast<double>(value) - 2.5) / static_cast<double>(temperature)) * 0x1p40;
      const double found = static_cast<double>(token_mass(value, 2.5f, scale));
      REQUIRE(std::fabs(found - exact) <= 1 + exact * 0x1p-29);
    }
  }
  constexpr float kInfinite = std::numeric_limits<float>::infinity();
  const double tiny = mass_scale(std::numeric_limits<float>::denorm_min());
  CHECK(token_mass(1.0f, 1.0f, tiny) == kBestMass);
  CHECK(token_mass(1.0f, std::nextafter(1.0f, 2.0f), tiny) == 0);
  CHECK(token_mass(-3e38f, 3e38f, mass_scale(1.0f)) == 0);
  CHECK(token_mass(kInfinite, kInfinite, 1.0) == kBestMass);
  CHECK(token_mass(0.0f, kInfinite, mass_scale(1.0f)) == 0);
}

TEST_CASE("a share of masses is reached from below and never passes the total") {
  CHECK(mass_reaching(0.5, 10) == 5);
  CHECK(mass_reaching(0.51, 10) == 6);
  CHECK(mass_reaching(1e-30, 10) == 1);
  CHECK(mass_reaching(1.0, (std::uint64_t{1} << 57) + 1) == std::uint64_t{1} << 57);  // a double holds no more
  CHECK(mass_drawn(0.0, 10) == 0);
  CHECK(mass_drawn(0.99, 10) == 9);
  CHECK(mass_drawn(1.0 - 0x1p-53, (std::uint64_t{1} << 57) - 1) < (std::uint64_t{1} << 57) - 1);
}

TEST_CASE("a mask leaves only what it allows") {
  const std::vector<float> logits(130, 0.0f);
  std::vector<std::uint64_t> mask(3, 0);
  mask[0] = 1U << 5;
  mask[2] = 1U << 1;
  const auto shares = frequencies(logits, {}, {}, mask);
  check_share(shares[5], 0.5);
  check_share(shares[129], 0.5);
  Sampler sampler;
  const std::vector<std::uint64_t> nothing(3, 0);
  CHECK_THROWS_WITH_AS(sampler.sample(logits, {}, {}, nothing, 0), "sampling: no token is allowed", Error);
}

TEST_CASE("penalties follow their formulas and the right history") {
  Sampler sampler;
  const TokenHistory history{.prompt = {{0, 3}}, .output = {{1, 2}}};
  const std::vector<float> logits = {2.0f, 1.9f, 1.5f, -1.0f};
  CHECK(sampler.sample(logits, {.temperature = 0}, history, {}, 0).id == 0);
  CHECK(sampler.sample(logits, {.temperature = 0, .repetition_penalty = 1.5}, history, {}, 0).id == 2);   // 1.33, 1.27, 1.5
  CHECK(sampler.sample(logits, {.temperature = 0, .repetition_penalty = 1.1}, history, {}, 0).id == 0);   // 1.82, 1.73, 1.5
  CHECK(sampler.sample(logits, {.temperature = 0, .presence_penalty = -0.2}, history, {}, 0).id == 1);    // 2.0, 2.1
  CHECK(sampler.sample(logits, {.temperature = 0, .frequency_penalty = -0.06}, history, {}, 0).id == 1);  // 2.0, 2.02
}

TEST_CASE("log-probabilities are the model's own, whatever was done to choose") {
  Sampler sampler;
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const std::vector<std::uint64_t> mask = {0b100};
  const auto token = sampler.sample(logits, {.temperature = 0.3, .top_p = 0.5}, {.prompt = {}, .output = {{2, 5}}}, mask, 0);
  CHECK(token.id == 2);
  CHECK(token.logprob == doctest::Approx(std::log(0.2)).epsilon(1e-6));
  const auto best = top_logprobs(logits, 2);
  REQUIRE(best.size() == 2);
  CHECK(best[0].first == 0);
  CHECK(best[1].second == doctest::Approx(std::log(0.3)).epsilon(1e-6));
  CHECK(top_logprobs(logits, 99).size() == 3);
}

TEST_CASE("the same seed and step give the same token; other seeds or steps give others") {
  Rng rng(9);
  std::vector<float> logits(1000);
  for (auto& v : logits) v = static_cast<float>(rng.below(1000)) / 500;
  std::set<std::int32_t> by_seed, by_step;
  for (std::uint64_t i = 0; i < 50; ++i) {
    Sampler a, b;
    const SamplingParameters p{.top_p = 0.9, .seed = i};
    CHECK(a.sample(logits, p, {}, {}, 7).id == b.sample(logits, p, {}, {}, 7).id);
    by_seed.insert(a.sample(logits, p, {}, {}, 7).id);
    by_step.insert(a.sample(logits, {.seed = 1}, {}, {}, i).id);
  }
  CHECK(by_seed.size() > 30);
  CHECK(by_step.size() > 30);
}

TEST_CASE("parameters out of range are refused by name") {
  CHECK_THROWS_WITH_AS(check_sampling({.temperature = -1}), "temperature: found -1; accepted: 0 to 100", Error);
  CHECK_THROWS_AS(check_sampling({.top_p = 0}), Error);
  CHECK_THROWS_AS(check_sampling({.top_k = -1}), Error);
  CHECK_THROWS_AS(check_sampling({.min_p = 2}), Error);
  CHECK_THROWS_AS(check_sampling({.repetition_penalty = 0}), Error);
  CHECK_THROWS_AS(check_sampling({.temperature = std::numeric_limits<double>::quiet_NaN()}), Error);
  CHECK_NOTHROW(check_sampling({}));
}

}  // namespace
}  // namespace gauntlet
