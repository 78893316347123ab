#include <algorithm>
#include <cmath>
#include <limits>

#include "inference/cuda/hopper/quantize_queries.h"

namespace gauntlet::kernels {
namespace {

/// The smallest exponent with which `most` / 2^exponent is at most e4m3's largest.
int exponent_for(float most) {
  int exponent = -200;
  while (std::ldexp(static_cast<double>(most), -exponent) > static_cast<double>(kFp8Max)) ++exponent;
  return exponent;
}

}  // namespace

void quantize_queries_ref(const QuantizeQueriesArgs& args) {
  for (std::int64_t head = 0; head < args.heads; ++head) {
    const Bf16* query = args.queries + head * (kQueryLatent + kQueryRotary);
    float latent = 0, rotary = 0;
    bool finite = true;
    for (int d = 0; d < kQueryLatent + kQueryRotary; ++d) {
      const float value = to_float(query[d]);
      finite &= std::isfinite(value);
      float& most = d < kQueryLatent ? latent : rotary;
      most = std::max(most, std::fabs(value));
    }
    const int exponent = finite ? std::max({exponent_for(latent), exponent_for(rotary) - 32, -109}) : 0;
    const auto scaled = [&](int d) { return finite ? std::ldexp(to_float(query[d]), -exponent) : std::numeric_limits<float>::quiet_NaN(); };
    for (int d = 0; d < kQueryLatent; ++d) args.queries_fp8[head * kQueryLatent + d] = to_fp8(scaled(d)).bits;
    for (int d = 0; d < kQueryRotary; ++d) args.query_rotary[head * kQueryRotary + d] = to_bf16(scaled(kQueryLatent + d));
    args.query_scales[head] = std::ldexp(1.0f, exponent);
  }
}

}  // namespace gauntlet::kernels
