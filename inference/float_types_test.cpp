#include "inference/float_types.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace gauntlet {
namespace {

/// What `bits` of a format with this many exponent and mantissa bits mean, by the textbook; for patterns that are numbers.
double textbook(unsigned bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned mantissa = bits & ((1U << mantissa_bits) - 1);
  const unsigned exponent = (bits >> mantissa_bits) & ((1U << exponent_bits) - 1);
  const bool negative = (bits >> (mantissa_bits + exponent_bits)) & 1U;
  const double value = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits) : std::ldexp((1U << mantissa_bits) + mantissa, static_cast<int>(exponent) - bias - mantissa_bits);
  return negative ? -value : value;
}

bool same(float a, double b) { return static_cast<double>(a) == b && std::signbit(a) == std::signbit(b); }

TEST_CASE("every bf16 pattern reads as the textbook says and survives the way back") {
  int wrong = 0, nan = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = to_float(Bf16{static_cast<std::uint16_t>(bits)});
    const unsigned magnitude = bits & 0x7fffU;
    if (magnitude > 0x7f80U) {
      wrong += !std::isnan(value) || !std::isnan(to_float(to_bf16(value)));
      ++nan;
      continue;
    }
    wrong += magnitude == 0x7f80U ? !same(value, (bits & 0x8000U) != 0 ? -INFINITY : INFINITY) : !same(value, textbook(bits, 8, 7));
    wrong += to_bf16(value).bits != bits;
  }
  CHECK(wrong == 0);
  CHECK(nan == 254);
}

TEST_CASE("every f16 pattern reads as the textbook says") {
  int wrong = 0, nan = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = to_float(F16{static_cast<std::uint16_t>(bits)});
    const unsigned magnitude = bits & 0x7fffU;
    if (magnitude > 0x7c00U) {
      wrong += !std::isnan(value);
      ++nan;
    } else if (magnitude == 0x7c00U) {
      wrong += !same(value, (bits & 0x8000U) != 0 ? -INFINITY : INFINITY);
    } else {
      wrong += !same(value, textbook(bits, 5, 10));
    }
  }
  CHECK(wrong == 0);
  CHECK(nan == 2046);
}

TEST_CASE("every fp8 pattern reads as the textbook says and survives the way back") {
  for (unsigned bits = 0; bits < 256; ++bits) {
    CAPTURE(bits);
    const float value = to_float(Fp8{static_cast<std::uint8_t>(bits)});
    if ((bits & 0x7fU) == 0x7fU) {
      CHECK(std::isnan(value));
      CHECK((to_fp8(value).bits & 0x7fU) == 0x7fU);
      continue;
    }
    CHECK(same(value, textbook(bits, 4, 3)));
    CHECK(to_fp8(value).bits == bits);
  }
  CHECK(to_float(Fp8{0x7e}) == kFp8Max);
}

TEST_CASE("between two bf16 neighbours the nearer one is taken, in the middle the even one") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 0x7f7fU; ++bits) {
    const float low = to_float(Bf16{static_cast<std::uint16_t>(bits)}), high = to_float(Bf16{static_cast<std::uint16_t>(bits + 1)});
    const float middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    const unsigned even = bits % 2 == 0 ? bits : bits + 1;
    for (const float sign : {1.0f, -1.0f}) {
      const unsigned flag = sign < 0 ? 0x8000U : 0;
      wrong += to_bf16(sign * middle).bits != (even | flag);
      wrong += to_bf16(sign * std::nextafter(middle, 0.0f)).bits != (bits | flag);
      wrong += to_bf16(sign * std::nextafter(middle, INFINITY)).bits != ((bits + 1) | flag);
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("bf16 overflows to infinity from half a step beyond its largest number") {
  const float half = std::ldexp(511.0f, 119);  // largest: 255 × 2^120, step 2^120
  CHECK(to_bf16(std::nextafter(half, 0.0f)).bits == 0x7f7f);
  CHECK(to_bf16(half).bits == 0x7f80);
  CHECK(to_bf16(-std::numeric_limits<float>::max()).bits == 0xff80);
  CHECK(std::isnan(to_float(to_bf16(std::bit_cast<float>(0x7f800001U)))));  // NaN whose high bits look like infinity
}

TEST_CASE("fp8 takes the nearest of its numbers for every bf16 value, the even one in the middle, and saturates") {
  std::vector<double> numbers;
  for (unsigned bits = 0; bits < 0x7fU; ++bits) numbers.push_back(textbook(bits, 4, 3));
  int wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = to_float(Bf16{static_cast<std::uint16_t>(bits)});
    if (std::isnan(value)) continue;
    const double magnitude = std::fabs(static_cast<double>(value));
    std::size_t best = numbers.size() - 1;
    if (magnitude < kFp8Max) {
      best = static_cast<std::size_t>(std::upper_bound(numbers.begin(), numbers.end(), magnitude) - numbers.begin()) - 1;
      const double below = magnitude - numbers[best], above = numbers[best + 1] - magnitude;
      if (above < below || (above == below && best % 2 == 1)) ++best;
    }
    wrong += to_fp8(value).bits != (best | ((bits & 0x8000U) != 0 ? 0x80U : 0U));
  }
  CHECK(wrong == 0);
}

TEST_CASE("between two fp8 neighbours the nearer one is taken, in the middle the even one") {
  for (unsigned bits = 0; bits < 0x7eU; ++bits) {
    CAPTURE(bits);
    const auto middle = static_cast<float>((textbook(bits, 4, 3) + textbook(bits + 1, 4, 3)) / 2);
    CHECK(to_fp8(middle).bits == (bits % 2 == 0 ? bits : bits + 1));
    CHECK(to_fp8(-middle).bits == ((bits % 2 == 0 ? bits : bits + 1) | 0x80U));
    CHECK(to_fp8(std::nextafter(middle, 0.0f)).bits == bits);
    CHECK(to_fp8(std::nextafter(middle, INFINITY)).bits == bits + 1);
  }
}

TEST_CASE("an fp8 block's scale is the least power of two that brings its largest value to 448 or below") {
  int wrong = 0, seen = 0;
  for (unsigned bits = 0; bits < 0x7f80U; ++bits) {
    const float amax = to_float(Bf16{static_cast<std::uint16_t>(bits)});
    const double floored = std::max(amax, 1e-4f);
    const float scale = fp8_block_scale(amax);
    wrong += static_cast<double>(scale) != std::exp2(std::ceil(std::log2(floored / 448.0)));
    wrong += floored / scale > 448.0 || floored / scale <= 224.0;
    ++seen;
  }
  CHECK(wrong == 0);
  CHECK(seen == 32640);
  CHECK(fp8_block_scale(448.0f) == 1.0f);
  CHECK(fp8_block_scale(450.0f) == 2.0f);
  CHECK(fp8_block_scale(0.0f) == 0x1p-22f);
  CHECK(std::isnan(fp8_block_scale(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace gauntlet
