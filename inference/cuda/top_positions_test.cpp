#include "inference/cuda/top_positions.h"

#include <string>

#include "inference/cuda/kernel_case.h"
#include "inference/cuda/top_positions_case.h"

namespace gauntlet::kernels {
namespace {

std::vector<std::int32_t> on_device(const ScoreRows& problem) {
  const OnDevice<std::int32_t> last(problem.last);
  const OnDevice<float> scores(problem.scores);
  const auto chosen = poisoned_on_device<std::int32_t>(static_cast<std::size_t>(problem.rows()) * static_cast<std::size_t>(problem.k));
  const Stream stream;
  auto args = problem.args();
  args.last = last.data();
  args.scores = scores.data();
  args.chosen = chosen.data();
  top_positions(args, stream.get());
  stream.wait_blocking();
  return chosen.get();
}

TEST_CASE("the device chooses exactly the positions that sorting chooses, from scores of every kind") {
  if (skip_without_device()) return;
  Rng rng(1);
  for (const auto& [kind, name] : kScoreKinds) {
    for (const int k : {1, 3, 16, 64, 100, 128, 512, 2048}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      // More than there are, as many, one fewer; and lengths around powers of two.
      const auto problem = make_score_rows(rng, kind, k, {1, std::max(1, k - 1), k, k + 1, k + 2, 2 * k, 2 * k + 1, k + 63, k + 65, 1023, 1024, 1025, 4096, 8191, 10'000});
      REQUIRE(on_device(problem) == chosen_reference(problem));
    }
  }
}

TEST_CASE("the device chooses exactly from long rows") {
  if (skip_without_device()) return;
  Rng rng(2);
  for (const auto& [kind, name] : kScoreKinds) {
    for (const int k : {16, 512, 2048}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      const auto problem = make_score_rows(rng, kind, k, {131'072, 32'768, 100'001});
      REQUIRE(on_device(problem) == chosen_reference(problem));
    }
  }
}

TEST_CASE("any number of rows is chosen from, each as if it were alone") {
  if (skip_without_device()) return;
  Rng rng(3);
  std::vector<int> counts;
  for (int rows = 1; rows <= 64; ++rows) {
    CAPTURE(rows);
    counts.push_back(static_cast<int>(1 + rng.below(6000)));
    const auto problem = make_score_rows(rng, ScoreKind::FewValues, 512, counts);
    const auto found = on_device(problem);
    REQUIRE(found == chosen_reference(problem));
    const auto row = static_cast<std::size_t>(rng.below(counts.size()));
    ScoreRows one = problem;
    one.last = {problem.last[row]};
    one.scores = rows_of(problem.scores, static_cast<std::size_t>(problem.stride), row, 1);
    REQUIRE(on_device(one) == rows_of(found, 512, row, 1));
  }
}

TEST_CASE("a row without candidates is all -1, and scores of rows with k candidates or fewer are not read") {
  if (skip_without_device()) return;
  const OnDevice<std::int32_t> last({-1, 0, 62, 63});
  const auto chosen = poisoned_on_device<std::int32_t>(4 * 64);
  const Stream stream;
  top_positions({.rows = 4, .k = 64, .last = last.data(), .scores = nullptr, .score_stride = 64, .chosen = chosen.data()}, stream.get());
  stream.wait_blocking();
  std::vector<std::int32_t> expected(4 * 64, -1);
  for (std::size_t r = 0; r < 4; ++r) {
    const std::size_t count = std::vector<std::size_t>{0, 1, 63, 64}[r];
    for (std::size_t i = 0; i < count; ++i) expected[r * 64 + i] = static_cast<std::int32_t>(i);
  }
  CHECK(chosen.get() == expected);
}

TEST_CASE("the choice is the same on every run") {
  if (skip_without_device()) return;
  Rng rng(4);
  const auto problem = make_score_rows(rng, ScoreKind::CutTies, 2048, {40'000, 8192, 2049, 65'536});
  const auto first = on_device(problem);
  for (int i = 0; i < 20; ++i) REQUIRE(on_device(problem) == first);
}

TEST_CASE("rows may be more than a grid's second dimension has blocks") {
  if (skip_without_device()) return;
  Rng rng(5);
  std::vector<int> counts(66'000);
  for (auto& count : counts) count = static_cast<int>(1 + rng.below(40));
  const auto problem = make_score_rows(rng, ScoreKind::FewValues, 4, counts);
  CHECK(on_device(problem) == chosen_reference(problem));
}

}  // namespace
}  // namespace gauntlet::kernels
