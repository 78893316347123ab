#pragma once

// The plainest possible judge: walks the problem's tree over an answer in JSON, looking everything up by name. It shares no code with
// compiled.h and is the oracle of its tests and of every certificate's kill matrix; slow, and meant to be.

#include <memory>
#include <optional>

#include "verifiers/problem.h"

namespace gauntlet {

/// True if every `within` rule and constraint holds. The answer must have every slot and name existing rows; else false.
bool reference_holds(const Problem& problem, const World& world, const Json& answer);

/// The objective's value in thousandths; nothing if undefined. The answer must be one that reference_holds accepts.
std::optional<Cell> reference_objective(const Problem& problem, const World& world, const Json& answer);

/// One node on its own, for an answer whose slots are all there. Text values give nothing.
bool reference_predicate(const Problem& problem, const World& world, const Json& answer, const Node& node);
std::optional<Cell> reference_value(const Problem& problem, const World& world, const Json& answer, const Node& node);

/// The same judge for many single changes of one answer. Only what mentions the changed slot is walked again, so the answer itself must be
/// one that reference_holds accepts; all must outlive it.
class ReferenceMutants {
 public:
  ReferenceMutants(const Problem& problem, const World& world, const Json& answer);
  ~ReferenceMutants();
  ReferenceMutants(const ReferenceMutants&) = delete;
  ReferenceMutants& operator=(const ReferenceMutants&) = delete;

  struct Verdict {
    bool holds = false;
    std::optional<Cell> objective;  ///< where it holds and the problem has one that is defined
  };
  /// The answer with this value in slot number `slot`.
  Verdict judge(std::size_t slot, const Json& value);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
