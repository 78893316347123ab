#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/sparse_attention.h"

namespace gauntlet::kernels {
namespace {

std::vector<std::int32_t> positions_of(const SparseAttentionArgs& args, int row) {
  const std::int32_t own = args.batch.positions[args.first + row];
  std::vector<std::int32_t> out;
  if (args.chosen == nullptr) {
    for (std::int32_t s = 0; s <= own; ++s) out.push_back(s);
    return out;
  }
  for (int i = 0; i < args.k; ++i) {
    const std::int32_t s = args.chosen[static_cast<std::int64_t>(row) * args.k + i];
    if (s >= 0 && s <= own) out.push_back(s);
  }
  return out;
}

}  // namespace

void sparse_attention_ref(const SparseAttentionArgs& args) {
  const auto& layout = args.layout;
  const auto width = static_cast<std::size_t>(layout.width()), latent = static_cast<std::size_t>(layout.latent);
  std::vector<float> keys;
  std::vector<double> logits, mixed(latent);
  for (int r = 0; r < args.rows; ++r) {
    const int t = args.first + r;
    const auto positions = positions_of(args, r);
    keys.clear();
    for (const auto s : positions) {
      const auto key = read_latent_row(layout, args.latent_rows + physical_row(args.batch, args.batch.sequences[t], s) * layout.row_bytes());
      keys.insert(keys.end(), key.begin(), key.end());
    }
    logits.resize(positions.size());
    for (int h = 0; h < args.heads; ++h) {
      const std::int64_t head = static_cast<std::int64_t>(t) * args.heads + h;
      const Bf16* query = args.queries + head * layout.width();
      double most = -std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < positions.size(); ++i) {
        double dot = 0;
        for (std::size_t d = 0; d < width; ++d) {
          const double value = static_cast<double>(to_float(query[d])) + (args.queries_low != nullptr ? static_cast<double>(to_float(args.queries_low[head * layout.width() + static_cast<std::int64_t>(d)])) : 0.0);
          dot += value * keys[i * width + d];
        }
        logits[i] = dot * args.scale;
        most = std::max(most, logits[i]);
      }
      double total = 0;
      std::ranges::fill(mixed, 0.0);
      for (std::size_t i = 0; i < positions.size(); ++i) {
        const double weight = std::exp(logits[i] - most);
        total += weight;
        for (std::size_t d = 0; d < latent; ++d) mixed[d] += weight * keys[i * width + d];
      }
      for (std::size_t d = 0; d < latent; ++d) {
        const float value = positions.empty() ? 0.0f : static_cast<float>(mixed[d] / total);
        const std::int64_t at = head * layout.latent + static_cast<std::int64_t>(d);
        args.out[at] = to_bf16(value);
        if (args.out_low != nullptr) args.out_low[at] = to_bf16(value - round_to_bf16(value));
      }
      if (args.lse != nullptr) {
        args.lse[static_cast<std::int64_t>(r) * args.heads + h] = positions.empty() ? std::numeric_limits<float>::infinity() : static_cast<float>(most + std::log(total));
      }
    }
  }
}

}  // namespace gauntlet::kernels
