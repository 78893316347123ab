#pragma once

// Storage types of weights and caches, and their conversions. Standard library only: kernels and host code share it.

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace gauntlet {

struct Bf16 {
  std::uint16_t bits = 0;
};

struct F16 {
  std::uint16_t bits = 0;
};

/// e4m3fn: 1 sign, 4 exponent (bias 7), 3 mantissa; largest 448; no infinity, NaN is 0x7f and 0xff.
struct Fp8 {
  std::uint8_t bits = 0;
};

inline constexpr float kFp8Max = 448.0f;

inline float to_float(Bf16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }

/// Round to nearest, ties to even; NaN stays NaN.
inline Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

inline float round_to_bf16(float value) { return to_float(to_bf16(value)); }

inline float to_float(F16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 0x1fU;
  const std::uint32_t mantissa = value.bits & 0x3ffU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
}

inline float to_float(Fp8 value) {
  const std::uint32_t exponent = (value.bits >> 3) & 0xfU;
  const std::uint32_t mantissa = value.bits & 0x7U;
  float magnitude;
  if (exponent == 15 && mantissa == 7) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-9f;
  } else {
    magnitude = std::bit_cast<float>(((exponent + 120U) << 23) | (mantissa << 20));
  }
  return (value.bits & 0x80U) != 0 ? -magnitude : magnitude;
}

/// Saturates at ±448, rounds to nearest with ties to even; NaN stays NaN.
inline Fp8 to_fp8(float value) {
  const std::uint8_t sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return {static_cast<std::uint8_t>(sign | 0x7f)};
  if (magnitude >= kFp8Max) return {static_cast<std::uint8_t>(sign | 0x7e)};
  if (magnitude < 0x1p-6f) {  // subnormal: multiples of 2^-9
    const auto steps = static_cast<std::uint8_t>(std::nearbyint(magnitude * 0x1p9f));
    return {static_cast<std::uint8_t>(sign | steps)};
  }
  const auto bits = std::bit_cast<std::uint32_t>(magnitude);
  const std::uint32_t rounded = bits + 0x7ffffU + ((bits >> 20) & 1U);
  return {static_cast<std::uint8_t>(sign | (((rounded >> 20) - (120U << 3)) & 0x7fU))};
}

/// The power of two that DeepSeek's FP8 linears scale a block with (ue8m0): 2^ceil(log2(max(amax, 1e-4) / 448)).
inline float fp8_block_scale(float amax) {
  if (std::isnan(amax)) return amax;
  const float scale = std::fmax(amax, 1e-4f) * (1.0f / kFp8Max);
  const auto bits = std::bit_cast<std::uint32_t>(scale);
  const std::uint32_t exponent = (bits >> 23) + ((bits & 0x7fffffU) != 0 ? 1U : 0U);
  return std::bit_cast<float>(exponent << 23);
}

}  // namespace gauntlet
