#pragma once

// What a grammar may cost. Whatever a caller sends, compiling it ends soon: with a grammar inside these limits, or with an Error that names
// the limit.

#include <cstddef>
#include <cstdint>

namespace gauntlet {

struct GrammarLimits {
  std::size_t schema_bytes = 1 << 20;     ///< of the schema as compact JSON
  int schema_depth = 64;                  ///< of schemas inside schemas
  std::size_t rules = 20'000;
  std::size_t states = 400'000;           ///< of all rules together
  std::size_t alternatives = 1'000;       ///< that anyOf, oneOf and allOf together make of one value
  std::uint64_t compile_steps = 4'000'000;   ///< of all the schemas and patterns of a grammar together: less than half a second
  std::uint64_t compile_bytes = 100'000'000;  ///< that they make on the way
  std::size_t pattern_states = 20'000;    ///< of one string's pattern, length and format taken together
  int nesting = 64;                       ///< of arrays and objects in what is written; below kMaxJsonDepth, so that it can be read
  std::size_t parallel = 10'000;          ///< readings of what was written that are followed at once
  std::uint64_t steps_per_token = 200'000;   ///< that finding one mask may take, on the engine's thread: 10 to 20 ms
  std::uint64_t steps_per_request = 10'000'000;  ///< that all masks of a request's samples may take together: a second
  std::size_t sets = 50'000;              ///< sets of states that are kept; beyond it they are forgotten, and made again when needed
  std::size_t masks = 2'000;               ///< that are kept
};

}  // namespace gauntlet
