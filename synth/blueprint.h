#pragma once

// From a domain's task templates to a candidate task: a world, a planted answer, and requirements fitted to it. What comes out is not
// certified yet (synth/gate.h does that).

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/task.h"
#include "synth/template.h"
#include "verifiers/compiled.h"

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
/// Names of the difficulty vector's entries, in order.
const std::vector<std::string>& difficulty_entries();

struct Candidate {
  WorldKey key;
  std::shared_ptr<const World> world;
  Json problem_json;
  Problem problem;
  std::size_t base_constraints = 0;   ///< the first so many constraints are the frame (dates, distinctness), not clauses
  std::string prompt;
  int level = 0;
  std::string named;
  std::vector<DifficultyRange> accept;
};

/// The levels that the domain has templates for, and its named tasks. Throw Error(Usage) when it has none.
std::vector<int> task_levels(const EnvSpec& spec);
std::vector<std::string> named_tasks(const EnvSpec& spec);

/// Nothing when no answer could be planted in this draw. Throws Error(Input) for a template that is wrong, Error(Usage) for an unknown
/// level or name. `named` empty: by difficulty.
std::optional<Candidate> draw_candidate(const EnvSpec& spec, const DifficultyRequest& difficulty, const std::string& named, std::uint64_t seed);

/// Sha-256 over everything that makes a task what it is, and the task's id from it.
std::string content_hash(const EnvSpec& spec, const Candidate& candidate);
std::string task_id_of(const EnvSpec& spec, const std::string& content_hash);

}  // namespace gauntlet
