#pragma once

// Probabilities of tokens as fixed-point numbers: the best token has 2^40, others e^((value - best) / temperature) of that, rounded down.
// Sums are exact, so a draw depends neither on their order nor on who computes it: beyond one difference, one product and the truncation of
// that, all arithmetic is on integers, and the CPU and a GPU agree to the bit whatever their compilers do. Relative error: 2^-29.
// constexpr, so that kernels may call them (nvcc --expt-relaxed-constexpr).

#include <cmath>
#include <cstdint>

namespace gauntlet {

inline constexpr std::uint64_t kBestMass = std::uint64_t{1} << 40;

/// Halvings of the mass for each unit of difference, in 2^-32. `temperature` must be above 0.
constexpr double mass_scale(float temperature) {
  return 0x1.71547652b82fep+32 / static_cast<double>(temperature);  // 2^32 / ln 2
}

/// The mass of `value`, which is at most `best`.
constexpr std::uint64_t token_mass(float value, float best, double scale) {
  if (value == best) return kBestMass;
  const double halvings = (static_cast<double>(best) - static_cast<double>(value)) * scale;
  if (!(halvings < 0x1p32 * 41)) return 0;
  const auto fixed = static_cast<std::uint64_t>(halvings);
  // 2^-fraction = e^-y with y = fraction · ln 2 in 2^-32; its series 1 - y (1 - y/2 (1 - y/3 (…))) in 2^-31, to y^12 / 12! < 2^-35.
  const std::uint64_t y = (fixed & 0xffffffffU) * 0xb17217f7U >> 32;
  constexpr std::uint32_t kOne = 1U << 31;
  std::uint32_t power = kOne;
  for (std::uint32_t k = 12; k > 0; --k) power = kOne - static_cast<std::uint32_t>(y * power >> 32) / k;
  return static_cast<std::uint64_t>(power) << 9 >> (fixed >> 32);
}

/// The smallest mass that reaches `share` of `total`: 1 to total.
constexpr std::uint64_t mass_reaching(double share, std::uint64_t total) {
  const double exact = share * static_cast<double>(total);
  auto mass = static_cast<std::uint64_t>(exact);
  if (static_cast<double>(mass) < exact) ++mass;
  return mass < 1 ? 1 : mass > total ? total : mass;
}

/// Where a draw falls: the token is the first with which the running sum exceeds this. `uniform` in [0, 1), total above 0.
constexpr std::uint64_t mass_drawn(double uniform, std::uint64_t total) {
  const auto mass = static_cast<std::uint64_t>(uniform * static_cast<double>(total));
  return mass < total ? mass : total - 1;
}

/// Natural log of a token's probability: `total` is the sum of all tokens' masses at temperature 1. On the host only, so that whoever summed the
/// masses the bits are the same.
inline float mass_logprob(float value, float best, std::uint64_t total) {
  return static_cast<float>(static_cast<double>(value) - static_cast<double>(best) - std::log(static_cast<double>(total) * 0x1p-40));
}

}  // namespace gauntlet
