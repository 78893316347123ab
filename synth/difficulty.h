#pragma once

// How hard a task is to be: a level of the domain's templates, and ranges of the difficulty vector's entries (docs/certificates.md).

#include <string>
#include <vector>

#include "core/json.h"

namespace gauntlet {

/// Closed interval of one entry of the difficulty vector.
struct DifficultyRange {
  std::string name;
  double low = 0.0;
  double high = 0.0;
};

/// What is asked for: a level preset, and ranges that replace or narrow those of the preset.
struct DifficultyRequest {
  int level = 3;
  std::vector<DifficultyRange> ranges;
};

/// "3", "level=3", or "level=4,minimal_tool_calls=30..40,log10_density=-9..-6". Throws Error(Usage) naming the entries.
DifficultyRequest parse_difficulty(const std::string& text);
/// The member "accept" of a task template. Throws Error(Input) with the path.
std::vector<DifficultyRange> parse_accept(const Json& accept, const std::string& path);
/// Names of the difficulty vector's entries, in order.
const std::vector<std::string>& difficulty_entries();

}  // namespace gauntlet
