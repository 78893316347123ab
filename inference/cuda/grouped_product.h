#pragma once

// Products of each expert's weights with the rows that were sent to it: bf16 operands, float32 sums in the order of the inner dimension,
// so a row's bits do not depend on its neighbours. Tiles come from moe.h's dispatch.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

struct GroupedTiles {
  int count = 0;                              ///< entries below; those with expert -1 are skipped
  const std::int32_t* expert = nullptr;       ///< [count]
  const std::int32_t* first = nullptr;        ///< [count]: first slot
  const std::int32_t* rows = nullptr;         ///< [count]: at most kExpertTile slots
};

/// y[slot] = silu(W_gate x[token_of[slot]]) · (W_up x[token_of[slot]])
struct GroupedGateUpArgs {
  GroupedTiles tiles;
  int dim = 0;
  int width = 0;
  const std::int32_t* token_of = nullptr;     ///< [slots]
  const Bf16* x = nullptr;                    ///< [tokens, dim]
  const Bf16* weights = nullptr;              ///< [experts, 2 × width, dim]: gate, then up
  Bf16* y = nullptr;                          ///< [slots, width]
};
void grouped_gate_up(const GroupedGateUpArgs& args, CudaStream stream);
/// `slots` rows of y exist.
void grouped_gate_up_ref(const GroupedGateUpArgs& args);

/// y[slot] = W x[slot]
struct GroupedDownArgs {
  GroupedTiles tiles;
  int dim = 0;                                ///< outputs
  int width = 0;                              ///< inner
  const Bf16* x = nullptr;                    ///< [slots, width]
  const Bf16* weights = nullptr;              ///< [experts, dim, width]
  float* y = nullptr;                         ///< [slots, dim]
};
void grouped_down(const GroupedDownArgs& args, CudaStream stream);
void grouped_down_ref(const GroupedDownArgs& args);

}  // namespace gauntlet::kernels
