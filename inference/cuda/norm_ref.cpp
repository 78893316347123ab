#include <cmath>

#include "inference/cuda/norm.h"

namespace gauntlet::kernels {

void embed_ref(const EmbedArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim);
  for (std::size_t t = 0; t < static_cast<std::size_t>(args.tokens); ++t) {
    for (std::size_t d = 0; d < dim; ++d) args.stream[t * dim + d] = to_float(args.table[static_cast<std::size_t>(args.ids[t]) * dim + d]);
  }
}

void rms_norm_ref(const RmsNormArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim);
  for (std::size_t r = 0; r < static_cast<std::size_t>(args.rows); ++r) {
    const float* x = args.x + (args.source_rows != nullptr ? static_cast<std::size_t>(args.source_rows[r]) : r) * dim;
    double sum = 0;
    for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(x[d]) * static_cast<double>(x[d]);
    const double factor = 1.0 / std::sqrt(sum / args.dim + static_cast<double>(args.eps));
    for (std::size_t d = 0; d < dim; ++d) {
      const auto value = static_cast<float>(static_cast<double>(x[d]) * factor * static_cast<double>(args.weight[d]));
      args.y[r * dim + d] = to_bf16(value);
      if (args.y_float != nullptr) args.y_float[r * dim + d] = value;
    }
  }
}

void silu_multiply_ref(const SiluArgs& args) {
  const auto width = static_cast<std::size_t>(args.width);
  for (std::size_t r = 0; r < static_cast<std::size_t>(args.rows); ++r) {
    for (std::size_t i = 0; i < width; ++i) {
      const double gate = static_cast<double>(args.gate_up[r * 2 * width + i]), up = static_cast<double>(args.gate_up[r * 2 * width + width + i]);
      args.y[r * width + i] = to_bf16(static_cast<float>(gate / (1.0 + std::exp(-gate)) * up));
    }
  }
}

}  // namespace gauntlet::kernels
