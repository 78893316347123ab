#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "inference/cuda/moe.h"
#include "inference/selection.h"

namespace gauntlet::kernels {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

/// The sum of the two best of [first, last).
float group_score(const std::vector<float>& ranked, std::size_t first, std::size_t last) {
  float best = kOut, second = kOut;
  for (std::size_t i = first; i < last; ++i) {
    if (ranked[i] > best) {
      second = best;
      best = ranked[i];
    } else if (ranked[i] > second) {
      second = ranked[i];
    }
  }
  return best + second;
}

}  // namespace

void route_ref(const RouteArgs& args) {
  const auto experts = static_cast<std::size_t>(args.experts), per_token = static_cast<std::size_t>(args.per_token);
  const std::size_t group_size = experts / static_cast<std::size_t>(args.groups);
  for (std::size_t t = 0; t < static_cast<std::size_t>(args.tokens); ++t) {
    std::vector<float> scores(experts), ranked(experts);
    for (std::size_t e = 0; e < experts; ++e) {
      scores[e] = 1.0f / (1.0f + std::exp(-args.logits[t * experts + e]));
      ranked[e] = scores[e] + args.correction[e];
    }
    if (args.groups > 1) {
      std::vector<float> totals;
      for (std::size_t g = 0; g < experts; g += group_size) totals.push_back(group_score(ranked, g, g + group_size));
      const auto kept = select_top_reference(totals, args.groups_kept);
      for (std::size_t e = 0; e < experts; ++e) {
        if (!std::binary_search(kept.begin(), kept.end(), static_cast<std::int32_t>(e / group_size))) ranked[e] = kOut;
      }
    }
    const auto best = select_top_reference(ranked, args.per_token);
    float total = 0;
    for (const auto e : best) total += scores[static_cast<std::size_t>(e)];
    for (std::size_t i = 0; i < per_token; ++i) {
      args.chosen[t * per_token + i] = best[i];
      args.weights[t * per_token + i] = scores[static_cast<std::size_t>(best[i])] / (args.normalise ? total + 1e-20f : 1.0f) * args.routed_scale;
    }
  }
}

void dispatch_ref(const DispatchArgs& args) {
  const int slots = args.tokens * args.per_token;
  std::fill_n(args.tile_expert, args.max_tiles(), -1);
  int slot = 0;
  for (int e = 0; e < args.experts; ++e) {
    const int first = slot;
    for (int i = 0; i < slots; ++i) {
      if (args.chosen[i] != e) continue;
      args.slot_of[i] = slot;
      args.token_of[slot++] = i / args.per_token;
    }
    int tile = first / kExpertTile + e;  // leaves room for a part-filled tile of each expert before
    for (int at = first; at < slot; at += kExpertTile, ++tile) {
      args.tile_expert[tile] = e;
      args.tile_first[tile] = at;
      args.tile_rows[tile] = std::min(kExpertTile, slot - at);
    }
  }
}

void combine_ref(const CombineArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim), per_token = static_cast<std::size_t>(args.per_token);
  for (std::size_t t = 0; t < static_cast<std::size_t>(args.tokens); ++t) {
    for (std::size_t d = 0; d < dim; ++d) {
      double sum = 0;
      for (std::size_t j = t * per_token; j < (t + 1) * per_token; ++j) {
        sum += static_cast<double>(args.weights[j]) * static_cast<double>(args.parts[static_cast<std::size_t>(args.slot_of[j]) * dim + d]);
      }
      args.stream[t * dim + d] = static_cast<float>(static_cast<double>(args.stream[t * dim + d]) + sum);
    }
  }
}

}  // namespace gauntlet::kernels
