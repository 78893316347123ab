#pragma once

// Estimates over repeated attempts at tasks. n: scored attempts at a task, c: those that passed. All intervals are 95 %.

#include <cstdint>
#include <optional>
#include <span>

namespace gauntlet {

struct Attempts {
  std::int64_t scored = 0;  ///< n
  std::int64_t passed = 0;  ///< c
};

/// Chance that at least one of k attempts passes: 1 - C(n-c, k) / C(n, k), unbiased (Chen et al. 2021, arXiv 2107.03374).
/// Nothing when k > n or k < 1: a smaller k in its place would be another figure.
std::optional<double> pass_at_k(const Attempts& attempts, std::int64_t k);

/// Chance that all of k attempts pass: C(c, k) / C(n, k), unbiased (tau-bench, arXiv 2406.12045). Nothing when k > n or k < 1.
std::optional<double> pass_hat_k(const Attempts& attempts, std::int64_t k);

struct Interval {
  double low = 0.0;
  double high = 1.0;
};

/// Wilson (1927) score interval of a proportion; right when attempts are independent, too narrow when tasks are repeated.
Interval wilson_interval(const Attempts& attempts);

/// Two-sided 95 % quantile of Student's t with that many degrees of freedom (at least 1).
double student_t_95(std::int64_t degrees_of_freedom);

/// The values of one cluster (for reports: one task).
struct ClusterSum {
  double sum = 0.0;
  std::int64_t count = 0;
};

struct ClusteredMean {
  double mean = 0.0;
  double standard_error = 0.0;
  std::int64_t clusters = 0;  ///< those with at least one value
};

/// Mean over all values with the cluster-robust standard error of Miller 2024 (arXiv 2411.00640, appendix A),
/// sqrt(sum_g (sum_i (x_gi - mean))^2) / N, its variance multiplied by G / (G - 1) for few clusters. Nothing without values.
std::optional<ClusteredMean> clustered_mean(std::span<const ClusterSum> clusters);

/// Interval of a mean of values in [0, 1]: mean ± t(G - 1) × standard error, cut to [0, 1]. Where that says nothing (one
/// cluster, or all clusters alike, so that the standard error is 0) it is Wilson's interval with the clusters as attempts
/// instead of a point.
Interval clustered_interval(const ClusteredMean& mean);

}  // namespace gauntlet
