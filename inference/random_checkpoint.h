#pragma once

// Checkpoints of the real architecture with random weights, for measuring: what a forward pass costs does not depend on what it says.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace gauntlet {

struct RandomSize {
  std::string_view name, description;
};

/// small, layer, attention, shard, tiny
const std::vector<RandomSize>& random_sizes();

/// The config.json of a size. Throws Error(Usage) naming the sizes.
Json random_config(std::string_view size);

/// Writes config.json and model.safetensors (bf16) into the folder, which is made if need be. The same size and seed give the same bytes.
/// Weights are uniform, scaled by their inputs, so that activations keep about unit variance through the layers. Returns the parameters.
/// Throws Error(Usage) for an unknown size, Error(Infrastructure) when a file cannot be written.
std::int64_t write_random_checkpoint(std::string_view size, std::uint64_t seed, const std::string& folder);

}  // namespace gauntlet
