#include "inference/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace gauntlet {
namespace {

double attention_scale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

}  // namespace

std::vector<float> rope_frequencies(const ModelConfig& config) {
  const int dim = config.rope_dim;
  std::vector<float> out(static_cast<std::size_t>(dim / 2));
  const double base = config.rope_theta;
  double low = 0, high = 0;
  if (config.yarn) {
    const auto correction = [&](double rotations) {
      return dim * std::log(static_cast<double>(config.yarn->original_positions) / (rotations * 2 * std::numbers::pi)) / (2 * std::log(base));
    };
    low = std::max(std::floor(correction(config.yarn->beta_fast)), 0.0);
    high = std::min(std::ceil(correction(config.yarn->beta_slow)), dim - 1.0);
    if (low == high) high += 0.001;  // as the reference: no division by zero
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double plain = std::pow(base, -2.0 * static_cast<double>(i) / dim);
    if (!config.yarn) {
      out[i] = static_cast<float>(plain);
      continue;
    }
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    out[i] = static_cast<float>(plain * (1 - ramp) + plain / config.yarn->factor * ramp);
  }
  return out;
}

RopeTable::RopeTable(const ModelConfig& config, std::int64_t positions) : positions_(positions), half_(config.rope_dim / 2) {
  const auto frequencies = rope_frequencies(config);
  const double scale = config.yarn ? attention_scale(config.yarn->factor, config.yarn->mscale) / attention_scale(config.yarn->factor, config.yarn->mscale_all_dim) : 1.0;
  cos_.resize(static_cast<std::size_t>(positions * half_));
  sin_.resize(cos_.size());
  for (std::int64_t p = 0; p < positions; ++p) {
    for (int i = 0; i < half_; ++i) {
      // The reference multiplies in float32; the angle's rounding is part of the function.
      const float angle = static_cast<float>(p) * frequencies[static_cast<std::size_t>(i)];
      cos_[static_cast<std::size_t>(p * half_ + i)] = static_cast<float>(std::cos(static_cast<double>(angle)) * scale);
      sin_[static_cast<std::size_t>(p * half_ + i)] = static_cast<float>(std::sin(static_cast<double>(angle)) * scale);
    }
  }
}

void RopeTable::rotate(float* values, std::int64_t position, RopeLayout layout) const {
  const float* c = cosines(position);
  const float* s = sines(position);
  const int step = layout == RopeLayout::Interleaved ? 2 : 1;
  const int partner = layout == RopeLayout::Interleaved ? 1 : half_;
  for (int i = 0; i < half_; ++i) {
    float& a = values[i * step];
    float& b = values[i * step + partner];
    const float rotated = a * c[i] - b * s[i];
    b = a * s[i] + b * c[i];
    a = rotated;
  }
}

}  // namespace gauntlet
