#include "datasets/statistics.h"

#include <doctest/doctest.h>

#include <array>
#include <vector>

namespace gauntlet {
namespace {

TEST_CASE("pass@k is the share of k-subsets with at least one success") {
  // n = 5, c = 2: subsets of 2 without success: C(3,2) = 3 of 10.
  CHECK(pass_at_k({.scored = 5, .passed = 2}, 1).value() == doctest::Approx(0.4));
  CHECK(pass_at_k({.scored = 5, .passed = 2}, 2).value() == doctest::Approx(0.7));
  CHECK(pass_at_k({.scored = 5, .passed = 2}, 4).value() == 1.0);
  CHECK(pass_at_k({.scored = 5, .passed = 0}, 5).value() == 0.0);
  CHECK(pass_at_k({.scored = 100000, .passed = 1}, 50000).value() == doctest::Approx(0.5));
}

TEST_CASE("pass^k is the share of k-subsets that all succeed") {
  CHECK(pass_hat_k({.scored = 5, .passed = 3}, 1).value() == doctest::Approx(0.6));
  CHECK(pass_hat_k({.scored = 5, .passed = 3}, 2).value() == doctest::Approx(0.3));  // 3 of 10
  CHECK(pass_hat_k({.scored = 5, .passed = 3}, 4).value() == 0.0);
  CHECK(pass_hat_k({.scored = 4, .passed = 4}, 4).value() == 1.0);
}

TEST_CASE("pass@k and pass^k agree with enumerating all subsets") {
  for (int n = 1; n <= 10; ++n) {
    for (int c = 0; c <= n; ++c) {
      std::array<int, 11> subsets{}, any{}, every{};
      for (int subset = 1; subset < 1 << n; ++subset) {
        const auto k = static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(subset)));
        const auto hits = static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(subset & ((1 << c) - 1))));
        ++subsets[k];
        any[k] += hits > 0 ? 1 : 0;
        every[k] += hits == k ? 1 : 0;
      }
      for (int k = 1; k <= n; ++k) {
        const auto i = static_cast<std::size_t>(k);
        CHECK(pass_at_k({.scored = n, .passed = c}, k).value() == doctest::Approx(static_cast<double>(any[i]) / subsets[i]));
        CHECK(pass_hat_k({.scored = n, .passed = c}, k).value() == doctest::Approx(static_cast<double>(every[i]) / subsets[i]));
      }
    }
  }
}

TEST_CASE("more attempts than there are give no figure instead of another one") {
  CHECK_FALSE(pass_at_k({.scored = 3, .passed = 3}, 4).has_value());
  CHECK_FALSE(pass_hat_k({.scored = 0, .passed = 0}, 1).has_value());
  CHECK_FALSE(pass_at_k({.scored = 3, .passed = 3}, 0).has_value());
}

TEST_CASE("Wilson's interval has its published values and stays within 0 and 1") {
  // 81 of 263, 95 %: 0.2553 to 0.3662 (Newcombe 1998, Statistics in Medicine 17, table I).
  const Interval newcombe = wilson_interval({.scored = 263, .passed = 81});
  CHECK(newcombe.low == doctest::Approx(0.2553).epsilon(0.0005));
  CHECK(newcombe.high == doctest::Approx(0.3662).epsilon(0.0005));
  const Interval none = wilson_interval({.scored = 20, .passed = 0});  // 0 to 0.1611, same table
  CHECK(none.low == 0.0);
  CHECK(none.high == doctest::Approx(0.1611).epsilon(0.0005));
  CHECK(wilson_interval({.scored = 20, .passed = 20}).high == 1.0);
  CHECK(wilson_interval({.scored = 0, .passed = 0}).low == 0.0);
}

TEST_CASE("Student's quantiles are those of the tables") {
  CHECK(student_t_95(1) == doctest::Approx(12.706).epsilon(0.0001));
  CHECK(student_t_95(2) == doctest::Approx(4.303).epsilon(0.0001));
  CHECK(student_t_95(3) == doctest::Approx(3.182).epsilon(0.0015));
  CHECK(student_t_95(5) == doctest::Approx(2.571).epsilon(0.0005));
  CHECK(student_t_95(30) == doctest::Approx(2.042).epsilon(0.0003));
  CHECK(student_t_95(100000) == doctest::Approx(1.960).epsilon(0.0003));
}

TEST_CASE("the clustered standard error is the textbook's for clusters of one and larger for alike repeats") {
  // Values 1, 0, 0, 1: sd 0.57735, standard error sd / 2.
  const std::vector<ClusterSum> single = {{1, 1}, {0, 1}, {0, 1}, {1, 1}};
  CHECK(clustered_mean(single)->standard_error == doctest::Approx(0.288675));
  // Each value four times: no more is known than from the four.
  const std::vector<ClusterSum> repeated = {{4, 4}, {0, 4}, {0, 4}, {4, 4}};
  CHECK(clustered_mean(repeated)->mean == 0.5);
  CHECK(clustered_mean(repeated)->standard_error == doctest::Approx(0.288675));
  CHECK(clustered_mean(repeated)->clusters == 4);
}

TEST_CASE("clusters without values count for nothing") {
  const std::vector<ClusterSum> some = {{1, 1}, {0, 0}, {0, 1}};
  CHECK(clustered_mean(some)->clusters == 2);
  CHECK(clustered_mean(some)->mean == 0.5);
  const std::vector<ClusterSum> none = {{0, 0}};
  CHECK_FALSE(clustered_mean(none).has_value());
}

TEST_CASE("the clustered interval does not collapse where all tasks are alike") {
  const std::vector<ClusterSum> perfect(20, ClusterSum{4, 4});
  const Interval interval = clustered_interval(clustered_mean(perfect).value());
  CHECK(interval.low == doctest::Approx(1 - 0.1611).epsilon(0.0005));  // Wilson with 20 tasks, not 80 episodes
  CHECK(interval.high == 1.0);
  const std::vector<ClusterSum> mixed = {{1, 1}, {0, 1}, {0, 1}, {1, 1}};
  const Interval wide = clustered_interval(clustered_mean(mixed).value());  // 0.5 ± 3.182 × 0.2887, cut
  CHECK(wide.low == 0.0);
  CHECK(wide.high == 1.0);
}

}  // namespace
}  // namespace gauntlet
