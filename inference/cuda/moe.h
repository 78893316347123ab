#pragma once

// Mixture of experts around the grouped products: which experts a token goes to, rows sorted by expert, and the weighted sum on the way back.

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

/// Rows of the grouped products' tiles.
inline constexpr int kExpertTile = 32;

/// Sigmoid scores, correction bias for the choice only, groups by the sum of their two best, the best groups_kept groups, the best
/// per_token experts of those (equal ones by lower index), weights from the uncorrected scores (DeepSeek-V3, section 2.1.2).
struct RouteArgs {
  int tokens = 0;
  int experts = 0;
  int groups = 1;
  int groups_kept = 1;
  int per_token = 0;
  bool normalise = true;
  float routed_scale = 1.0f;
  const float* logits = nullptr;        ///< [tokens, experts]
  const float* correction = nullptr;    ///< [experts]
  std::int32_t* chosen = nullptr;       ///< [tokens, per_token], ascending
  float* weights = nullptr;             ///< [tokens, per_token]
};
void route(const RouteArgs& args, CudaStream stream);
void route_ref(const RouteArgs& args);

/// Slots: one for each (token, choice), sorted by expert and then by token. Tiles: up to kExpertTile slots of one expert.
struct DispatchArgs {
  int tokens = 0;
  int experts = 0;
  int per_token = 0;
  const std::int32_t* chosen = nullptr;   ///< [tokens, per_token]
  std::int32_t* slot_of = nullptr;        ///< [tokens, per_token]
  std::int32_t* token_of = nullptr;       ///< [tokens × per_token]: of a slot
  std::int32_t* tile_expert = nullptr;    ///< [max_tiles()]; -1: no tile
  std::int32_t* tile_first = nullptr;     ///< [max_tiles()]: first slot
  std::int32_t* tile_rows = nullptr;      ///< [max_tiles()]

  constexpr int max_tiles() const { return tokens * per_token / kExpertTile + experts; }
};
void dispatch(const DispatchArgs& args, CudaStream stream);
void dispatch_ref(const DispatchArgs& args);

/// stream[t] += Σ_j weights[t, j] · parts[slot_of[t, j]], in the order of j.
struct CombineArgs {
  int tokens = 0;
  int per_token = 0;
  int dim = 0;
  const std::int32_t* slot_of = nullptr;  ///< [tokens, per_token]
  const float* weights = nullptr;         ///< [tokens, per_token]
  const float* parts = nullptr;           ///< [tokens × per_token, dim]
  float* stream = nullptr;                ///< [tokens, dim]
};
void combine(const CombineArgs& args, CudaStream stream);
void combine_ref(const CombineArgs& args);

}  // namespace gauntlet::kernels
