#pragma once

#include <cstddef>

namespace gauntlet {

/// Bytes that a forward pass must read, as the device stores them.
struct StepFootprint {
  std::size_t fixed = 0;         ///< weights that every step reads: all but the embedding and the routed experts
  std::size_t expert = 0;        ///< one routed expert of one layer
  int moe_layers = 0;
  std::size_t latent_row = 0;    ///< what attention reads of one position, all layers together
  std::size_t index_row = 0;     ///< what the indexer reads of one position, all layers together; 0 without one
};

}  // namespace gauntlet
