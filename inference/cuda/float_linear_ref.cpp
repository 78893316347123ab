#include "inference/cuda/float_linear.h"

namespace gauntlet::kernels {

void float_linear_ref(const FloatLinearArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim), outputs = static_cast<std::size_t>(args.outputs);
  for (std::size_t r = 0; r < static_cast<std::size_t>(args.rows); ++r) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(args.weight[o * dim + d]) * static_cast<double>(args.x[r * dim + d]);
      const double factor = args.factors == nullptr ? 1.0 : static_cast<double>(args.factors[r * outputs + o]);
      args.y[r * outputs + o] = static_cast<float>(static_cast<double>(args.scale) * sum * factor);
    }
  }
}

}  // namespace gauntlet::kernels
