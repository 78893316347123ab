#pragma once

// Deterministic random numbers: xoshiro256** (Blackman and Vigna, 2018) seeded through splitmix64. All draws use integer
// arithmetic only, so that the same seed gives the same values on every machine, compiler and thread count.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace gauntlet {

class Rng {
 public:
  explicit Rng(std::uint64_t seed);

  /// An independent stream named by `label`; does not advance this one, so the order of splits does not matter.
  Rng split(std::string_view label) const;
  Rng split(std::uint64_t index) const;

  std::uint64_t next();

  /// Uniform in [0, bound); bound > 0. Unbiased (Lemire's multiply-and-reject).
  std::uint64_t below(std::uint64_t bound);

  /// Uniform in [low, high], both included; low <= high.
  std::int64_t range(std::int64_t low, std::int64_t high);

  /// True `per_million` times in a million.
  bool chance(std::uint32_t per_million);

  /// Index drawn in proportion to the weights; their sum must be positive.
  std::size_t weighted(const std::vector<std::uint32_t>& weights);

  /// Approximately normal with mean 0 and standard deviation 1,000: sum of twelve uniforms (Irwin-Hall), in thousandths.
  std::int64_t normal_thousandths();

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  template <class T>
  const T& pick(const std::vector<T>& items) {
    return items[below(items.size())];
  }

 private:
  std::array<std::uint64_t, 4> state_{};
};

/// Mixes values into one seed (order matters).
std::uint64_t mix_seed(std::uint64_t a, std::uint64_t b);
std::uint64_t hash_text(std::string_view text);  ///< FNV-1a, 64 bits, finalised; stable across machines

}  // namespace gauntlet
