#pragma once

// The gate's checks between tasks: no duplicate of an earlier or stored task, none of a benchmark pack, and no earlier answer of the same
// form passes.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "core/task.h"
#include "envs/env_spec.h"
#include "envs/world.h"

namespace gauntlet {

/// Over the shapes of the constraints (their numbers left out, in any order) and the answer: tasks that differ in wording, thresholds or
/// order alone have one signature.
std::string solution_signature(const Json& problem, const Json& answer);

/// Reads a list of what must not be made: on each line a signature or the sha-256 of a prompt (64 hex digits), or a task id; "#" starts a
/// comment. Throws Error(Input) naming the line.
std::set<std::string> parse_exclusions(const std::string& text, const std::string& where);

class Neighbours {
 public:
  /// `spec` must outlive it.
  Neighbours(const EnvSpec& spec, std::set<std::string> excluded) : spec_(spec), excluded_(std::move(excluded)) {}

  /// A task that exists already. It stands in the way of others, not of itself.
  void know(const Task& task);
  /// `world` is the task's if it is at hand. Empty if the task may stay (it is known from then on), else why not: "duplicate", "excluded" or "adversary_other_answer".
  std::string refuse(const Task& task, std::shared_ptr<const World> world = nullptr);

 private:
  bool other_answer_passes(const Task& task, std::shared_ptr<const World> world) const;

  struct Answer {
    std::string task_id;
    std::string text;
  };
  const EnvSpec& spec_;
  std::set<std::string> excluded_;
  std::set<std::string> made_;                         ///< ids let through
  std::map<std::string, std::string> signatures_;      ///< to task id
  std::map<std::string, std::string> prompts_;         ///< hash to task id
  std::map<std::string, std::deque<Answer>> answers_;  ///< by the answer's form, the latest last
};

}  // namespace gauntlet
