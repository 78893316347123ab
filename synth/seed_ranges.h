#pragma once

// Which seeds are for what, so that nothing that is trained on is ever evaluated on. Draws for stored tasks (gauntlet synth) and draws for
// training (gauntlet export tokens --oracle) come from two streams that are told apart by a label: the same user's seed and number of draw
// give other worlds and other tasks in each. Published figures come from evaluation seeds in the range below.

#include <cstdint>

#include "core/rng.h"

namespace gauntlet {

/// The seeds of `gauntlet synth --seed` that are set aside for evaluation.
inline constexpr std::uint64_t kFirstEvaluationSeed = 1;
inline constexpr std::uint64_t kLastEvaluationSeed = 999'999;

/// What draw_candidate() is seeded with for the draw of that number.
inline std::uint64_t evaluation_draw_seed(std::uint64_t seed, std::uint64_t draw) { return mix_seed(seed, draw); }

/// The same for training; one document may take several tries. Two mixings more than above, the first with the label.
inline std::uint64_t training_draw_seed(std::uint64_t seed, std::uint64_t document, std::uint64_t attempt) {
  return mix_seed(mix_seed(mix_seed(seed, hash_text("gauntlet training stream")), document), attempt);
}

}  // namespace gauntlet
