#pragma once

// From a domain's task templates to a candidate task: a world, a planted answer, and requirements fitted to it. What comes out is not
// certified yet (synth/gate.h does that).

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/task.h"
#include "synth/difficulty.h"
#include "synth/template.h"
#include "verifiers/compiled.h"

namespace gauntlet {

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
