#include "inference/cuda/grouped_product.h"

#include "inference/cuda/kernel_case.h"
#include "inference/cuda/moe.h"

namespace gauntlet::kernels {
namespace {

struct Shape {
  int tokens = 0;
  int experts = 0;
  int per_token = 0;
  int dim = 0;
  int width = 0;
};

// Rows that are not whole 16-byte pieces (13, 5, 63, 65, 130), remainders of a stage (64) and of a block's outputs (64, 128), tiles of 1 to 32
// slots and several tiles an expert; then a small model's sizes and one expert of DeepSeek-V3.2's.
constexpr Shape kShapes[] = {{1, 1, 1, 8, 8},       {1, 2, 1, 16, 64},    {3, 4, 2, 13, 5},      {5, 4, 2, 64, 63},      {33, 4, 2, 72, 65},  {40, 8, 2, 128, 64},
                             {65, 3, 1, 520, 130},  {100, 16, 4, 512, 256}, {300, 4, 2, 192, 136}, {9, 4, 2, 1024, 128}, {3, 1, 1, 7168, 2048}};

/// One layer's dispatched tokens, on either side.
struct Work {
  std::vector<std::int32_t> chosen, slot_of, token_of, tile_expert, tile_first, tile_rows;
  OnDevice<std::int32_t> device_token_of, device_expert, device_first, device_rows;

  GroupedTiles tiles() const { return {.count = static_cast<int>(tile_expert.size()), .expert = tile_expert.data(), .first = tile_first.data(), .rows = tile_rows.data()}; }
  GroupedTiles device_tiles() const { return {.count = static_cast<int>(tile_expert.size()), .expert = device_expert.data(), .first = device_first.data(), .rows = device_rows.data()}; }
};

Work dispatched(std::vector<std::int32_t> chosen, int experts, int per_token) {
  Work work{.chosen = std::move(chosen)};
  DispatchArgs args{.tokens = static_cast<int>(work.chosen.size()) / per_token, .experts = experts, .per_token = per_token, .chosen = work.chosen.data()};
  const auto tiles = static_cast<std::size_t>(args.max_tiles());
  work.slot_of = work.token_of = poisoned<std::int32_t>(work.chosen.size());
  work.tile_expert = work.tile_first = work.tile_rows = poisoned<std::int32_t>(tiles);
  args.slot_of = work.slot_of.data();
  args.token_of = work.token_of.data();
  args.tile_expert = work.tile_expert.data();
  args.tile_first = work.tile_first.data();
  args.tile_rows = work.tile_rows.data();
  dispatch_ref(args);
  work.device_token_of = OnDevice<std::int32_t>(work.token_of);
  work.device_expert = OnDevice<std::int32_t>(work.tile_expert);
  work.device_first = OnDevice<std::int32_t>(work.tile_first);
  work.device_rows = OnDevice<std::int32_t>(work.tile_rows);
  return work;
}

Work random_work(Rng& rng, const Shape& shape) {
  std::vector<std::int32_t> chosen, all(static_cast<std::size_t>(shape.experts));
  for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);
  for (int t = 0; t < shape.tokens; ++t) {
    rng.shuffle(all);
    std::sort(all.begin(), all.begin() + shape.per_token);
    chosen.insert(chosen.end(), all.begin(), all.begin() + shape.per_token);
  }
  return dispatched(std::move(chosen), shape.experts, shape.per_token);
}

struct Sum {
  double value = 0;
  double bound = 0;
};

/// A dot product and how far float32 sums in steps of 16 may be from it: each step adds once to a partial sum, and the matrix unit may
/// truncate what it aligns, which is at most one unit in the last place of the partial sums' bound, Σ |terms|, for each of two additions.
Sum dot(const Bf16* a, const Bf16* b, std::size_t length) {
  Sum sum;
  double terms = 0;
  for (std::size_t i = 0; i < length; ++i) {
    const double term = static_cast<double>(to_float(a[i])) * static_cast<double>(to_float(b[i]));
    sum.value += term;
    terms += std::fabs(term);
  }
  sum.bound = (static_cast<double>(length) / 16 * 2 + 16) * 0x1p-23 * terms + 1e-30;
  return sum;
}

TEST_CASE("gate and up products go to the right experts, always to the same bits, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const auto& shape : kShapes) {
    CAPTURE(shape.tokens);
    CAPTURE(shape.dim);
    CAPTURE(shape.width);
    const auto tokens = static_cast<std::size_t>(shape.tokens), experts = static_cast<std::size_t>(shape.experts), per_token = static_cast<std::size_t>(shape.per_token);
    const auto dim = static_cast<std::size_t>(shape.dim), width = static_cast<std::size_t>(shape.width), slots = tokens * per_token;
    const Work work = random_work(rng, shape);
    const auto x = random_bf16s(rng, tokens * dim);
    const float size = 3.0f / std::sqrt(static_cast<float>(dim));
    const auto weights = random_bf16s(rng, experts * 2 * width * dim, -size, size);
    auto expected = poisoned<Bf16>(slots * width);
    grouped_gate_up_ref({.tiles = work.tiles(), .dim = shape.dim, .width = shape.width, .token_of = work.token_of.data(), .x = x.data(), .weights = weights.data(), .y = expected.data()});
    // The slope of silu is at most 1.1; then bf16's rounding on either side.
    std::vector<double> bound(expected.size());
    for (std::size_t i = 0; i < tokens * per_token; ++i) {
      const auto slot = static_cast<std::size_t>(work.slot_of[i]), expert = static_cast<std::size_t>(work.chosen[i]);
      for (std::size_t o = 0; o < width; ++o) {
        const Bf16* row = x.data() + i / per_token * dim;
        const Sum gate = dot(weights.data() + (expert * 2 * width + o) * dim, row, dim), up = dot(weights.data() + (expert * 2 * width + width + o) * dim, row, dim);
        bound[slot * width + o] = 1.1 * gate.bound * (std::fabs(up.value) + up.bound) + std::fabs(gate.value) * up.bound +
                                  0x1.1p-7 * std::fabs(static_cast<double>(to_float(expected[slot * width + o]))) + 1e-30;
      }
    }
    const OnDevice<Bf16> device_x(x), device_weights(weights);
    std::vector<Bf16> first;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto y = poisoned_on_device<Bf16>(slots * width);
      grouped_gate_up({.tiles = work.device_tiles(), .dim = shape.dim, .width = shape.width, .token_of = work.device_token_of.data(), .x = device_x.data(), .weights = device_weights.data(), .y = y.data()},
                      stream.get());
      if (repeat == 0) first = y.get();
      CHECK(same_bits(y.get(), first));
    }
    CHECK(error_over_bound(to_floats(first), to_floats(expected), bound) <= 1);
    for (const std::size_t one : {std::size_t{0}, tokens / 2, tokens - 1}) {
      const Work lonely = dispatched(rows_of(work.chosen, per_token, one, 1), shape.experts, shape.per_token);
      const auto y = poisoned_on_device<Bf16>(per_token * width);
      grouped_gate_up({.tiles = lonely.device_tiles(), .dim = shape.dim, .width = shape.width, .token_of = lonely.device_token_of.data(), .x = device_x.data() + one * dim,
                       .weights = device_weights.data(), .y = y.data()},
                      stream.get());
      const auto alone = y.get();
      for (std::size_t j = 0; j < per_token; ++j) {
        CHECK(same_bits(rows_of(alone, width, static_cast<std::size_t>(lonely.slot_of[j]), 1), rows_of(first, width, static_cast<std::size_t>(work.slot_of[one * per_token + j]), 1)));
      }
    }
  }
}

TEST_CASE("products on the way down go to the right experts, always to the same bits, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(2);
  const Stream stream;
  for (const auto& shape : kShapes) {
    CAPTURE(shape.tokens);
    CAPTURE(shape.dim);
    CAPTURE(shape.width);
    const auto tokens = static_cast<std::size_t>(shape.tokens), experts = static_cast<std::size_t>(shape.experts), per_token = static_cast<std::size_t>(shape.per_token);
    const auto dim = static_cast<std::size_t>(shape.dim), width = static_cast<std::size_t>(shape.width), slots = tokens * per_token;
    const Work work = random_work(rng, shape);
    const auto x = random_bf16s(rng, slots * width), weights = random_bf16s(rng, experts * dim * width);
    auto expected = poisoned<float>(slots * dim);
    grouped_down_ref({.tiles = work.tiles(), .dim = shape.dim, .width = shape.width, .x = x.data(), .weights = weights.data(), .y = expected.data()});
    std::vector<double> bound(expected.size());
    for (std::size_t i = 0; i < slots; ++i) {
      const auto slot = static_cast<std::size_t>(work.slot_of[i]), expert = static_cast<std::size_t>(work.chosen[i]);
      for (std::size_t o = 0; o < dim; ++o) bound[slot * dim + o] = dot(weights.data() + (expert * dim + o) * width, x.data() + slot * width, width).bound;
    }
    const OnDevice<Bf16> device_x(x), device_weights(weights);
    std::vector<float> first;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto y = poisoned_on_device<float>(slots * dim);
      grouped_down({.tiles = work.device_tiles(), .dim = shape.dim, .width = shape.width, .x = device_x.data(), .weights = device_weights.data(), .y = y.data()}, stream.get());
      if (repeat == 0) first = y.get();
      CHECK(same_bits(y.get(), first));
    }
    CHECK(error_over_bound(first, expected, bound) <= 1);
    for (const std::size_t one : {std::size_t{0}, tokens / 2, tokens - 1}) {
      const Work lonely = dispatched(rows_of(work.chosen, per_token, one, 1), shape.experts, shape.per_token);
      std::vector<Bf16> inputs(per_token * width);
      const auto place = [&](std::size_t j) { return static_cast<std::size_t>(work.slot_of[one * per_token + j]); };
      for (std::size_t j = 0; j < per_token; ++j) {
        std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(place(j) * width), width, inputs.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(lonely.slot_of[j]) * width));
      }
      const OnDevice<Bf16> device_inputs(inputs);
      const auto y = poisoned_on_device<float>(per_token * dim);
      grouped_down({.tiles = lonely.device_tiles(), .dim = shape.dim, .width = shape.width, .x = device_inputs.data(), .weights = device_weights.data(), .y = y.data()}, stream.get());
      const auto alone = y.get();
      for (std::size_t j = 0; j < per_token; ++j) CHECK(same_bits(rows_of(alone, dim, static_cast<std::size_t>(lonely.slot_of[j]), 1), rows_of(first, dim, place(j), 1)));
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
