#include "inference/cuda/hopper/quantize_queries.h"

#include <cmath>
#include <limits>

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

constexpr std::size_t kWidth = kQueryLatent + kQueryRotary;
constexpr std::uint8_t kPoison = 0x5b;

struct Quantized {
  std::vector<std::uint8_t> values;
  std::vector<Bf16> rotary;
  std::vector<float> scales;
};

Quantized reference(const std::vector<Bf16>& queries) {
  const std::size_t heads = queries.size() / kWidth;
  Quantized out{.values = std::vector<std::uint8_t>(heads * kQueryLatent, kPoison), .rotary = poisoned<Bf16>(heads * kQueryRotary), .scales = poisoned<float>(heads)};
  quantize_queries_ref(
      {.heads = static_cast<int>(heads), .queries = queries.data(), .queries_fp8 = out.values.data(), .query_rotary = out.rotary.data(), .query_scales = out.scales.data()});
  return out;
}

/// Magnitudes from those that bf16 hardly holds to those that it hardly holds, columns of one head alike, or not.
std::vector<Bf16> wide_queries() {
  Rng rng(1);
  std::vector<Bf16> out;
  for (int head = 0; head < 300; ++head) {
    const int latent = static_cast<int>(rng.below(250)) - 130, rotary = head % 3 == 0 ? static_cast<int>(rng.below(250)) - 130 : latent;
    for (std::size_t d = 0; d < kWidth; ++d) {
      const float value = random_floats(rng, 1)[0];
      out.push_back(to_bf16(std::ldexp(value, (d < kQueryLatent ? latent : rotary) - static_cast<int>(head % 2 == 0 ? rng.below(20) : 0))));
    }
  }
  return out;
}

TEST_CASE("quantised queries stand for the queries: the largest in (224, 448], the rest to half a step of e4m3, rotary columns exactly") {
  Rng rng(2);
  const std::vector<Bf16> queries = random_bf16s(rng, 50 * kWidth);
  const Quantized found = reference(queries);
  for (std::size_t head = 0; head < 50; ++head) {
    const float scale = found.scales[head];
    float most = 0;
    for (std::size_t d = 0; d < kQueryLatent; ++d) {
      const float value = to_float(queries[head * kWidth + d]);
      most = std::max(most, std::fabs(value));
      REQUIRE(std::fabs(to_float(Fp8{found.values[head * kQueryLatent + d]}) * scale - value) <= std::max(std::fabs(value) * 0x1p-4f, 0x1p-10f * scale));
    }
    for (std::size_t d = 0; d < kQueryRotary; ++d) REQUIRE(to_float(found.rotary[head * kQueryRotary + d]) * scale == to_float(queries[head * kWidth + kQueryLatent + d]));
    int exponent = 0;
    CHECK(std::frexp(scale, &exponent) == 0.5f);
    CHECK(most / scale > 224.0f);
    CHECK(most / scale <= 448.0f);
  }
}

TEST_CASE("rotary columns stay finite beside small latent ones, and a head that is not finite is NaN alone") {
  std::vector<Bf16> queries(6 * kWidth, Bf16{0});
  queries[1 * kWidth] = to_bf16(0x1p-126f);
  queries[1 * kWidth + kWidth - 1] = to_bf16(-0x1.8p127f);
  queries[2 * kWidth + 5] = to_bf16(std::numeric_limits<float>::quiet_NaN());
  queries[3 * kWidth + kQueryLatent] = to_bf16(-std::numeric_limits<float>::infinity());
  queries[4 * kWidth + 1] = to_bf16(1.0f);
  queries[5 * kWidth + 1] = to_bf16(-0x1p-130f);
  const Quantized found = reference(queries);
  for (std::size_t head = 0; head < 6; ++head) {
    CAPTURE(head);
    CHECK(std::isfinite(found.scales[head]));
    CHECK(found.scales[head] > 0);
    for (std::size_t d = 0; d < kQueryLatent; ++d) REQUIRE(std::isnan(to_float(Fp8{found.values[head * kQueryLatent + d]})) == (head == 2 || head == 3));
    for (std::size_t d = 0; d < kQueryRotary; ++d) REQUIRE(std::isfinite(to_float(found.rotary[head * kQueryRotary + d])) == (head != 2 && head != 3));
  }
  CHECK(found.scales[4] == 0x1p-8f);
  CHECK(to_float(Fp8{found.values[4 * kQueryLatent + 1]}) == 256.0f);
}

TEST_CASE("quantise queries gives the reference's bits") {
  if (skip_without_hopper()) return;
  std::vector<Bf16> queries = wide_queries();
  queries[7 * kWidth + 100] = to_bf16(std::numeric_limits<float>::quiet_NaN());
  queries[9 * kWidth + 530] = to_bf16(std::numeric_limits<float>::infinity());
  std::fill_n(queries.begin() + 11 * static_cast<std::ptrdiff_t>(kWidth), kWidth, Bf16{0x8000});
  const Quantized expected = reference(queries);
  const std::size_t heads = queries.size() / kWidth;
  const OnDevice<Bf16> device_queries(queries);
  const OnDevice<std::uint8_t> values(std::vector<std::uint8_t>(expected.values.size(), kPoison));
  const auto rotary = poisoned_on_device<Bf16>(expected.rotary.size());
  const auto scales = poisoned_on_device<float>(heads);
  const Stream stream;
  QuantizeQueriesArgs args{.heads = 0, .queries = device_queries.data(), .queries_fp8 = values.data(), .query_rotary = rotary.data(), .query_scales = scales.data()};
  quantize_queries(args, stream.get());
  CHECK(std::isnan(scales.get()[0]));
  args.heads = static_cast<int>(heads);
  quantize_queries(args, stream.get());
  stream.wait_blocking();
  CHECK(same_bits(scales.get(), expected.scales));
  const auto found_values = values.get();
  const auto found_rotary = rotary.get();
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < found_values.size(); ++i) {
    const bool none = (expected.values[i] & 0x7fU) == 0x7fU;
    wrong += none ? (found_values[i] & 0x7fU) != 0x7fU : found_values[i] != expected.values[i];
  }
  for (std::size_t i = 0; i < found_rotary.size(); ++i) {
    wrong += std::isnan(to_float(expected.rotary[i])) ? !std::isnan(to_float(found_rotary[i])) : found_rotary[i].bits != expected.rotary[i].bits;
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace gauntlet::kernels
