#include "datasets/statistics.h"

#include <algorithm>
#include <cmath>

namespace gauntlet {
namespace {

constexpr double kNormal95 = 1.959963984540054;

/// C(a, k) / C(n, k) for a <= n as a product of ratios, which neither overflows nor cancels.
double choose_ratio(std::int64_t a, std::int64_t n, std::int64_t k) {
  if (k > a) return 0.0;
  double ratio = 1.0;
  for (std::int64_t i = 0; i < k; ++i) ratio *= static_cast<double>(a - i) / static_cast<double>(n - i);
  return ratio;
}

Interval wilson(double proportion, double n) {
  const double z2 = kNormal95 * kNormal95;
  const double centre = (proportion + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kNormal95 / (1 + z2 / n) * std::sqrt(proportion * (1 - proportion) / n + z2 / (4 * n * n));
  // At 0 and 1 the exact bound is the proportion itself; rounding must not move it inside.
  return {.low = proportion <= 0.0 ? 0.0 : std::max(0.0, centre - half),
          .high = proportion >= 1.0 ? 1.0 : std::min(1.0, centre + half)};
}

}  // namespace

std::optional<double> pass_at_k(const Attempts& attempts, std::int64_t k) {
  if (k < 1 || k > attempts.scored) return std::nullopt;
  return 1.0 - choose_ratio(attempts.scored - attempts.passed, attempts.scored, k);
}

std::optional<double> pass_hat_k(const Attempts& attempts, std::int64_t k) {
  if (k < 1 || k > attempts.scored) return std::nullopt;
  return choose_ratio(attempts.passed, attempts.scored, k);
}

Interval wilson_interval(const Attempts& attempts) {
  if (attempts.scored == 0) return {};
  const auto n = static_cast<double>(attempts.scored);
  return wilson(static_cast<double>(attempts.passed) / n, n);
}

double student_t_95(std::int64_t degrees_of_freedom) {
  if (degrees_of_freedom <= 1) return 12.706204736432095;
  if (degrees_of_freedom == 2) return 4.302652729911275;
  // Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5); the error is below 0.004 at 3 degrees and falls quickly.
  const double z = kNormal95;
  const double z2 = z * z;
  const double v = static_cast<double>(degrees_of_freedom);
  const double g1 = z * (z2 + 1) / 4;
  const double g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
  const double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384;
  const double g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
  return z + (g1 + (g2 + (g3 + g4 / v) / v) / v) / v;
}

std::optional<ClusteredMean> clustered_mean(std::span<const ClusterSum> clusters) {
  double sum = 0.0;
  std::int64_t count = 0;
  std::int64_t used = 0;
  for (const ClusterSum& cluster : clusters) {
    if (cluster.count == 0) continue;
    sum += cluster.sum;
    count += cluster.count;
    ++used;
  }
  if (count == 0) return std::nullopt;
  ClusteredMean out{.mean = sum / static_cast<double>(count), .clusters = used};
  if (used < 2) return out;
  double squares = 0.0;
  for (const ClusterSum& cluster : clusters) {
    if (cluster.count == 0) continue;
    const double deviation = cluster.sum - static_cast<double>(cluster.count) * out.mean;
    squares += deviation * deviation;
  }
  const auto g = static_cast<double>(used);
  out.standard_error = std::sqrt(squares * g / (g - 1)) / static_cast<double>(count);
  return out;
}

Interval clustered_interval(const ClusteredMean& mean) {
  // Sums of thirds and the like leave a standard error of rounding noise where all clusters are alike.
  constexpr double kNoise = 1e-12;
  if (mean.clusters < 2 || mean.standard_error < kNoise)
    return wilson(mean.mean, static_cast<double>(std::max<std::int64_t>(mean.clusters, 1)));
  const double half = student_t_95(mean.clusters - 1) * mean.standard_error;
  return {.low = std::max(0.0, mean.mean - half), .high = std::min(1.0, mean.mean + half)};
}

}  // namespace gauntlet
