#include "inference/cuda/top_positions.h"

#include <cmath>
#include <string>

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// How the scores of a row are made.
enum class Scores { Random, Equal, TwoValues, FewValues, Close, Denormal, SignedZeros, MinusInfinity, Infinities, NaNs, AllNaN, Ascending, Descending, CutTies, IndexerLike };

constexpr std::pair<Scores, const char*> kScores[] = {
    {Scores::Random, "random"},           {Scores::Equal, "all equal"},          {Scores::TwoValues, "two values"},  {Scores::FewValues, "few values"},   {Scores::Close, "equal in their upper bits"},
    {Scores::Denormal, "denormals"},      {Scores::SignedZeros, "signed zeros"}, {Scores::MinusInfinity, "-inf"},    {Scores::Infinities, "infinities"},  {Scores::NaNs, "some NaN"},
    {Scores::AllNaN, "all NaN"},          {Scores::Ascending, "ascending"},      {Scores::Descending, "descending"}, {Scores::CutTies, "ties at the cut"}, {Scores::IndexerLike, "zeros and a tail"},
};

float one_score(Rng& rng, Scores kind, int position, int count, int k) {
  const float random = static_cast<float>(rng.next() >> 40) * 0x1p-23f - 1.0f;
  switch (kind) {
    case Scores::Random: return random * 100.0f;
    case Scores::Equal: return 1.25f;
    case Scores::TwoValues: return random < 0 ? -3.0f : 2.0f;
    case Scores::FewValues: return std::floor(random * 4.0f);
    case Scores::Close: return 1.0f + std::fabs(random) * 0x1p-14f;
    case Scores::Denormal: return random * 0x1p-130f;
    case Scores::SignedZeros: return random < -0.5f ? -0.0f : random < 0.5f ? 0.0f : random < 0.75f ? -0x1p-149f : 0x1p-149f;
    case Scores::MinusInfinity: return -kInfinity;
    case Scores::Infinities: return random < -0.3f ? -kInfinity : random > 0.3f ? kInfinity : random;
    case Scores::NaNs: return random < 0 ? std::copysign(NAN, random + 0.5f) : random;
    case Scores::AllNaN: return NAN;
    case Scores::Ascending: return static_cast<float>(position);
    case Scores::Descending: return static_cast<float>(count - position);
    // Fewer than k are better, the rest equals or is worse.
    case Scores::CutTies: return rng.below(static_cast<std::uint64_t>(count)) < static_cast<std::uint64_t>(k) / 2 ? 2.0f + random : random < 0.6f ? 0.5f : -1.0f;
    case Scores::IndexerLike: return random < 0.2f ? 0.0f : random * random * random * random * 1000.0f;
  }
  return 0;
}

/// Rows of scores; what lies beyond a row's last candidate is +inf, which would win if it were looked at.
struct Problem {
  int k = 0;
  std::vector<std::int32_t> last;
  std::vector<float> scores;
  std::int64_t stride = 0;

  int rows() const { return static_cast<int>(last.size()); }
  TopPositionsArgs args() const { return {.rows = rows(), .k = k, .last = last.data(), .scores = scores.data(), .score_stride = stride}; }
};

/// A row for each count of candidates.
Problem make_problem(Rng& rng, Scores kind, int k, const std::vector<int>& counts) {
  Problem out{.k = k};
  const int most = *std::ranges::max_element(counts);
  out.stride = (most + 3) / 4 * 4 + 8;
  out.scores.assign(counts.size() * static_cast<std::size_t>(out.stride), kInfinity);
  for (std::size_t r = 0; r < counts.size(); ++r) {
    out.last.push_back(counts[r] - 1);
    for (int p = 0; p < counts[r]; ++p) out.scores[r * static_cast<std::size_t>(out.stride) + static_cast<std::size_t>(p)] = one_score(rng, kind, p, counts[r], k);
  }
  return out;
}

std::vector<std::int32_t> reference(const Problem& problem) {
  std::vector<std::int32_t> chosen(static_cast<std::size_t>(problem.rows() * problem.k));
  auto args = problem.args();
  args.chosen = chosen.data();
  top_positions_ref(args);
  return chosen;
}

std::vector<std::int32_t> on_device(const Problem& problem) {
  const OnDevice<std::int32_t> last(problem.last);
  const OnDevice<float> scores(problem.scores);
  const auto chosen = poisoned_on_device<std::int32_t>(static_cast<std::size_t>(problem.rows() * problem.k));
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
  for (const auto& [kind, name] : kScores) {
    for (const int k : {1, 3, 16, 64, 100, 128, 512, 2048}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      // More than there are, as many, one fewer; and lengths around powers of two.
      const auto problem = make_problem(rng, kind, k, {1, std::max(1, k - 1), k, k + 1, k + 2, 2 * k, 2 * k + 1, k + 63, k + 65, 1023, 1024, 1025, 4096, 8191, 10'000});
      REQUIRE(on_device(problem) == reference(problem));
    }
  }
}

TEST_CASE("the device chooses exactly from long rows") {
  if (skip_without_device()) return;
  Rng rng(2);
  for (const auto& [kind, name] : kScores) {
    for (const int k : {16, 512, 2048}) {
      CAPTURE(std::string(name));
      CAPTURE(k);
      const auto problem = make_problem(rng, kind, k, {131'072, 32'768, 100'001});
      REQUIRE(on_device(problem) == reference(problem));
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
    const auto problem = make_problem(rng, Scores::FewValues, 512, counts);
    const auto found = on_device(problem);
    REQUIRE(found == reference(problem));
    const auto row = static_cast<std::size_t>(rng.below(counts.size()));
    Problem one = problem;
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
  const auto problem = make_problem(rng, Scores::CutTies, 2048, {40'000, 8192, 2049, 65'536});
  const auto first = on_device(problem);
  for (int i = 0; i < 20; ++i) REQUIRE(on_device(problem) == first);
}

TEST_CASE("rows may be more than a grid's second dimension has blocks") {
  if (skip_without_device()) return;
  Rng rng(5);
  std::vector<int> counts(66'000);
  for (auto& count : counts) count = static_cast<int>(1 + rng.below(40));
  const auto problem = make_problem(rng, Scores::FewValues, 4, counts);
  CHECK(on_device(problem) == reference(problem));
}

}  // namespace
}  // namespace gauntlet::kernels
