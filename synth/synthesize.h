#pragma once

// Making certified tasks by the hundred: candidates are drawn and certified on several threads, and handed out in the order of their
// draw, so the same request gives the same tasks whatever the number of threads.

#include <functional>
#include <map>
#include <set>

#include "core/chat_model.h"
#include "synth/gate.h"

namespace gauntlet {

struct SynthReport {
  int made = 0;
  std::int64_t drawn = 0;
  std::map<std::string, std::int64_t> dropped;        ///< reason to count
  std::map<std::string, std::string> examples;        ///< reason to the first detail
};

struct SynthRequest {
  std::shared_ptr<const EnvSpec> spec;
  int count = 1;
  std::uint64_t seed = 0;
  DifficultyRequest difficulty;
  std::string named;                       ///< a named task of the domain; then count is 1
  int threads = 0;                         ///< 0: as many as there are cores
  GateOptions gate;
  /// The program and arguments that run recheck_tasks() on standard input; empty: the check in another process is left out and the
  /// certificates say so.
  std::vector<std::string> recheck_command;
  std::int64_t max_draws = 0;              ///< give up after so many; 0: 400 for each task asked for
  std::set<std::string> excluded;          ///< as parse_exclusions() gives them
  /// Calls its argument with each task that exists already (a store's); null: there are none.
  std::function<void(const std::function<void(const Task&)>&)> known;
  /// Called on the calling thread after every draw, and several times a second while none ends; may be null.
  std::function<void(const SynthReport&)> progress;
};

/// Calls `sink` on the calling thread, in order. Throws Error for a wrong request; stops early when `cancel` is set.
SynthReport synthesize(const SynthRequest& request, const std::function<void(const Task&)>& sink, const CancelFlag& cancel);

/// The other process of gate step 5: reads one task (JSON) a line, rebuilds world and problem, and answers one line of hashes and
/// verdicts each. Returns at the end of the input.
void recheck_tasks(const EnvSpec& spec, std::istream& in, std::ostream& out);

}  // namespace gauntlet
