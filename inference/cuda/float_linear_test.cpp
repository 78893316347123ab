#include "inference/cuda/float_linear.h"

#include "inference/cuda/kernel_case.h"

namespace gauntlet::kernels {
namespace {

struct Shape {
  int rows = 0;
  int outputs = 0;
  int dim = 0;
};

// Both sides of each change of tile (2, 8, 128 rows), remainders of outputs and of groups of 128; then routers and indexers of real models.
constexpr Shape kShapes[] = {{1, 1, 1},     {1, 3, 5},      {2, 16, 64},   {3, 7, 129},    {4, 2, 127},    {8, 64, 512},    {9, 5, 640},
                             {31, 33, 1025}, {128, 64, 512}, {129, 9, 130}, {1, 256, 7168}, {64, 256, 7168}, {300, 64, 7168}};

std::vector<float> magnitudes(std::vector<float> values) {
  for (auto& v : values) v = std::fabs(v);
  return values;
}

TEST_CASE("small products are what the reference says, always to the same bits, alone or among others") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const auto [rows, outputs, dim] : kShapes) {
    CAPTURE(rows);
    CAPTURE(outputs);
    CAPTURE(dim);
    const auto count = static_cast<std::size_t>(rows), columns = static_cast<std::size_t>(outputs), inner = static_cast<std::size_t>(dim);
    constexpr float kScale = 0.37f;
    const auto x = random_floats(rng, count * inner), weight = random_floats(rng, columns * inner);
    auto expected = poisoned<float>(count * columns), terms = expected;
    float_linear_ref({.rows = rows, .outputs = outputs, .dim = dim, .scale = kScale, .x = x.data(), .weight = weight.data(), .y = expected.data()});
    const auto x_size = magnitudes(x), weight_size = magnitudes(weight);
    float_linear_ref({.rows = rows, .outputs = outputs, .dim = dim, .scale = kScale, .x = x_size.data(), .weight = weight_size.data(), .y = terms.data()});
    // A term passes through at most 4 · (dim / 512 + 1) additions in its lane, 5 over lanes and 3 over warps, and the scale: each adds at most
    // half a unit in the last place of a partial sum, which is at most the sum of the terms' sizes.
    std::vector<double> bound(expected.size());
    for (std::size_t i = 0; i < bound.size(); ++i) bound[i] = (dim / 128.0 + 16) * 0x1p-24 * static_cast<double>(terms[i]) + 1e-30;

    const OnDevice<float> device_x(x), device_weight(weight);
    std::vector<float> first;
    for (int repeat = 0; repeat < 20; ++repeat) {
      const auto y = poisoned_on_device<float>(count * columns);
      float_linear({.rows = rows, .outputs = outputs, .dim = dim, .scale = kScale, .x = device_x.data(), .weight = device_weight.data(), .y = y.data()}, stream.get());
      if (repeat == 0) first = y.get();
      CHECK(same_bits(y.get(), first));
    }
    CHECK(error_over_bound(first, expected, bound) <= 1);
    std::vector<float> factors(expected.size());
    for (float& factor : factors) factor = static_cast<float>(std::exp2(static_cast<double>(rng.below(20)) - 12));  // powers of two scale every bit alike
    const OnDevice<float> device_factors(factors);
    const auto scaled = poisoned_on_device<float>(count * columns);
    float_linear({.rows = rows, .outputs = outputs, .dim = dim, .scale = kScale, .x = device_x.data(), .weight = device_weight.data(), .factors = device_factors.data(), .y = scaled.data()}, stream.get());
    std::vector<float> product = first;
    for (std::size_t i = 0; i < product.size(); ++i) product[i] *= factors[i];
    CHECK(same_bits(scaled.get(), product));
    for (const int together : {1, 3, 9}) {
      if (together > rows) continue;
      const auto from = static_cast<std::size_t>(rng.below(count - static_cast<std::size_t>(together) + 1));
      const auto y = poisoned_on_device<float>(static_cast<std::size_t>(together) * columns);
      float_linear({.rows = together, .outputs = outputs, .dim = dim, .scale = kScale, .x = device_x.data() + from * inner, .weight = device_weight.data(), .y = y.data()}, stream.get());
      CHECK(same_bits(y.get(), rows_of(first, columns, from, static_cast<std::size_t>(together))));
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
