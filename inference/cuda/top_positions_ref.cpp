#include <algorithm>
#include <numeric>

#include "inference/cuda/top_positions.h"
#include "inference/selection.h"

namespace gauntlet::kernels {

void top_positions_ref(const TopPositionsArgs& args) {
  for (std::int64_t r = 0; r < args.rows; ++r) {
    std::int32_t* chosen = args.chosen + r * args.k;
    const std::int32_t candidates = args.last[r] + 1;
    std::fill_n(chosen, args.k, -1);
    if (candidates <= args.k) {
      std::iota(chosen, chosen + candidates, 0);
      continue;
    }
    std::ranges::copy(select_top_reference({args.scores + r * args.score_stride, static_cast<std::size_t>(candidates)}, args.k), chosen);
  }
}

}  // namespace gauntlet::kernels
