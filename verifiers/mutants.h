#pragma once

// Near misses of a correct answer, for measuring a verifier: answers that differ in one slot, and texts that are broken in one place; and
// rewrites that must still pass.

#include <string>
#include <utility>
#include <vector>

#include "verifiers/compiled.h"

namespace gauntlet {

/// What single-slot changes do to each constraint.
struct KillMatrix {
  std::size_t mutants = 0;                      ///< single-slot changes tried (all of them)
  std::size_t harmless = 0;                     ///< changes that leave every constraint true: other correct answers
  std::vector<std::size_t> kills;               ///< [roots] changes that break it
  std::vector<std::size_t> sole_kills;          ///< [roots] changes that break nothing else
  std::vector<std::pair<std::size_t, SlotValue>> survivors;  ///< the harmless changes: slot and value
  std::vector<std::vector<SlotValue>> samples;  ///< for each root up to two near misses (those that break the fewest first), no repeats
};

KillMatrix sweep_mutants(const CompiledProblem& problem, const std::vector<SlotValue>& answer);

/// Texts that no verifier may accept: members missing, of the wrong type or misspelt, elements missing or added, truncations, other JSON.
std::vector<std::string> broken_texts(const CompiledProblem& problem, const std::vector<SlotValue>& answer);

/// Texts that mean the same answer: spacing, key order, a code fence, members not asked for, integer-valued floats.
std::vector<std::string> equivalent_texts(const CompiledProblem& problem, const std::vector<SlotValue>& answer);

}  // namespace gauntlet
