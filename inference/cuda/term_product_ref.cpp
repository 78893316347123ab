#include <cmath>
#include <vector>

#include "inference/cuda/term_product.h"

namespace gauntlet::kernels {
namespace {

/// A row of x in double, normed if it is to be.
std::vector<double> input_row(const TermProductArgs& args, std::int64_t problem, std::int64_t row) {
  const std::int64_t source = args.source_rows != nullptr ? args.source_rows[row] : row, from = problem * args.x_distance + source * args.x_stride;
  const auto inner = static_cast<std::size_t>(args.inner);
  std::vector<double> out(inner);
  double squares = 0;
  for (std::size_t i = 0; i < inner; ++i) {
    const auto at = static_cast<std::size_t>(from) + i;
    if (args.x != nullptr) {
      out[i] = static_cast<double>(args.x[at]);
    } else {
      out[i] = static_cast<double>(to_float(args.x_high[at])) + (args.x_low != nullptr ? static_cast<double>(to_float(args.x_low[at])) : 0.0);
    }
    squares += out[i] * out[i];
  }
  if (args.norm_weight != nullptr) {
    const double factor = 1.0 / std::sqrt(squares / args.inner + static_cast<double>(args.eps));
    for (std::size_t i = 0; i < inner; ++i) out[i] *= factor * static_cast<double>(args.norm_weight[i]);
  }
  return out;
}

}  // namespace

void term_product_ref(const TermProductArgs& args) {
  for (std::int64_t problem = 0; problem < args.batches; ++problem) {
    for (std::int64_t r = 0; r < args.rows; ++r) {
      const std::vector<double> x = input_row(args, problem, r);
      const auto sum_of = [&](std::int64_t weight_row) {
        const Bf16* weights = args.weights + problem * args.weights_distance + weight_row * args.inner;
        double sum = 0;
        for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * static_cast<double>(to_float(weights[i]));
        return sum;
      };
      for (std::int64_t o = 0; o < args.outputs; ++o) {
        const std::int64_t to = problem * args.y_distance + r * args.y_stride + o;
        double value = sum_of(o);
        if (args.output == TermOutput::Float) args.y[to] = static_cast<float>(value);
        if (args.output == TermOutput::AddFloat) args.y[to] = static_cast<float>(static_cast<double>(args.y[to]) + value);
        if (args.y_high == nullptr) continue;
        if (args.output == TermOutput::GateTerms) value = value / (1.0 + std::exp(-value)) * sum_of(o + args.outputs);
        args.y_high[to] = to_bf16(static_cast<float>(value));
        if (args.y_low != nullptr) args.y_low[to] = to_bf16(static_cast<float>(value - static_cast<double>(to_float(args.y_high[to]))));
      }
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t to = static_cast<std::size_t>(r) * x.size() + i;
        if (args.normed != nullptr) args.normed[to] = static_cast<float>(x[i]);
        if (args.normed_high != nullptr) args.normed_high[to] = to_bf16(static_cast<float>(x[i]));
      }
    }
  }
}

}  // namespace gauntlet::kernels
