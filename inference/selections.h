#pragma once

// What a forward pass decided for every token, kept on request: for tests, which let the reference decide alike, and for `gauntlet model logits`.

#include <cstdint>
#include <vector>

namespace gauntlet {

struct Selections {
  int k = 0;                                       ///< index_topk
  std::vector<std::vector<std::int32_t>> layers;   ///< [layers][tokens × k]: positions, ascending, padded with -1; empty without an indexer
  int experts_per_token = 0;
  std::vector<std::vector<std::int32_t>> experts;  ///< [layers][tokens × experts_per_token], ascending; empty in dense layers. CUDA only
};

/// How much of the attention that a query would pay to all positions before it falls on those that its layer's indexer chose.
struct AttentionRecall {
  std::vector<std::vector<float>> layers;          ///< [layers][tokens], mean over heads; 1 where all positions are attended to; empty without an indexer
};

}  // namespace gauntlet
