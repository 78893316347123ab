#pragma once

// The gate's measurements that need no episode: fuzzed tools, random answers, mutants, and the difficulty vector.

#include "envs/session.h"
#include "synth/blueprint.h"
#include "synth/planner.h"
#include "verifiers/verify.h"

namespace gauntlet {

struct ToolFuzz {
  int calls = 0;
  int errors = 0;             ///< typed refusals, as they should be
  std::string problem;        ///< empty: every tool answered well and was callable
};

/// Calls every tool with arguments taken from the world and with broken ones.
ToolFuzz fuzz_tools(const std::shared_ptr<EnvRuntime>& runtime, const std::shared_ptr<const World>& world, const Planner& planner, Rng rng);

/// How many of `tries` random answers pass. They already respect what the frame fixes and which rows lie within which, so this is a
/// strong guesser, not a straw man.
int random_passes(Verifier& verifier, const CompiledProblem& problem, const CompiledProblem& frame, int tries, Rng rng);

struct MutantReport {
  std::size_t mutants = 0;                          ///< single-slot changes of the answers, all of them
  std::size_t mutants_rejected = 0;                 ///< of these, by the verifier
  std::size_t harmless = 0;                         ///< accepted, and the reference judge says so too
  std::size_t judged = 0;                           ///< mutants put to the reference judge: all that break no constraint, and a sample of the others
  std::size_t disagreements = 0;                    ///< of these, judged otherwise by the verifier, or better than the optimum
  std::size_t tried = 0, rejected = 0;              ///< wrong answers by the reference judge, and of these the rejected
  std::size_t equivalents = 0, accepted = 0;        ///< correct answers in equivalent forms, and of these the accepted
  std::string problem;                              ///< the first wrong verdict; empty if none
  Json kill_matrix;                                 ///< one row for each constraint
};

/// Judges mutants, broken texts and equivalent texts of `answers` (the first is the oracle's, the others found by the solver). What is
/// right is decided by the reference judge alone.
MutantReport measure_verifier(Verifier& verifier, const CompiledProblem& problem, const std::vector<std::vector<SlotValue>>& answers, std::optional<Cell> optimum, Rng rng);

struct DifficultyFacts {
  double log10_density = 0.0;
  int minimal_tool_calls = 0;
  std::size_t evidence_bytes = 0;   ///< of the oracle's tool results
};

/// The eight entries by name.
Json difficulty_vector(const Candidate& candidate, const CompiledProblem& problem, const DifficultyFacts& facts);

}  // namespace gauntlet
