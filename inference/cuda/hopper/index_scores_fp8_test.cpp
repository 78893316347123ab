#include "inference/cuda/hopper/index_scores_fp8.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct Problem {
  CacheLayout layout{.format = CacheFormat::Fp8, .latent = 16, .rope = 2, .index = 128};
  PagedBatch batch;
  int heads = 0;
  std::vector<std::uint8_t> queries;
  std::vector<Bf16> queries_wide;  ///< the same values
  std::vector<float> weights;
  std::vector<std::byte> pages;
  std::int64_t stride = 0;

  IndexScoresArgs args() const {
    return {.batch = batch.view(), .layout = layout, .rows = batch.tokens(), .heads = heads, .longest = *std::ranges::max_element(batch.positions) + 1,
            .queries = queries_wide.data(), .weights = weights.data(), .index_pages = pages.data(), .score_stride = stride};
  }
  std::size_t row_size() const { return static_cast<std::size_t>(heads) * static_cast<std::size_t>(layout.index); }
  /// Rows in the order of `rows`.
  Problem picked(const std::vector<std::size_t>& rows) const {
    Problem out = *this;
    out.batch.ids.clear(), out.batch.positions.clear(), out.batch.sequences.clear(), out.queries.clear(), out.queries_wide.clear(), out.weights.clear();
    for (const std::size_t row : rows) {
      out.batch.ids.push_back(batch.ids[row]);
      out.batch.positions.push_back(batch.positions[row]);
      out.batch.sequences.push_back(batch.sequences[row]);
      for (const auto value : rows_of(queries, row_size(), row, 1)) out.queries.push_back(value);
      for (const auto value : rows_of(queries_wide, row_size(), row, 1)) out.queries_wide.push_back(value);
      for (const auto value : rows_of(weights, static_cast<std::size_t>(heads), row, 1)) out.weights.push_back(value);
    }
    return out;
  }
};

/// Positions that no sequence holds are NaN. Weights are of both signs.
Problem make_problem(std::uint64_t seed, int heads, const std::vector<SequencePart>& parts) {
  Rng rng(seed);
  Problem out{.batch = paged_batch(rng, parts), .heads = heads};
  Rng values(seed + 1);
  for (const float value : random_floats(values, static_cast<std::size_t>(out.batch.tokens()) * out.row_size(), -448.0f, 448.0f)) {
    out.queries.push_back(to_fp8(value).bits);
    out.queries_wide.push_back(to_bf16(to_float(to_fp8(value))));
  }
  out.weights = uniforms(values, out.batch.tokens() * heads);
  out.pages = random_index_keys(seed + 2, out.layout, out.batch);
  out.stride = round_up(out.batch.longest(), 4) + 4;
  return out;
}

std::vector<float> reference(const Problem& problem) {
  auto scores = poisoned<float>(static_cast<std::size_t>(problem.batch.tokens() * problem.stride));
  auto args = problem.args();
  args.scores = scores.data();
  index_scores_ref(args);
  return scores;
}

class Device {
 public:
  explicit Device(const Problem& problem) : problem_(problem), batch_(problem.batch), queries_(problem.queries), weights_(problem.weights), pages_(problem.pages) {}

  std::vector<float> run(int first, int rows, int skip_up_to = 0) const {
    const auto scores = poisoned_on_device<float>(static_cast<std::size_t>(rows * problem_.stride));
    auto args = problem_.args();
    args.batch = batch_.view();
    args.first = first;
    args.rows = rows;
    args.skip_up_to = skip_up_to;
    args.queries = nullptr;
    args.weights = nullptr;
    args.queries_fp8 = queries_.data();
    args.weights_fp8 = weights_.data();
    args.index_pages = pages_.data();
    args.scores = scores.data();
    index_scores_fp8(args, stream_.get());
    stream_.wait_blocking();
    return scores.get();
  }
  std::vector<float> run() const { return run(0, problem_.batch.tokens()); }

 private:
  const Problem& problem_;
  Stream stream_;
  DeviceBatch batch_;
  OnDevice<std::uint8_t> queries_;
  OnDevice<float> weights_;
  OnDevice<std::byte> pages_;
};

// A step of the tensor cores adds 32 products to the sum so far; all are aligned to the largest of them and keep 13 bits below it. A term is no larger than |q| |k|, and a dot
// product takes 4 steps: an error of at most 4 · 33 · 2^-13 |q| |k| for each head, before its weight. Errors of so many terms do not all add up, so the whole must be far closer:
// 1 - 2 Σ x y / (Σ x² + Σ y²) below 5e-6.
void check(const Problem& problem, const std::vector<float>& found, const std::vector<float>& expected, int skip_up_to = 0) {
  const auto heads = static_cast<std::size_t>(problem.heads), width = static_cast<std::size_t>(problem.layout.index), stride = static_cast<std::size_t>(problem.stride);
  REQUIRE(found.size() == expected.size());
  std::size_t wrong = 0, spilt = 0;
  double worst = 0, products = 0, squares = 0;
  for (std::size_t t = 0; t < problem.batch.ids.size(); ++t) {
    const auto count = static_cast<std::size_t>(problem.batch.positions[t]) + 1;
    const bool skipped = count <= static_cast<std::size_t>(skip_up_to);
    double reach = 0;
    for (std::size_t h = 0; h < heads; ++h) {
      reach += std::fabs(problem.weights[t * heads + h]) * norm(to_floats(std::span(problem.queries_wide).subspan((t * heads + h) * width, width)));
    }
    for (std::size_t s = 0; s < stride; ++s) {
      const double a = found[t * stride + s], b = expected[t * stride + s];
      if (skipped || s >= count) {
        spilt += !std::isnan(a);
        continue;
      }
      const std::int64_t row = physical_row(problem.batch.view(), problem.batch.sequences[t], static_cast<int>(s));
      const std::byte* page = problem.pages.data() + row / kPageTokens * problem.layout.index_page_bytes();
      const double key = norm(read_index_key(problem.layout, page, static_cast<int>(row % kPageTokens)));
      wrong += !std::isfinite(a);
      worst = std::max(worst, std::fabs(a - b) / (4 * 33 * 0x1p-13 * reach * key));
      products += a * b;
      squares += a * a + b * b;
    }
  }
  CHECK(wrong == 0);
  CHECK(spilt == 0);
  CHECK(worst <= 1.0);
  CHECK(squares * (1 - 5e-6) <= 2 * products);
}

const std::vector<SequencePart> kMixed = {{0, 1}, {0, 3}, {61, 5}, {128, 2}, {510, 4}, {0, 65}, {1023, 2}, {200, 19}};
constexpr int kHeads[] = {64, 32};

TEST_CASE("FP8 indexer scores are the reference's, in any mixture of sequences") {
  if (skip_without_hopper()) return;
  for (const int heads : kHeads) {
    CAPTURE(heads);
    const auto problem = make_problem(1, heads, kMixed);
    check(problem, Device(problem).run(), reference(problem));
    // Rows of all sequences among each other.
    std::vector<std::size_t> order(problem.batch.ids.size());
    std::iota(order.begin(), order.end(), 0);
    Rng rng(2);
    rng.shuffle(order);
    const auto shuffled = problem.picked(order);
    check(shuffled, Device(shuffled).run(), reference(shuffled));
  }
}

TEST_CASE("FP8 indexer scores of many sequences' last tokens are the reference's") {
  if (skip_without_hopper()) return;
  for (const int heads : kHeads) {
    for (const int count : {1, 2, 3, 7}) {
      CAPTURE(heads);
      CAPTURE(count);
      std::vector<SequencePart> parts;
      for (int s = 0; s < 12; ++s) parts.push_back({.start = 37 * s, .count = count});
      const auto problem = make_problem(3, heads, parts);
      check(problem, Device(problem).run(), reference(problem));
    }
  }
}

TEST_CASE("FP8 indexer scores of long contexts are the reference's") {
  if (skip_without_hopper()) return;
  for (const int heads : kHeads) {
    CAPTURE(heads);
    const auto problem = make_problem(4, heads, {{.start = 5'001, .count = 2}, {.start = 2'047, .count = 9}, {.start = 3'000, .count = 1}});
    check(problem, Device(problem).run(), reference(problem));
  }
}

TEST_CASE("a prefill's FP8 scores are causal to the position") {
  if (skip_without_hopper()) return;
  for (const int heads : kHeads) {
    CAPTURE(heads);
    const auto problem = make_problem(5, heads, {{.start = 100, .count = 200}, {.start = 0, .count = 130}});
    check(problem, Device(problem).run(), reference(problem));
  }
}

TEST_CASE("an FP8 score whose heads are all negative is exactly 0") {
  if (skip_without_hopper()) return;
  auto problem = make_problem(6, 64, {{.start = 70, .count = 1}});
  for (auto& q : problem.queries) q &= 0x7f;
  for (int p = 0; p <= 70; ++p) {
    const std::int64_t row = physical_row(problem.batch.view(), 0, p);
    std::byte* page = problem.pages.data() + row / kPageTokens * problem.layout.index_page_bytes();
    std::fill_n(page + row % kPageTokens * problem.layout.index, problem.layout.index, static_cast<std::byte>(to_fp8(-0.5f).bits));
  }
  const auto scores = Device(problem).run();
  for (std::size_t s = 0; s <= 70; ++s) REQUIRE(scores[s] == 0.0f);
}

TEST_CASE("tokens that need no FP8 scores get none, and do not disturb those that do") {
  if (skip_without_hopper()) return;
  const auto problem = make_problem(7, 64, kMixed);
  const Device device(problem);
  const auto whole = device.run(), expected = reference(problem);
  const auto stride = static_cast<std::size_t>(problem.stride);
  for (const int skip : {1, 3, 64, 66, 512, 1024}) {
    CAPTURE(skip);
    const auto found = device.run(0, problem.batch.tokens(), skip);
    check(problem, found, expected, skip);
    for (std::size_t t = 0; t < problem.batch.ids.size(); ++t) {
      if (problem.batch.positions[t] + 1 > skip) REQUIRE(same_bits(rows_of(found, stride, t, 1), rows_of(whole, stride, t, 1)));
    }
  }
}

TEST_CASE("an FP8 score's bits do not depend on what else is in the call") {
  if (skip_without_hopper()) return;
  for (const int heads : kHeads) {
    CAPTURE(heads);
    const auto problem = make_problem(8, heads, kMixed);
    const auto stride = static_cast<std::size_t>(problem.stride);
    const Device device(problem);
    const auto whole = device.run();
    for (int i = 0; i < 20; ++i) REQUIRE(same_bits(device.run(), whole));
    for (const auto& [first, rows] : {std::pair{5, 9}, std::pair{0, 1}, std::pair{problem.batch.tokens() - 3, 3}}) {
      CHECK(same_bits(device.run(first, rows), rows_of(whole, stride, static_cast<std::size_t>(first), static_cast<std::size_t>(rows))));
    }
    for (std::size_t t = 0; t < problem.batch.ids.size(); ++t) {
      const auto one = problem.picked({t});
      REQUIRE(same_bits(Device(one).run(), rows_of(whole, stride, t, 1)));
    }
  }
}

TEST_CASE("FP8 indexer scores take more rows than a grid's second dimension has blocks, and more positions") {
  if (skip_without_hopper()) return;
  const auto many = make_problem(9, 32, {{.start = 0, .count = 3}});
  std::vector<std::size_t> rows(66'000);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i * 5 % 3;
  const auto repeated = many.picked(rows);
  check(repeated, Device(repeated).run(), reference(repeated));
  const auto deep = make_problem(10, 32, {{.start = 66'000, .count = 1}});
  check(deep, Device(deep).run(), reference(deep));
}

}  // namespace
}  // namespace gauntlet::kernels
