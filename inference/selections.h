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

/// Of the attention that a query would pay to all positions up to its own, mean over heads: the shares of two sets of index_topk positions. Both
/// are 1 where all positions are attended to.
struct QueryRecall {
  float chosen = 1.0f;                             ///< of the set that the layer's indexer chose
  float attainable = 1.0f;                         ///< of the best set: where the sum over heads is largest
};

struct AttentionRecall {
  std::vector<std::vector<QueryRecall>> layers;    ///< [layers][tokens]; empty without an indexer
};

}  // namespace gauntlet
