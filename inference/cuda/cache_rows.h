#pragma once

// Entries of the paged cache (types.h says how they lie) on host memory: what the kernels' references and tests pack and unpack.

#include <cstddef>
#include <span>
#include <vector>

#include "inference/cuda/types.h"

namespace gauntlet::kernels {

/// Row of `batch`'s cache that holds a position of a sequence.
std::int64_t physical_row(const TokenBatch& batch, int sequence, int position);

/// `latent` [layout.latent] normed, `rope` [layout.rope] rotated. Writes all of row_bytes(), padding as zeros.
void write_latent_row(const CacheLayout& layout, std::span<const float> latent, std::span<const float> rope, std::byte* row);
/// [layout.width()], padding as it is stored.
std::vector<float> read_latent_row(const CacheLayout& layout, const std::byte* row);

/// What the indexer multiplies, from a query or key [layout.index] after its rotary rotation: in Bf16 rounded, in Fp8 Hadamard-rotated and
/// rounded through e4m3. Fp8 needs layout.index to be a power of two.
void round_index_vector(const CacheLayout& layout, std::span<float> vector);
/// `key` [layout.index] after its rotary rotation, as above. Writes the slot's values with their padding, and its scales.
void write_index_key(const CacheLayout& layout, std::span<const float> key, std::byte* page, int slot);
/// [layout.index_padded()], padding as it is stored.
std::vector<float> read_index_key(const CacheLayout& layout, const std::byte* page, int slot);

/// Walsh-Hadamard transform of 2^n values, orthonormal: its own inverse.
void hadamard(std::span<float> values);

}  // namespace gauntlet::kernels
