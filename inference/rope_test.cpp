#include "inference/rope.h"

#include <doctest/doctest.h>

#include <cmath>
#include <complex>

#include "core/rng.h"

namespace gauntlet {
namespace {

/// The rotary settings of DeepSeek-V3.2.
ModelConfig v32() {
  ModelConfig config;
  config.nope_dim = 128;
  config.rope_dim = 64;
  config.rope_theta = 10000.0;
  config.yarn = YarnScaling{.factor = 40, .original_positions = 4096, .beta_fast = 32, .beta_slow = 1, .mscale = 1.0, .mscale_all_dim = 1.0};
  return config;
}

double plain(int i, int dim = 64, double theta = 10000.0) { return std::pow(theta, -2.0 * i / dim); }

std::vector<float> random_values(int n, Rng& rng) {
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& v : out) v = static_cast<float>(rng.range(-1000, 1000)) / 300.0f;
  return out;
}

TEST_CASE("V3.2's YaRN leaves pairs up to 10 alone, divides from 23 on by 40, and blends between") {
  const auto frequencies = rope_frequencies(v32());
  REQUIRE(frequencies.size() == 32);
  for (int i = 0; i < 32; ++i) {
    CAPTURE(i);
    const double ramp = i <= 10 ? 0.0 : i >= 23 ? 1.0 : (i - 10) / 13.0;
    const double expected = plain(i) * (1 - ramp) + plain(i) / 40 * ramp;
    CHECK(std::fabs(frequencies[static_cast<std::size_t>(i)] / expected - 1) < 1e-6);
  }
  CHECK(frequencies[10] == static_cast<float>(plain(10)));
  CHECK(frequencies[11] < static_cast<float>(plain(11) * 0.99));
  CHECK(frequencies[22] > static_cast<float>(plain(22) / 40 * 1.01));
  CHECK(frequencies[23] == static_cast<float>(plain(23) / 40));
}

TEST_CASE("V3.2's softmax scale carries mscale squared, and its cosines carry none") {
  CHECK(std::fabs(v32().softmax_scale() - 0.1352337789) < 5e-11);
  ModelConfig short_context = v32();
  short_context.yarn.reset();
  CHECK(std::fabs(short_context.softmax_scale() - 1 / std::sqrt(192.0)) < 1e-15);
  ModelConfig no_mscale = v32();
  no_mscale.yarn->mscale_all_dim = 0;
  CHECK(no_mscale.softmax_scale() == short_context.softmax_scale());
  const RopeTable table(v32(), 1);
  CHECK(table.cosines(0)[0] == 1.0f);
  CHECK(table.sines(0)[0] == 0.0f);
}

TEST_CASE("where mscale and mscale_all_dim differ, the cosines carry their ratio") {
  ModelConfig config = v32();
  config.yarn->mscale = 2.0;
  config.yarn->mscale_all_dim = 0.5;
  const RopeTable table(config, 1);
  const double ratio = (0.2 * std::log(40.0) + 1) / (0.05 * std::log(40.0) + 1);
  CHECK(std::fabs(table.cosines(0)[0] - ratio) < 1e-6);
}

TEST_CASE("without YaRN the frequencies are powers of the base") {
  ModelConfig config;
  config.rope_dim = 16;
  config.rope_theta = 500.0;
  const auto frequencies = rope_frequencies(config);
  REQUIRE(frequencies.size() == 8);
  for (int i = 0; i < 8; ++i) CHECK(std::fabs(frequencies[static_cast<std::size_t>(i)] / plain(i, 16, 500.0) - 1) < 1e-6);
}

TEST_CASE("YaRN's two correction dimensions may fall together") {
  ModelConfig config = v32();
  config.yarn->original_positions = 1;  // both before the first pair
  for (const float f : rope_frequencies(config)) CHECK(std::isfinite(f));
}

TEST_CASE("both layouts rotate their pairs as complex numbers, and keep the norm") {
  Rng rng(3);
  for (const bool yarn : {true, false}) {
    ModelConfig config = v32();
    if (!yarn) config.yarn.reset();
    const auto frequencies = rope_frequencies(config);
    const RopeTable table(config, 5000);
    for (const std::int64_t position : {0, 1, 7, 1000, 4999}) {
      for (const RopeLayout layout : {RopeLayout::Interleaved, RopeLayout::HalfSplit}) {
        const auto before = random_values(64, rng);
        auto after = before;
        table.rotate(after.data(), position, layout);
        double norm_before = 0, norm_after = 0;
        for (std::size_t i = 0; i < 64; ++i) {
          norm_before += before[i] * before[i];
          norm_after += after[i] * after[i];
        }
        CHECK(std::fabs(norm_after / norm_before - 1) < 1e-5);
        for (std::size_t j = 0; j < 32; ++j) {
          const std::size_t first = layout == RopeLayout::Interleaved ? 2 * j : j;
          const std::size_t second = layout == RopeLayout::Interleaved ? 2 * j + 1 : j + 32;
          const auto angle = static_cast<double>(static_cast<float>(position) * frequencies[j]);
          const auto expected = std::complex<double>(before[first], before[second]) * std::polar(1.0, angle);
          REQUIRE(std::fabs(after[first] - expected.real()) < 2e-6);
          REQUIRE(std::fabs(after[second] - expected.imag()) < 2e-6);
        }
      }
    }
  }
}

TEST_CASE("a rotated query and key multiply to a function of their distance alone") {
  Rng rng(4);
  const RopeTable table(v32(), 200);
  const auto q = random_values(64, rng), k = random_values(64, rng);
  for (const RopeLayout layout : {RopeLayout::Interleaved, RopeLayout::HalfSplit}) {
    const auto product = [&](std::int64_t at_q, std::int64_t at_k) {
      auto a = q, b = k;
      table.rotate(a.data(), at_q, layout);
      table.rotate(b.data(), at_k, layout);
      double sum = 0;
      for (std::size_t i = 0; i < 64; ++i) sum += a[i] * b[i];
      return sum;
    };
    CHECK(std::fabs(product(50, 20) - product(180, 150)) < 1e-3);
    CHECK(std::fabs(product(50, 20) - product(50, 21)) > 1e-2);
  }
}

}  // namespace
}  // namespace gauntlet
