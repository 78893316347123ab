#include "inference/cuda/dense_products.h"

#include <cmath>

#include "inference/cuda/kernel_case.h"

namespace gauntlet {
namespace {

using kernels::OnDevice;
using kernels::skip_without_device;

struct Shape {
  int outputs = 0, inner = 0, batches = 1;
  ProductOutput output = ProductOutput::Float;
  bool transposed = false;
};

// Products of the golden models and of V3.2 (input, query, both halves of kv_b, output), and sizes whose rows are not aligned
// to 16 bytes.
constexpr Shape kShapes[] = {
    {320, 128, 1, ProductOutput::Float},    {512, 48, 1, ProductOutput::AddFloat},    {2240, 7168, 1, ProductOutput::Float},
    {32768, 1536, 1, ProductOutput::Float}, {7168, 2048, 1, ProductOutput::AddFloat}, {512, 128, 128, ProductOutput::Bf16},
    {128, 512, 128, ProductOutput::Float},  {130, 50, 1, ProductOutput::Float},       {7, 6, 8, ProductOutput::Bf16},
    {33, 24, 5, ProductOutput::Float},      {1, 1, 1, ProductOutput::AddFloat},
    {128, 512, 128, ProductOutput::Bf16, true}, {33, 24, 5, ProductOutput::Float, true}};

std::vector<float> product(DenseProducts& products, const Stream& stream, const Shape& shape, const OnDevice<Bf16>& weights,
                           const std::vector<Bf16>& x, const std::vector<float>& before, int rows) {
  const auto out = static_cast<std::size_t>(rows) * static_cast<std::size_t>(shape.batches * shape.outputs);
  const OnDevice<Bf16> device_x(x);
  ProductArgs args{.rows = rows,
                   .outputs = shape.outputs,
                   .inner = shape.inner,
                   .weights = weights.data(),
                   .transposed = shape.transposed,
                   .x = device_x.data(),
                   .x_stride = std::int64_t{shape.batches} * shape.inner,
                   .y_stride = std::int64_t{shape.batches} * shape.outputs,
                   .output = shape.output,
                   .batches = shape.batches,
                   .weights_distance = std::int64_t{shape.outputs} * shape.inner,
                   .x_distance = shape.inner,
                   .y_distance = shape.outputs};
  if (shape.output == ProductOutput::Bf16) {
    const auto y = kernels::poisoned_on_device<Bf16>(out);
    args.y = y.data();
    products.multiply(args, stream.get());
    return kernels::to_floats(y.get());
  }
  const OnDevice<float> y(before);
  args.y = y.data();
  products.multiply(args, stream.get());
  return y.get();
}

TEST_CASE("dense products are sums of products, and a row has the same bits in a batch of any size") {
  if (skip_without_device()) return;
  constexpr int kMost = 600;
  DenseProducts products(kMost);
  const Stream stream;
  Rng rng(1);
  for (const Shape& shape : kShapes) {
    CAPTURE(shape.outputs);
    CAPTURE(shape.inner);
    CAPTURE(shape.batches);
    const auto row = static_cast<std::size_t>(shape.batches * shape.inner),
               out_row = static_cast<std::size_t>(shape.batches * shape.outputs);
    const auto weights =
        kernels::random_bf16s(rng, static_cast<std::size_t>(shape.batches) * static_cast<std::size_t>(shape.outputs) *
                                       static_cast<std::size_t>(shape.inner));
    const auto x = kernels::random_bf16s(rng, kMost * row);
    const auto before = shape.output == ProductOutput::AddFloat ? kernels::random_floats(rng, kMost * out_row)
                                                                : kernels::poisoned<float>(kMost * out_row);
    const OnDevice<Bf16> device_weights(weights);
    const auto whole = product(products, stream, shape, device_weights, x, before, kMost);
    for (const int rows : {1, 2, 63, 64, 65, 257}) {
      CAPTURE(rows);
      const auto first = static_cast<std::size_t>(kMost - rows);
      const auto part =
          product(products, stream, shape, device_weights, kernels::rows_of(x, row, first, static_cast<std::size_t>(rows)),
                  kernels::rows_of(before, out_row, first, static_cast<std::size_t>(rows)), rows);
      CHECK(part == kernels::rows_of(whole, out_row, first, static_cast<std::size_t>(rows)));
    }
    // Against sums in float64, in a few places. A float32 sum of n products is off by at most n · 2^-24 of their absolute sum.
    for (int i = 0; i < 200; ++i) {
      const std::size_t r = rng.below(kMost), b = rng.below(static_cast<std::uint64_t>(shape.batches)),
                        o = rng.below(static_cast<std::uint64_t>(shape.outputs));
      const float start = shape.output == ProductOutput::AddFloat
                              ? before[r * out_row + b * static_cast<std::size_t>(shape.outputs) + o]
                              : 0.0f;
      double sum = static_cast<double>(start), size = std::fabs(sum);
      for (std::size_t k = 0; k < static_cast<std::size_t>(shape.inner); ++k) {
        const auto inner = static_cast<std::size_t>(shape.inner), outputs = static_cast<std::size_t>(shape.outputs);
        const double term =
            static_cast<double>(to_float(weights[b * outputs * inner + (shape.transposed ? k * outputs + o : o * inner + k)])) *
            static_cast<double>(to_float(x[r * row + b * static_cast<std::size_t>(shape.inner) + k]));
        sum += term;
        size += std::fabs(term);
      }
      const double rounding = shape.output == ProductOutput::Bf16 ? 0x1p-8 * std::fabs(sum) : 0;
      REQUIRE(std::fabs(static_cast<double>(whole[r * out_row + b * static_cast<std::size_t>(shape.outputs) + o]) - sum) <=
              (shape.inner + 2) * 0x1p-23 * size + rounding);
    }
  }
}

}  // namespace
}  // namespace gauntlet
