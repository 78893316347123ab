#pragma once

// Which positions the indexer chose, kept on request for tests and `gauntlet model logits`.

#include <cstdint>
#include <vector>

namespace gauntlet {

struct Selections {
  int k = 0;                                      ///< index_topk
  std::vector<std::vector<std::int32_t>> layers;  ///< [layers][tokens × k]: ascending, padded with -1
};

}  // namespace gauntlet
