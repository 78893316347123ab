#pragma once

// Counting without enumerating: slots that must all differ from each other and may all hold the same rows.

#include <cstdint>
#include <optional>
#include <vector>

#include "verifiers/compiled.h"

namespace gauntlet {

/// If `constraints` say nothing but that every two of the slots in `group` hold different rows of one table, and the slots have equal
/// candidates: the number of candidates. Then n candidates for k slots allow n (n-1) … (n-k+1) assignments.
std::optional<std::int32_t> candidates_of_clique(const Evaluator& evaluator, const SlotMask& group, const std::vector<int>& constraints);

}  // namespace gauntlet
