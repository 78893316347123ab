#pragma once

// The admission gate: a candidate becomes a task only with a certificate (docs/certificates.md). certify() is a pure function of the
// candidate and its options, so a certificate can be recomputed anywhere and compared byte for byte.

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/chat_model.h"
#include "core/episode.h"
#include "envs/session.h"
#include "synth/blueprint.h"
#include "synth/planner.h"

namespace gauntlet {

struct GateOptions {
  int random_tries = 1000;
  std::int64_t solver_nodes = 2'000'000;
};

/// What certify() works with; one for each thread, made once per environment.
class Gate {
 public:
  Gate(std::shared_ptr<const EnvSpec> spec, GateOptions options);

  struct Outcome {
    std::optional<Task> task;  ///< with its certificate
    std::shared_ptr<const World> world;  ///< the task's, for further checks
    std::string dropped;       ///< else why: a short fixed word for counting
    std::string detail;        ///< and what was found
  };
  /// Once `cancel` is set it ends soon, and the outcome is a drop named "cancelled".
  Outcome certify(const Candidate& candidate, const CancelFlag& cancel);
  Outcome certify(const Candidate& candidate);

  /// Certifies a stored task's content anew. The result's certificate equals the stored one if nothing has changed.
  Outcome recertify(const Task& task, const CancelFlag& cancel);
  Outcome recertify(const Task& task);

  const EnvSpec& spec() const { return *spec_; }
  const Planner& planner() const { return planner_; }

 private:
  Outcome run_stages(const Candidate& candidate, const CancelFlag& cancel);

  std::shared_ptr<const EnvSpec> spec_;
  std::shared_ptr<EnvRuntime> runtime_;
  std::shared_ptr<const std::vector<ToolSpec>> tools_;
  Planner planner_;
  GateOptions options_;
};

/// Limits of the gate's own episodes: steps and calls only, since a certificate must not depend on how fast a machine is.
EpisodeLimits gate_limits();

/// The optimum that a certificate states, in thousandths; nothing if the task has no objective.
std::optional<Cell> certified_optimum(const Json& certificate);

/// Sha-256 over everything that decides a verdict.
std::string verifier_hash(const Json& problem, std::optional<Cell> optimum);

}  // namespace gauntlet
