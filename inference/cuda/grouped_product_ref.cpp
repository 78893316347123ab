#include <cmath>

#include "inference/cuda/grouped_product.h"

namespace gauntlet::kernels {
namespace {

double dot(const Bf16* a, const Bf16* b, std::size_t length) {
  double sum = 0;
  for (std::size_t i = 0; i < length; ++i) sum += static_cast<double>(to_float(a[i])) * static_cast<double>(to_float(b[i]));
  return sum;
}

/// Calls body(expert, slot) for each slot of each tile.
template <class Body>
void each_slot(const GroupedTiles& tiles, Body body) {
  for (int tile = 0; tile < tiles.count; ++tile) {
    if (tiles.expert[tile] < 0) continue;
    for (int row = 0; row < tiles.rows[tile]; ++row) body(static_cast<std::size_t>(tiles.expert[tile]), static_cast<std::size_t>(tiles.first[tile] + row));
  }
}

}  // namespace

void grouped_gate_up_ref(const GroupedGateUpArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim), width = static_cast<std::size_t>(args.width);
  each_slot(args.tiles, [&](std::size_t expert, std::size_t slot) {
    const Bf16* x = args.x + static_cast<std::size_t>(args.token_of[slot]) * dim;
    for (std::size_t i = 0; i < width; ++i) {
      const double gate = dot(args.weights + (expert * 2 * width + i) * dim, x, dim), up = dot(args.weights + (expert * 2 * width + width + i) * dim, x, dim);
      args.y[slot * width + i] = to_bf16(static_cast<float>(gate / (1.0 + std::exp(-gate)) * up));
    }
  });
}

void grouped_down_ref(const GroupedDownArgs& args) {
  const auto dim = static_cast<std::size_t>(args.dim), width = static_cast<std::size_t>(args.width);
  each_slot(args.tiles, [&](std::size_t expert, std::size_t slot) {
    for (std::size_t i = 0; i < dim; ++i) args.y[slot * dim + i] = static_cast<float>(dot(args.weights + (expert * dim + i) * width, args.x + slot * width, width));
  });
}

}  // namespace gauntlet::kernels
