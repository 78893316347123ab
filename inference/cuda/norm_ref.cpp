#include <cmath>

#include "inference/cuda/norm.h"

namespace gauntlet::kernels {
namespace {

Bf16 rest(float value) { return to_bf16(value - round_to_bf16(value)); }

}  // namespace

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
      if (args.y_low != nullptr) args.y_low[r * dim + d] = rest(value);
      if (args.y_float != nullptr) args.y_float[r * dim + d] = value;
    }
  }
}

void silu_multiply_ref(const SiluArgs& args) {
  const auto width = static_cast<std::size_t>(args.width);
  for (std::size_t r = 0; r < static_cast<std::size_t>(args.rows); ++r) {
    for (std::size_t i = 0; i < width; ++i) {
      const auto value_at = [&](std::size_t at) { return static_cast<double>(args.gate_up_low != nullptr ? args.gate_up[at] + args.gate_up_low[at] : args.gate_up[at]); };
      const double gate = value_at(r * 2 * width + i), up = value_at(r * 2 * width + width + i);
      const auto value = static_cast<float>(gate / (1.0 + std::exp(-gate)) * up);
      args.y[r * width + i] = to_bf16(value);
      if (args.y_low != nullptr) args.y_low[r * width + i] = rest(value);
    }
  }
}

void split_terms_ref(const TermsArgs& args) {
  for (std::int64_t r = 0; r < args.rows; ++r) {
    for (std::int64_t c = 0; c < args.columns; ++c) {
      const std::int64_t from = r * args.columns + c;
      const float value = args.x_low != nullptr ? args.x[from] + args.x_low[from] : args.x[from];
      args.y[r * args.y_stride + c] = to_bf16(value);
      args.y_low[r * args.y_stride + c] = rest(value);
    }
  }
}

}  // namespace gauntlet::kernels
