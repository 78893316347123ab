#pragma once

// What chat and text completions have in common.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inference/sampling.h"
#include "inference/server/limits.h"
#include "inference/server/request_fields.h"

namespace gauntlet {

struct GenerationOptions {
  std::string model;                    ///< empty: whichever is served
  SamplingParameters sampling;          ///< its seed is set from `seed`, or drawn
  std::optional<std::uint64_t> seed;
  std::optional<int> max_tokens;
  int samples = 1;
  std::vector<std::string> stops;
  std::vector<std::int32_t> stop_ids;
  bool ignore_end = false;              ///< goes on after the end token
  bool stream = false;
  bool include_usage = false;           ///< of a stream: a last chunk with the usage
  std::string constrained_by;           ///< the member whose wish the constraint follows; set by the service
  bool return_ids = false;              ///< the choices carry the token ids
};

/// Reads the members that both kinds of request have. Throws ApiRefusal.
GenerationOptions parse_generation_options(RequestFields& fields, const ServerLimits& limits);

/// Members of OpenAI's API that change nothing here, accepted so that clients need not be told apart.
void ignore_harmless_members(RequestFields& fields);

}  // namespace gauntlet
