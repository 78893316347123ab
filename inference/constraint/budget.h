#pragma once

// The work and the memory that compiling one grammar may take, all its schemas and patterns together. Counted and not timed, so that a schema is
// accepted or refused alike on every machine.

#include <cstdint>

#include "inference/constraint/grammar_limits.h"

namespace gauntlet {

class Budget {
 public:
  explicit Budget(const GrammarLimits& limits) : most_steps_(limits.compile_steps), most_bytes_(limits.compile_bytes) {}

  /// A step is something of about 100 ns. Throws Error(Usage) beyond the limit.
  void spend(std::uint64_t steps) {
    steps_ += steps;
    if (steps_ > most_steps_) refuse_steps();
  }
  /// Memory that is made, whether or not it is given back soon. Throws Error(Usage) beyond the limit.
  void hold(std::uint64_t bytes) {
    bytes_ += bytes;
    if (bytes_ > most_bytes_) refuse_bytes();
  }

  std::uint64_t steps() const { return steps_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  [[noreturn]] void refuse_steps() const;
  [[noreturn]] void refuse_bytes() const;

  std::uint64_t most_steps_, most_bytes_;
  std::uint64_t steps_ = 0, bytes_ = 0;
};

}  // namespace gauntlet
