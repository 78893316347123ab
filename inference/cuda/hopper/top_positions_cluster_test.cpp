#include "inference/cuda/hopper/top_positions_cluster.h"

#include <string>

#include "inference/cuda/kernel_case.h"
#include "inference/cuda/top_positions_case.h"

namespace gauntlet::kernels {
namespace {

/// With threads 0 the kernel plans for itself.
std::vector<std::int32_t> on_device(const ScoreRows& rows, const TopPositionsPlan& plan = {.threads = 0}) {
  const OnDevice<std::int32_t> last(rows.last);
  const OnDevice<float> scores(rows.scores);
  const auto chosen = poisoned_on_device<std::int32_t>(static_cast<std::size_t>(rows.rows()) * static_cast<std::size_t>(rows.k));
  const Stream stream;
  auto args = rows.args();
  args.last = last.data();
  args.scores = scores.data();
  args.chosen = chosen.data();
  if (plan.threads == 0) {
    top_positions_cluster(args, stream.get());
  } else {
    top_positions_cluster(args, plan, stream.get());
  }
  stream.wait_blocking();
  return chosen.get();
}

TEST_CASE("the cluster chooses exactly the positions that sorting chooses, however the work is divided") {
  if (skip_without_hopper()) return;
  Rng rng(1);
  for (const auto& [kind, name] : kScoreKinds) {
    for (const int k : {1, 3, 100, 512, 2048, 4096}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      // More than there are, as many, one more; and lengths around powers of two.
      const auto rows = make_score_rows(rng, kind, k, {1, std::max(1, k - 1), k, k + 1, k + 2, 2 * k, 2 * k + 1, k + 63, k + 65, 1023, 1024, 1025, 4096, 8193, 20'001});
      const auto expected = chosen_reference(rows);
      REQUIRE(on_device(rows) == expected);
      if (k <= 2048) {
        for (const auto& [threads, longest] : {std::pair{256, 4088}, {512, 8184}, {1024, 16'376}}) {
          CAPTURE(threads);
          const auto held = make_score_rows(rng, kind, k, {k, k + 1, k + 2, std::min(2 * k, longest), 1023, 1024, 1025, longest / 2 + 1, longest});
          REQUIRE(on_device(held, {.blocks = 0, .threads = threads}) == chosen_reference(held));
        }
      }
      for (const int blocks : {1, 2, 4, 8}) {
        CAPTURE(blocks);
        const int few = std::max(4096, round_up(k + 1, 4));
        REQUIRE(on_device(rows, {.blocks = blocks, .threads = 256, .stages = std::max(2, blocks * k / 4096), .candidates = few, .sampled = blocks > 2}) == expected);
        if (blocks * k > 16'384) continue;
        const int more = round_up(k, 4) + 4096;
        REQUIRE(on_device(rows, {.blocks = blocks, .threads = 512, .stages = std::max(2, blocks * k / 8192), .candidates = more, .sampled = blocks < 4}) == expected);
      }
    }
  }
}

TEST_CASE("the cluster chooses exactly from long rows") {
  if (skip_without_hopper()) return;
  Rng rng(2);
  for (const auto& [kind, name] : kScoreKinds) {
    for (const int k : {16, 2048}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      const auto rows = make_score_rows(rng, kind, k, {131'072, 32'768, 100'001});
      const auto expected = chosen_reference(rows);
      for (const int blocks : {1, 4, 8}) {
        CAPTURE(blocks);
        REQUIRE(on_device(rows, {.blocks = blocks, .threads = 256, .stages = 4, .candidates = 4096}) == expected);
      }
    }
  }
}

TEST_CASE("the cluster chooses from any number of rows, each as if it were alone") {
  if (skip_without_hopper()) return;
  Rng rng(3);
  std::vector<int> counts;
  for (int n = 1; n <= 320; n = n * 3 / 2 + 1) {
    CAPTURE(n);
    while (static_cast<int>(counts.size()) < n) counts.push_back(static_cast<int>(1 + rng.below(6000)));
    const auto rows = make_score_rows(rng, ScoreKind::FewValues, 512, counts);
    const auto found = on_device(rows);
    REQUIRE(found == chosen_reference(rows));
    const auto row = static_cast<std::size_t>(rng.below(counts.size()));
    ScoreRows one = rows;
    one.last = {rows.last[row]};
    one.scores = rows_of(rows.scores, static_cast<std::size_t>(rows.stride), row, 1);
    REQUIRE(on_device(one) == rows_of(found, 512, row, 1));
  }
}

TEST_CASE("the cluster writes -1 for a row without candidates, and reads no scores where there are k or fewer") {
  if (skip_without_hopper()) return;
  const OnDevice<std::int32_t> last({-1, 0, 62, 63});
  const auto chosen = poisoned_on_device<std::int32_t>(4 * 64);
  const Stream stream;
  top_positions_cluster({.rows = 4, .k = 64, .last = last.data(), .scores = nullptr, .score_stride = 64, .chosen = chosen.data()}, stream.get());
  stream.wait_blocking();
  std::vector<std::int32_t> expected(4 * 64, -1);
  for (std::size_t r = 0; r < 4; ++r) {
    const std::size_t count = std::vector<std::size_t>{0, 1, 63, 64}[r];
    for (std::size_t i = 0; i < count; ++i) expected[r * 64 + i] = static_cast<std::int32_t>(i);
  }
  CHECK(chosen.get() == expected);
}

TEST_CASE("the cluster chooses exactly where the sampled scores are unlike the rest") {
  if (skip_without_hopper()) return;
  Rng rng(6);
  // Every so many-th piece of eight scores is sampled; those are the best here, fewer than k of which lie above what the sample suggests.
  for (const int pieces : {4, 16, 32}) {
    CAPTURE(pieces);
    auto rows = make_score_rows(rng, ScoreKind::Random, 2048, {4096 * pieces, 4096 * pieces + 5});
    for (std::size_t i = 0; i < rows.scores.size(); ++i) {
      if (static_cast<int>(i % static_cast<std::size_t>(rows.stride)) / 8 % pieces == 0) rows.scores[i] += 1000.0f;
    }
    const auto expected = chosen_reference(rows);
    for (const int blocks : {1, 2, 8}) {
      CAPTURE(blocks);
      REQUIRE(on_device(rows, {.blocks = blocks, .threads = blocks == 1 ? 256 : 512}) == expected);
    }
  }
}

TEST_CASE("the cluster's choice is the same on every run") {
  if (skip_without_hopper()) return;
  Rng rng(4);
  const auto rows = make_score_rows(rng, ScoreKind::CutTies, 2048, {40'000, 8192, 2049, 65'536});
  const auto first = on_device(rows);
  for (int i = 0; i < 20; ++i) REQUIRE(on_device(rows) == first);
}

TEST_CASE("the cluster's rows may be more than a grid's second dimension has blocks") {
  if (skip_without_hopper()) return;
  Rng rng(5);
  std::vector<int> counts(66'000);
  for (auto& count : counts) count = static_cast<int>(1 + rng.below(40));
  const auto rows = make_score_rows(rng, ScoreKind::FewValues, 4, counts);
  CHECK(on_device(rows) == chosen_reference(rows));
}

TEST_CASE("the cluster takes what it can choose from") {
  if (skip_without_hopper()) return;
  CHECK(top_positions_cluster_takes({.rows = 1, .k = 4096, .score_stride = 4096}));
  CHECK_FALSE(top_positions_cluster_takes({.rows = 1, .k = 4097, .score_stride = 8192}));
  CHECK_FALSE(top_positions_cluster_takes({.rows = 1, .k = 1, .score_stride = 3}));
}

}  // namespace
}  // namespace gauntlet::kernels
