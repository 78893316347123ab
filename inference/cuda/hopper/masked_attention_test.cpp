#include "inference/cuda/hopper/masked_attention.h"

#include <cmath>

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

constexpr std::size_t kKeyValue = kMaskedContent + kMaskedValue;

/// Inputs on the host: sequences one after another.
struct Problem {
  std::vector<int> lengths;
  std::vector<std::int32_t> positions;
  int heads = 0;
  float scale = 0;
  std::vector<Bf16> queries, keys_values, rotary_keys;

  int tokens() const { return static_cast<int>(positions.size()); }
  std::size_t per_token(int width) const { return static_cast<std::size_t>(heads * width); }
  MaskedAttentionArgs args() const {
    return {.batch = {.tokens = tokens(), .positions = positions.data()}, .rows = tokens(), .heads = heads, .scale = scale, .queries = queries.data(),
            .keys_values = keys_values.data(), .rotary_keys = rotary_keys.data()};
  }
  /// The tokens [first, first + count) as a batch.
  Problem part(int first, int count) const {
    const auto rows = [&](const auto& matrix, std::size_t columns) { return rows_of(matrix, columns, static_cast<std::size_t>(first), static_cast<std::size_t>(count)); };
    Problem out = *this;
    out.positions = rows(positions, 1);
    out.queries = rows(queries, per_token(kMaskedQuery));
    out.keys_values = rows(keys_values, per_token(kKeyValue));
    out.rotary_keys = rows(rotary_keys, kMaskedRotary);
    return out;
  }
};

/// `spread`: about the standard deviation of the logits.
Problem make_problem(std::uint64_t seed, const std::vector<int>& lengths, int heads, float spread = 2.0f) {
  Rng rng(seed);
  Problem out;
  out.lengths = lengths;
  out.heads = heads;
  out.scale = 3.0f * spread / std::sqrt(static_cast<float>(kMaskedQuery));
  for (const int length : lengths) {
    for (int i = 0; i < length; ++i) out.positions.push_back(i);
  }
  const std::size_t tokens = out.positions.size();
  out.queries = random_bf16s(rng, tokens * out.per_token(kMaskedQuery));
  out.keys_values = random_bf16s(rng, tokens * out.per_token(kKeyValue));
  out.rotary_keys = random_bf16s(rng, tokens * kMaskedRotary);
  return out;
}

struct Result {
  std::vector<Bf16> out;   ///< [tokens, heads, 128]
  std::vector<float> lse;  ///< [rows, heads]

  bool same(const Result& other) const { return same_bits(out, other.out) && same_bits(lse, other.lse); }
};

Result poisoned_result(const Problem& problem, int rows) {
  return {.out = poisoned<Bf16>(static_cast<std::size_t>(problem.tokens()) * problem.per_token(kMaskedValue)),
          .lse = poisoned<float>(static_cast<std::size_t>(rows * problem.heads))};
}

Result reference(const Problem& problem, int first, int rows) {
  Result result = poisoned_result(problem, rows);
  auto args = problem.args();
  args.first = first;
  args.rows = rows;
  args.out = result.out.data();
  args.lse = result.lse.data();
  masked_attention_ref(args);
  return result;
}

/// The problem in device memory.
class Device {
 public:
  explicit Device(const Problem& problem)
      : problem_(problem), positions_(problem.positions), queries_(problem.queries), keys_values_(problem.keys_values), rotary_keys_(problem.rotary_keys),
        work_(std::vector<std::int32_t>(kMaskedWork)) {}

  Result run(int first, int rows) const {
    const Result before = poisoned_result(problem_, rows);
    const OnDevice<Bf16> out(before.out);
    const OnDevice<float> lse(before.lse);
    auto args = problem_.args();
    args.batch.positions = positions_.data();
    args.first = first;
    args.rows = rows;
    args.queries = queries_.data();
    args.keys_values = keys_values_.data();
    args.rotary_keys = rotary_keys_.data();
    args.work = work_.data();
    args.out = out.data();
    args.lse = lse.data();
    masked_attention(args, stream_.get());
    stream_.wait_blocking();
    return {.out = out.get(), .lse = lse.get()};
  }
  Result run() const { return run(0, problem_.tokens()); }

 private:
  const Problem& problem_;
  Stream stream_;
  OnDevice<std::int32_t> positions_;
  OnDevice<Bf16> queries_, keys_values_, rotary_keys_;
  OnDevice<std::int32_t> work_;
};

/// Every element at its place: written and right, or left as it was.
void check_rows(const Problem& problem, const Result& found, int first, int rows) {
  const Result expected = reference(problem, first, rows);
  // Weights are rounded to bf16, and so is the result: each by at most 2^-9 of the largest value, which is 1. A tenth more for exp2 and sums in float32.
  constexpr double kBound = 1.1 * 0x1p-8;
  double worst = 0;
  std::size_t odd = 0;
  for (std::size_t i = 0; i < expected.out.size(); ++i) {
    if (std::isnan(to_float(expected.out[i]))) {
      odd += found.out[i].bits != expected.out[i].bits;
    } else {
      const double error = std::fabs(static_cast<double>(to_float(found.out[i])) - static_cast<double>(to_float(expected.out[i])));
      odd += std::isnan(error);
      worst = std::max(worst, error);
    }
  }
  CHECK(odd == 0);
  CHECK(worst <= kBound);
  // Sums of 192 products and of weights in float32.
  CHECK(relative_error(found.lse, expected.lse) <= 1e-5);
}

TEST_CASE("masked attention's reference mixes a sequence's values up to a token itself") {
  Problem problem = make_problem(1, {3, 2}, 1);
  for (auto& q : problem.queries) q = {};
  const Result result = reference(problem, 1, 4);
  const auto value = [&](std::size_t token, std::size_t d) { return to_float(problem.keys_values[token * kKeyValue + kMaskedContent + d]); };
  for (std::size_t d = 0; d < kMaskedValue; ++d) {
    CHECK(std::isnan(to_float(result.out[d])));
    CHECK(to_float(result.out[kMaskedValue + d]) == round_to_bf16((value(0, d) + value(1, d)) / 2));
    CHECK(to_float(result.out[3 * kMaskedValue + d]) == value(3, d));
    CHECK(to_float(result.out[4 * kMaskedValue + d]) == round_to_bf16((value(3, d) + value(4, d)) / 2));
  }
  CHECK(result.lse[0] == doctest::Approx(std::log(2.0)));
  CHECK(result.lse[2] == 0.0f);
}

TEST_CASE("masked attention equals its reference for any lengths of sequences") {
  if (skip_without_hopper()) return;
  const std::vector<std::vector<int>> batches = {
      {1}, {2}, {63}, {64}, {65}, {127}, {128}, {129}, {256}, {511, 1}, {1, 513}, {300, 1, 1, 2, 700},
      {64, 64, 128, 192}, std::vector<int>(100, 3), {130, 5, 130, 5, 130}};
  std::uint64_t seed = 10;
  for (const auto& lengths : batches) {
    for (const int heads : {1, 3, 16}) {
      if (heads == 16 && lengths.size() > 3) continue;
      CAPTURE(lengths.front());
      CAPTURE(lengths.size());
      CAPTURE(heads);
      const Problem problem = make_problem(++seed, lengths, heads);
      check_rows(problem, Device(problem).run(), 0, problem.tokens());
    }
  }
}

TEST_CASE("masked attention of whole sequences of 2,048, and where a few keys have all the weight") {
  if (skip_without_hopper()) return;
  const Problem longest = make_problem(2, {2048, 100}, 2);
  check_rows(longest, Device(longest).run(), 0, longest.tokens());
  const Problem sharp = make_problem(3, {700, 400}, 2, 30.0f);
  check_rows(sharp, Device(sharp).run(), 0, sharp.tokens());
}

TEST_CASE("masked attention of a range of rows leaves others as they are, and has the bits of the whole") {
  if (skip_without_hopper()) return;
  const Problem problem = make_problem(4, {200, 3, 450, 90}, 3);
  const Device device(problem);
  const Result whole = device.run();
  for (const auto& [first, rows] : std::vector<std::pair<int, int>>{{0, 1}, {1, 200}, {199, 5}, {203, 450}, {330, 129}, {500, 243}, {742, 1}}) {
    CAPTURE(first);
    CAPTURE(rows);
    const Result some = device.run(first, rows);
    check_rows(problem, some, first, rows);
    const auto part = [&](const Result& result) { return rows_of(result.out, problem.per_token(kMaskedValue), static_cast<std::size_t>(first), static_cast<std::size_t>(rows)); };
    CHECK(same_bits(part(some), part(whole)));
  }
}

TEST_CASE("a sequence's bits do not depend on what else is in the batch of masked attention, nor do they vary") {
  if (skip_without_hopper()) return;
  const Problem problem = make_problem(5, {77, 300, 513, 40}, 4);
  const Device device(problem);
  const Result together = device.run();
  int first = 0;
  for (const int length : problem.lengths) {
    const Problem alone = problem.part(first, length);
    CHECK(same_bits(Device(alone).run().out, rows_of(together.out, problem.per_token(kMaskedValue), static_cast<std::size_t>(first), static_cast<std::size_t>(length))));
    first += length;
  }
  for (int i = 0; i < 20; ++i) CHECK(device.run().same(together));
}

TEST_CASE("NaN of one sequence reaches no other through masked attention, and none reaches a tile before its own") {
  if (skip_without_hopper()) return;
  const Problem clean = make_problem(6, {150, 200, 333}, 2);
  const Result expected = Device(clean).run();
  const auto rows = [&](const Result& result, int first, int count) {
    return rows_of(result.out, clean.per_token(kMaskedValue), static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  };
  const auto poison = [](std::vector<Bf16>& matrix, std::size_t columns, std::size_t first, std::size_t count) {
    std::fill_n(matrix.begin() + static_cast<std::ptrdiff_t>(first * columns), count * columns, Bf16{0x7fc0});
  };
  Problem spoilt = clean;
  poison(spoilt.queries, spoilt.per_token(kMaskedQuery), 150, 200);
  poison(spoilt.keys_values, spoilt.per_token(kKeyValue), 150, 200);
  poison(spoilt.rotary_keys, kMaskedRotary, 150, 200);
  const Result result = Device(spoilt).run();
  CHECK(same_bits(rows(result, 0, 150), rows(expected, 0, 150)));
  CHECK(same_bits(rows(result, 350, 333), rows(expected, 350, 333)));
  CHECK(std::isnan(to_float(rows(result, 349, 1).front())));

  Problem late = clean;  // positions 256 to 332 of the last sequence
  poison(late.keys_values, late.per_token(kKeyValue), 350 + 256, 77);
  CHECK(same_bits(rows(Device(late).run(), 350, 256), rows(expected, 350, 256)));
}

TEST_CASE("masked attention takes more rows than a grid has in its second dimension, and none") {
  if (skip_without_hopper()) return;
  const Problem problem = make_problem(7, std::vector<int>(9500, 7), 1);
  REQUIRE(problem.tokens() > 65'535);
  const Device device(problem);
  check_rows(problem, device.run(), 0, problem.tokens());
  CHECK(device.run(5, 0).same(poisoned_result(problem, 0)));
}

TEST_CASE("masked attention says what it does not take") {
  if (skip_without_hopper()) return;
  const Problem problem = make_problem(8, {3}, 1);
  auto args = problem.args();
  CHECK(!masked_attention_takes(args));  // no workspace
  std::int32_t work[kMaskedWork] = {};
  args.work = work;
  CHECK(masked_attention_takes(args));
  args.scale = 0;
  CHECK(!masked_attention_takes(args));
  CHECK_THROWS_AS(masked_attention(args, nullptr), Error);
}

}  // namespace
}  // namespace gauntlet::kernels
