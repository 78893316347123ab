#include <algorithm>
#include <cmath>
#include <vector>

#include "inference/cuda/hopper/masked_attention.h"

namespace gauntlet::kernels {

void masked_attention_ref(const MaskedAttentionArgs& args) {
  const auto value_of = [](Bf16 element) { return static_cast<double>(to_float(element)); };
  std::vector<double> weights, mixed(kMaskedValue);
  for (int row = 0; row < args.rows; ++row) {
    const int token = args.first + row, begin = token - args.batch.positions[token];
    for (int head = 0; head < args.heads; ++head) {
      const auto at = [&](int t) { return static_cast<std::int64_t>(t) * args.heads + head; };
      const Bf16* query = args.queries + at(token) * kMaskedQuery;
      weights.clear();
      for (int s = begin; s <= token; ++s) {
        const Bf16* content = args.keys_values + at(s) * (kMaskedContent + kMaskedValue);
        const Bf16* rotary = args.rotary_keys + static_cast<std::int64_t>(s) * kMaskedRotary;
        double dot = 0;
        for (int d = 0; d < kMaskedContent; ++d) dot += value_of(query[d]) * value_of(content[d]);
        for (int d = 0; d < kMaskedRotary; ++d) dot += value_of(query[kMaskedContent + d]) * value_of(rotary[d]);
        weights.push_back(dot * static_cast<double>(args.scale));
      }
      const double most = *std::ranges::max_element(weights);
      double total = 0;
      std::ranges::fill(mixed, 0.0);
      for (int s = begin; s <= token; ++s) {
        const double weight = std::exp(weights[static_cast<std::size_t>(s - begin)] - most);
        const Bf16* value = args.keys_values + at(s) * (kMaskedContent + kMaskedValue) + kMaskedContent;
        total += weight;
        for (std::size_t d = 0; d < kMaskedValue; ++d) mixed[d] += weight * value_of(value[d]);
      }
      for (std::size_t d = 0; d < kMaskedValue; ++d) args.out[at(token) * kMaskedValue + static_cast<std::int64_t>(d)] = to_bf16(static_cast<float>(mixed[d] / total));
      if (args.lse != nullptr) args.lse[static_cast<std::int64_t>(row) * args.heads + head] = static_cast<float>(most + std::log(total));
    }
  }
}

}  // namespace gauntlet::kernels
