#include "inference/cuda/select_positions.h"

#include <algorithm>

#include "core/error.h"
#include "inference/cuda/fast_kernels.h"

namespace gauntlet::kernels {
namespace {

/// Rows that Hopper's kernel multiplies at a time are cut at multiples of so many or half as many.
constexpr int kTogether = 16;

IndexScoresArgs scores_of(const SelectPositionsArgs& args, int first, int rows) {
  IndexScoresArgs out = args.scores;
  out.first += first;
  out.rows = rows;
  out.skip_up_to = args.k;
  return out;
}

TopPositionsArgs choice_of(const SelectPositionsArgs& args, int first, int rows) {
  const auto& scores = args.scores;
  return {.rows = rows,
          .k = args.k,
          .last = scores.batch.positions + scores.first + first,
          .scores = scores.scores,
          .score_stride = scores.score_stride,
          .chosen = args.chosen + static_cast<std::int64_t>(first) * args.k};
}

}  // namespace

int select_positions_run(const SelectPositionsArgs& args) {
  const std::int64_t most = args.scratch_floats / std::max<std::int64_t>(args.scores.score_stride, 1), rows = args.scores.rows;
  if (most <= 0 || rows <= most) return args.scores.rows;
  const std::int64_t runs = (rows + most - 1) / most, even = (rows + runs - 1) / runs;  // of one size
  return static_cast<int>(std::min((even + kTogether - 1) / kTogether * kTogether, most));
}

void select_positions(const SelectPositionsArgs& args, CudaStream stream) {
  require(args.scores.score_stride >= args.scores.longest && args.scratch_floats >= args.scores.score_stride, ErrorKind::Internal, "select_positions: no memory for a row of scores");
  const int run = select_positions_run(args);
  for (int first = 0; first < args.scores.rows; first += run) {
    const int rows = std::min(run, args.scores.rows - first);
    score_positions(scores_of(args, first, rows), stream);
    choose_positions(choice_of(args, first, rows), stream);
  }
}

}  // namespace gauntlet::kernels
