#include "inference/cuda/norm.h"

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct Shape {
  int rows = 0;
  int dim = 0;
};

// Remainders of warps, vectors and blocks; then rows of real models.
constexpr Shape kShapes[] = {{1, 1}, {3, 5}, {2, 63}, {5, 64}, {7, 65}, {33, 128}, {2, 130}, {9, 512}, {3, 1023}, {4, 1024}, {3, 1025}, {2, 1536}, {257, 2048}, {3, 7169}, {64, 7168}};

TEST_CASE("embedding rows are copied exactly") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const auto [tokens, dim] : kShapes) {
    constexpr std::size_t kVocab = 50;
    const auto rows = static_cast<std::size_t>(tokens), columns = static_cast<std::size_t>(dim);
    const auto table = random_bf16s(rng, kVocab * columns);
    std::vector<std::int32_t> ids(rows);
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(kVocab));
    auto expected = poisoned<float>(rows * columns);
    embed_ref({.tokens = tokens, .dim = dim, .ids = ids.data(), .table = table.data(), .stream = expected.data()});
    const OnDevice<Bf16> device_table(table);
    const OnDevice<std::int32_t> device_ids(ids);
    const auto out = poisoned_on_device<float>(rows * columns);
    embed({.tokens = tokens, .dim = dim, .ids = device_ids.data(), .table = device_table.data(), .stream = out.data()}, stream.get());
    CHECK_MESSAGE(same_bits(out.get(), expected), tokens << " x " << dim);
  }
}

TEST_CASE("rows are normed to what the reference says, always to the same bits, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(2);
  const Stream stream;
  for (const auto [rows, dim] : kShapes) {
    CAPTURE(rows);
    CAPTURE(dim);
    const auto columns = static_cast<std::size_t>(dim), count = static_cast<std::size_t>(rows), sources = count + 3;
    auto x = random_floats(rng, sources * columns, -3, 3);
    std::fill_n(x.begin(), columns, 0.0f);  // a row of zeros stays one
    const auto weight = random_floats(rng, columns);
    std::vector<std::int32_t> source_rows(count);
    for (auto& r : source_rows) r = static_cast<std::int32_t>(rng.below(sources));
    source_rows[0] = 0;
    const OnDevice<float> device_x(x), device_weight(weight);
    const OnDevice<std::int32_t> device_rows(source_rows);
    for (const bool chosen : {false, true}) {
      auto expected = poisoned<float>(count * columns);
      auto rounded = poisoned<Bf16>(count * columns);
      rms_norm_ref({.rows = rows, .dim = dim, .source_rows = chosen ? source_rows.data() : nullptr, .x = x.data(), .weight = weight.data(), .y = rounded.data(), .y_float = expected.data()});
      // A sum of squares passes through at most dim / 32 + 16 additions and has no cancellation; half of its relative error stays after the
      // root, and a few roundings follow. Rounding to bf16 adds 2^-8 on either side.
      std::vector<double> bound(expected.size()), bound_rounded(expected.size());
      for (std::size_t i = 0; i < bound.size(); ++i) {
        bound[i] = (dim / 32.0 + 16) * 0x1p-24 * std::fabs(static_cast<double>(expected[i])) + 1e-30;
        bound_rounded[i] = bound[i] + 0x1p-7 * std::fabs(static_cast<double>(expected[i]));
      }
      std::vector<float> first;
      std::vector<Bf16> first_rounded;
      for (int repeat = 0; repeat < 20; ++repeat) {
        const auto y = poisoned_on_device<Bf16>(count * columns);
        const auto y_float = poisoned_on_device<float>(count * columns);
        rms_norm({.rows = rows, .dim = dim, .source_rows = chosen ? device_rows.data() : nullptr, .x = device_x.data(), .weight = device_weight.data(), .y = y.data(), .y_float = y_float.data()},
                 stream.get());
        if (repeat == 0) {
          first = y_float.get();
          first_rounded = y.get();
        }
        CHECK(same_bits(y_float.get(), first));
        CHECK(same_bits(y.get(), first_rounded));
      }
      CHECK(error_over_bound(first, expected, bound) <= 1);
      CHECK(error_over_bound(to_floats(first_rounded), to_floats(rounded), bound_rounded) <= 1);
      for (const std::size_t row : {std::size_t{0}, count / 2, count - 1}) {
        const std::size_t from = chosen ? static_cast<std::size_t>(source_rows[row]) : row;
        const auto alone = poisoned_on_device<Bf16>(columns);
        rms_norm({.rows = 1, .dim = dim, .x = device_x.data() + from * columns, .weight = device_weight.data(), .y = alone.data()}, stream.get());
        CHECK(same_bits(alone.get(), rows_of(first_rounded, columns, row, 1)));
      }
    }
  }
}

TEST_CASE("the gated activation is what the reference says, in both of its forms and at the ends of its range") {
  if (skip_without_device()) return;
  Rng rng(3);
  const Stream stream;
  for (const auto [rows, width] : kShapes) {
    CAPTURE(rows);
    CAPTURE(width);
    const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(width);
    auto gate_up = random_floats(rng, count * columns * 2, -12, 12);
    gate_up[0] = rows % 2 == 0 ? -200.0f : 200.0f;  // e^200 is beyond float32
    auto expected = poisoned<Bf16>(count * columns);
    silu_multiply_ref({.rows = rows, .width = width, .gate_up = gate_up.data(), .y = expected.data()});
    // A handful of float32 roundings, then bf16's on either side.
    std::vector<double> bound(expected.size());
    for (std::size_t i = 0; i < bound.size(); ++i) bound[i] = (0x1p-7 + 0x1p-19) * std::fabs(static_cast<double>(to_float(expected[i]))) + 1e-30;
    const OnDevice<float> input(gate_up);
    std::vector<Bf16> first;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto y = poisoned_on_device<Bf16>(count * columns);
      silu_multiply({.rows = rows, .width = width, .gate_up = input.data(), .y = y.data()}, stream.get());
      if (repeat == 0) first = y.get();
      CHECK(same_bits(y.get(), first));
    }
    CHECK(error_over_bound(to_floats(first), to_floats(expected), bound) <= 1);
    const auto alone = poisoned_on_device<Bf16>(columns);
    silu_multiply({.rows = 1, .width = width, .gate_up = input.data() + (count - 1) * 2 * columns, .y = alone.data()}, stream.get());
    CHECK(same_bits(alone.get(), rows_of(first, columns, count - 1, 1)));
  }
}

}  // namespace
}  // namespace gauntlet::kernels
