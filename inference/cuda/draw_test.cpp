#include "inference/cuda/draw.h"

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct Shape {
  int rows = 0;
  int vocab = 0;
};

// Remainders of warps, pieces and blocks; many rows of a small vocabulary; DeepSeek-V3.2's and the largest.
constexpr Shape kShapes[] = {{40, 1}, {40, 2}, {60, 31}, {60, 33}, {3000, 512}, {300, 1000}, {200, 4097}, {100, 32768}, {24, 129280}, {12, 131072}};

constexpr float kInfinite = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Six kinds of rows: a model's spread, almost flat, all equal, full of equals, nearly decided, and with logits that must never be chosen.
std::vector<float> random_row(Rng& rng, std::size_t vocab) {
  const auto kind = rng.below(6);
  auto row = random_floats(rng, vocab, -1, 1);
  for (auto& v : row) {
    if (kind == 0 || kind == 5) v = v * 9 + static_cast<float>(rng.normal_thousandths()) / 500;
    if (kind == 1) v = v / 100;
    if (kind == 2) v = -0.0f;
    if (kind == 3) v = static_cast<float>(rng.below(7)) - 3;
    if (kind == 4) v = v * 20;
    if (kind == 5 && rng.below(3) == 0) v = rng.below(2) == 0 ? kNan : -kInfinite;
  }
  if (kind == 2) row[rng.below(vocab)] = 0.0f;
  if (kind == 4) row[rng.below(vocab)] = 60;
  if (kind == 5) row[rng.below(vocab)] = 1;
  return row;
}

SamplingParameters random_parameters(Rng& rng, std::size_t vocab) {
  SamplingParameters p;
  constexpr double kTemperatures[] = {0.0, 0.3, 0.7, 1.0, 1.0, 1.7, 30.0};
  p.temperature = kTemperatures[rng.below(7)];
  if (rng.below(2) == 0) p.top_k = 1 + static_cast<int>(rng.below(rng.below(2) == 0 ? vocab + 2 : std::min<std::size_t>(vocab, 60)));
  if (rng.below(2) == 0) p.top_p = rng.below(4) == 0 ? 1e-9 : static_cast<double>(1 + rng.below(1000)) / 1000;
  if (rng.below(3) == 0) p.min_p = static_cast<double>(rng.below(1001)) / 1000 * (rng.below(2) == 0 ? 1 : 0.01);
  p.seed = rng.next();
  return p;
}

DrawRow device_row(const SamplingParameters& p, std::uint64_t step) {
  return {.temperature = static_cast<float>(p.temperature), .top_p = static_cast<float>(p.top_p), .min_p = static_cast<float>(p.min_p), .top_k = p.top_k, .uniform = uniform_draw(p.seed, step)};
}

TEST_CASE("rows are drawn as the host's sampler draws them, always the same, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  Sampler sampler;
  for (const auto [rows, vocab] : kShapes) {
    CAPTURE(vocab);
    const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(vocab);
    std::vector<float> logits;
    std::vector<SamplingParameters> parameters;
    std::vector<DrawRow> draws;
    for (std::size_t r = 0; r < count; ++r) {
      const auto row = random_row(rng, columns);
      logits.insert(logits.end(), row.begin(), row.end());
      parameters.push_back(random_parameters(rng, columns));
      draws.push_back(device_row(parameters.back(), r));
      if (r % 10 == 0) draws.back().uniform = 0;  // the ends of the range, against the reference alone
      if (r % 10 == 1) draws.back().uniform = 1.0 - 0x1p-53;
    }
    std::vector<DrawnRow> expected(count);
    draw_ref({.rows = rows, .vocab = vocab, .parameters = draws.data(), .logits = logits.data(), .out = expected.data()});

    const OnDevice<DrawRow> device_draws(draws);
    const OnDevice<float> device_logits(logits);
    std::vector<DrawnRow> found;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const OnDevice<DrawnRow> out(std::vector<DrawnRow>(count, {.id = -7, .value = kNan}));
      draw({.rows = rows, .vocab = vocab, .parameters = device_draws.data(), .logits = device_logits.data(), .out = out.data()}, stream.get());
      if (repeat == 0) found = out.get();
      CHECK(same_bits(out.get(), found));
    }
    for (std::size_t r = 0; r < count; ++r) {
      CAPTURE(r);
      // Everything is equal without exception: masses and their sums are the same integers on either side.
      CHECK(found[r].id == expected[r].id);
      CHECK(found[r].token().logprob == expected[r].token().logprob);
      const std::span<const float> row(logits.data() + r * columns, columns);
      if (r % 10 > 1) {
        const SampledToken host = sampler.sample(row, parameters[r], {}, {}, r);
        CHECK(found[r].id == host.id);
        CHECK(found[r].token().logprob == host.logprob);
      }
    }
    for (const std::size_t one : {std::size_t{0}, count / 2, count - 1}) {
      const OnDevice<DrawnRow> alone(std::vector<DrawnRow>(1, {.id = -7, .value = kNan}));
      draw({.rows = 1, .vocab = vocab, .parameters = device_draws.data() + one, .logits = device_logits.data() + one * columns, .out = alone.data()}, stream.get());
      CHECK(same_bits(alone.get(), rows_of(found, 1, one, 1)));
    }
  }
}

TEST_CASE("equal tokens at a cut are counted off by id in the very stretch of the row where the draw falls") {
  if (skip_without_device()) return;
  const Stream stream;
  // Every other token is better; of the equal ones the first 20 stay, and the draws fall around the last of them, near id 40.
  constexpr int kRows = 16, kVocab = 32768;
  std::vector<float> logits(std::size_t{kRows} * kVocab);
  for (std::size_t i = 0; i < logits.size(); ++i) logits[i] = i % 2 == 0 ? 1.0f : 2.0f;
  std::vector<DrawRow> draws;
  for (int r = 0; r < kRows; ++r) draws.push_back({.top_k = kVocab / 2 + 20, .uniform = r * 256.0 / kVocab / kRows});
  std::vector<DrawnRow> expected(kRows);
  draw_ref({.rows = kRows, .vocab = kVocab, .parameters = draws.data(), .logits = logits.data(), .out = expected.data()});
  const OnDevice<float> device_logits(logits);
  const OnDevice<DrawRow> device_draws(draws);
  const OnDevice<DrawnRow> out(std::vector<DrawnRow>(kRows, {.id = -7, .value = kNan}));
  draw({.rows = kRows, .vocab = kVocab, .parameters = device_draws.data(), .logits = device_logits.data(), .out = out.data()}, stream.get());
  const auto found = out.get();
  for (std::size_t r = 0; r < kRows; ++r) CHECK(found[r].id == expected[r].id);
}

TEST_CASE("a row without a logit that may be chosen gives no token, and others beside it are drawn") {
  if (skip_without_device()) return;
  const Stream stream;
  const std::vector<float> logits = {kNan, -kInfinite, kNan, kNan, 2.0f, -kInfinite};
  const std::vector<DrawRow> draws(2, {.temperature = 1.0f, .top_p = 0.5f, .min_p = 0.1f, .top_k = 1, .uniform = 0.7});
  const OnDevice<float> device_logits(logits);
  const OnDevice<DrawRow> device_draws(draws);
  const OnDevice<DrawnRow> out(std::vector<DrawnRow>(2, {.id = -7, .value = kNan}));
  draw({.rows = 2, .vocab = 3, .parameters = device_draws.data(), .logits = device_logits.data(), .out = out.data()}, stream.get());
  const auto found = out.get();
  CHECK(found[0].id == -1);
  CHECK(found[1].id == 1);
  CHECK(found[1].token().logprob == 0.0f);
  CHECK(found[0].token().id == -1);
}

}  // namespace
}  // namespace gauntlet::kernels
