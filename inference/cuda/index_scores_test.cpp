#include "inference/cuda/index_scores.h"

#include <cmath>
#include <string>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct Dims {
  int heads = 0, index = 0;
};

struct Problem {
  CacheLayout layout;
  PagedBatch batch;
  int heads = 0;
  std::vector<Bf16> queries;
  std::vector<float> weights;
  std::vector<std::byte> pages;
  std::int64_t stride = 0;

  IndexScoresArgs args() const {
    return {.batch = batch.view(), .layout = layout, .rows = batch.tokens(), .heads = heads, .longest = *std::ranges::max_element(batch.positions) + 1, .queries = queries.data(), .weights = weights.data(),
            .index_pages = pages.data(), .score_stride = stride};
  }
};

/// Positions that no sequence holds are NaN. Weights are of both signs.
Problem make_problem(std::uint64_t seed, CacheFormat format, const Dims& dims, const std::vector<SequencePart>& parts) {
  Rng rng(seed);
  Problem out{.layout = {.format = format, .latent = 16, .rope = 2, .index = dims.index}, .batch = paged_batch(rng, parts), .heads = dims.heads};
  Rng values(seed + 1);
  const std::int64_t vectors = static_cast<std::int64_t>(out.batch.tokens()) * dims.heads;
  out.queries = random_padded(values, vectors, dims.index, out.layout.index_padded());
  if (format == CacheFormat::Fp8) {
    for (std::int64_t i = 0; i < vectors; ++i) {
      std::vector<float> query(static_cast<std::size_t>(dims.index));
      for (std::size_t d = 0; d < query.size(); ++d) query[d] = to_float(out.queries[static_cast<std::size_t>(i * out.layout.index_padded()) + d]);
      round_index_vector(out.layout, query);
      for (std::size_t d = 0; d < query.size(); ++d) out.queries[static_cast<std::size_t>(i * out.layout.index_padded()) + d] = to_bf16(query[d]);
    }
  }
  out.weights = uniforms(values, static_cast<int>(vectors));
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
    args.queries = queries_.data();
    args.weights = weights_.data();
    args.index_pages = pages_.data();
    args.scores = scores.data();
    index_scores(args, stream_.get());
    stream_.wait_blocking();
    return scores.get();
  }
  std::vector<float> run() const { return run(0, problem_.batch.tokens()); }

 private:
  const Problem& problem_;
  Stream stream_;
  DeviceBatch batch_;
  OnDevice<Bf16> queries_;
  OnDevice<float> weights_;
  OnDevice<std::byte> pages_;
};

// Products of bf16 are exact in float32. The matrix unit adds `index` of them in steps of 8 or 16 that may truncate, which is 2^-23 a step of
// Σ|q k| <= |q| |k|; then as many roundings as there are heads, of a sum that is no larger than Σ|w| |q| |k|.
void check(const Problem& problem, const std::vector<float>& found, const std::vector<float>& expected, int skip_up_to = 0) {
  const auto width = static_cast<std::size_t>(problem.layout.index_padded()), heads = static_cast<std::size_t>(problem.heads), stride = static_cast<std::size_t>(problem.stride);
  REQUIRE(found.size() == expected.size());
  std::size_t wrong = 0, spilt = 0;
  double worst = 0;
  for (std::size_t t = 0; t < problem.batch.ids.size(); ++t) {
    const auto own = static_cast<std::size_t>(problem.batch.positions[t]);
    if (own + 1 <= static_cast<std::size_t>(skip_up_to)) continue;
    double reach = 0;
    for (std::size_t h = 0; h < heads; ++h) reach += std::fabs(problem.weights[t * heads + h]) * norm(to_floats(std::span(problem.queries).subspan((t * heads + h) * width, width)));
    for (std::size_t s = 0; s < stride; ++s) {
      const float a = found[t * stride + s], b = expected[t * stride + s];
      if (s > own) {
        spilt += !std::isnan(a);
        continue;
      }
      const std::int64_t row = physical_row(problem.batch.view(), problem.batch.sequences[t], static_cast<int>(s));
      const double key = norm(read_index_key(problem.layout, problem.pages.data() + row / kPageTokens * problem.layout.index_page_bytes(), static_cast<int>(row % kPageTokens)));
      const double bound = 0x1p-23 * (static_cast<double>(width) / 8 + static_cast<double>(heads)) * reach * key;
      wrong += !std::isfinite(a);
      worst = std::max(worst, std::fabs(static_cast<double>(a) - b) / bound);
    }
  }
  CHECK(wrong == 0);
  CHECK(spilt == 0);
  CHECK(worst <= 1.0);
}

const std::vector<SequencePart> kMixed = {{0, 1}, {0, 3}, {61, 5}, {128, 2}, {510, 4}, {0, 65}, {1023, 2}};

// The golden models, V3.2, GLM's count of heads, and sizes that need padding.
constexpr Dims kDims[] = {{16, 32}, {64, 128}, {32, 128}, {8, 64}, {64, 64}, {4, 256}, {1, 16}, {1, 128}, {5, 128}, {3, 40}, {7, 72}, {17, 24}, {65, 130}};

bool power_of_two(int value) { return (value & (value - 1)) == 0; }
std::string name_of(const Dims& dims, CacheFormat format) { return std::to_string(dims.heads) + " heads of " + std::to_string(dims.index) + (format == CacheFormat::Bf16 ? ", bf16" : ", fp8"); }

TEST_CASE("indexer scores on the device are the reference's, for any sizes and contexts") {
  if (skip_without_device()) return;
  for (const auto& dims : kDims) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      if (format == CacheFormat::Fp8 && !power_of_two(dims.index)) continue;
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(1, format, dims, kMixed);
      check(problem, Device(problem).run(), reference(problem));
    }
  }
}

TEST_CASE("indexer scores of a long context are the reference's") {
  if (skip_without_device()) return;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    CAPTURE(name_of({64, 128}, format));
    const auto problem = make_problem(2, format, {64, 128}, {{.start = 20'001, .count = 2}, {.start = 16'383, .count = 1}});
    check(problem, Device(problem).run(), reference(problem));
  }
}

TEST_CASE("a prefill's scores are causal to the position") {
  if (skip_without_device()) return;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    CAPTURE(name_of({16, 32}, format));
    const auto problem = make_problem(3, format, {16, 32}, {{.start = 100, .count = 300}, {.start = 0, .count = 130}});
    check(problem, Device(problem).run(), reference(problem));
  }
}

TEST_CASE("a score whose heads are all negative is exactly 0") {
  if (skip_without_device()) return;
  auto problem = make_problem(4, CacheFormat::Bf16, {16, 32}, {{.start = 70, .count = 1}});
  for (auto& q : problem.queries) q = to_bf16(std::fabs(to_float(q)));
  for (int p = 0; p <= 70; ++p) {
    const std::int64_t row = physical_row(problem.batch.view(), 0, p);
    write_index_key(problem.layout, std::vector<float>(32, -0.5f), problem.pages.data() + row / kPageTokens * problem.layout.index_page_bytes(), static_cast<int>(row % kPageTokens));
  }
  const auto scores = Device(problem).run();
  for (std::size_t s = 0; s <= 70; ++s) REQUIRE(scores[s] == 0.0f);
}

TEST_CASE("tokens that need no scores do not disturb those that do") {
  if (skip_without_device()) return;
  for (const int skip : {1, 3, 64, 66, 512, 1024}) {
    CAPTURE(skip);
    const auto problem = make_problem(5, CacheFormat::Bf16, {16, 32}, kMixed);
    const Device device(problem);
    const auto found = device.run(0, problem.batch.tokens(), skip), whole = device.run();
    check(problem, found, reference(problem), skip);
    for (std::size_t t = 0; t < problem.batch.ids.size(); ++t) {
      if (problem.batch.positions[t] + 1 <= skip) continue;
      REQUIRE(same_bits(rows_of(found, static_cast<std::size_t>(problem.stride), t, 1), rows_of(whole, static_cast<std::size_t>(problem.stride), t, 1)));
    }
  }
}

TEST_CASE("a range of rows has the bits of the whole, and a token alone those that it has in a batch") {
  if (skip_without_device()) return;
  for (const auto& dims : {Dims{16, 32}, Dims{64, 128}, Dims{5, 128}, Dims{3, 64}}) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(6, format, dims, kMixed);
      const auto stride = static_cast<std::size_t>(problem.stride), heads = static_cast<std::size_t>(dims.heads);
      const Device device(problem);
      const auto whole = device.run();
      for (const auto& [first, rows] : {std::pair{5, 9}, std::pair{0, 1}, std::pair{problem.batch.tokens() - 3, 3}}) {
        CHECK(same_bits(device.run(first, rows), rows_of(whole, stride, static_cast<std::size_t>(first), static_cast<std::size_t>(rows))));
      }
      for (std::size_t t = 0; t < problem.batch.ids.size(); t += 3) {
        CAPTURE(t);
        Problem one = problem;
        one.batch = problem.batch.only(t);
        one.queries = rows_of(problem.queries, heads * static_cast<std::size_t>(problem.layout.index_padded()), t, 1);
        one.weights = rows_of(problem.weights, heads, t, 1);
        REQUIRE(same_bits(Device(one).run(), rows_of(whole, stride, t, 1)));
      }
    }
  }
}

TEST_CASE("indexer scores are the same bits on every run") {
  if (skip_without_device()) return;
  const auto problem = make_problem(7, CacheFormat::Fp8, {64, 128}, kMixed);
  const Device device(problem);
  const auto first = device.run();
  for (int i = 0; i < 20; ++i) REQUIRE(same_bits(device.run(), first));
}

TEST_CASE("indexer scores take more rows than a grid's second dimension has blocks, and more positions") {
  if (skip_without_device()) return;
  const auto many = make_problem(8, CacheFormat::Bf16, {1, 16}, std::vector<SequencePart>(660, {.start = 0, .count = 100}));
  check(many, Device(many).run(), reference(many));
  const auto deep = make_problem(9, CacheFormat::Bf16, {1, 16}, {{.start = 140'000, .count = 1}});
  check(deep, Device(deep).run(), reference(deep));
}

}  // namespace
}  // namespace gauntlet::kernels
