#include <algorithm>
#include <vector>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/index_scores.h"

namespace gauntlet::kernels {

void index_scores_ref(const IndexScoresArgs& args) {
  const auto& layout = args.layout;
  const int width = layout.index_padded();
  for (int r = 0; r < args.rows; ++r) {
    const int t = args.first + r, position = args.batch.positions[t];
    if (position + 1 <= args.skip_up_to) continue;
    for (int s = 0; s <= position; ++s) {
      const std::int64_t row = physical_row(args.batch, args.batch.sequences[t], s);
      const auto key = read_index_key(layout, args.index_pages + row / kPageTokens * layout.index_page_bytes(), static_cast<int>(row % kPageTokens));
      double score = 0;
      for (int h = 0; h < args.heads; ++h) {
        const std::int64_t head = static_cast<std::int64_t>(t) * args.heads + h;
        double dot = 0;
        for (int d = 0; d < width; ++d) dot += static_cast<double>(to_float(args.queries[head * width + d])) * key[static_cast<std::size_t>(d)];
        score += std::max(dot, 0.0) * args.weights[head];
      }
      args.scores[r * args.score_stride + s] = static_cast<float>(score);
    }
  }
}

}  // namespace gauntlet::kernels
