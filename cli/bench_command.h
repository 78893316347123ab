#pragma once

#include <string>

#include "agent/thinking.h"
#include "cli/context.h"
#include "cli/model_choice.h"
#include "core/episode.h"

namespace gauntlet {

struct BenchOptions {
  std::string store = "gauntlet.db";
  ModelOptions model;
  std::string run;                 ///< empty: named after the configuration, so that the same command resumes
  int repeats = 1;
  int in_flight = 8;
  std::uint64_t seed = 1;
  std::string mode = "thinking";
  std::string thinking_policy = "since_last_user";
  std::string system_prompt;       ///< a file; "none"; empty: the built-in one
  SamplingOptions sampling;
  EpisodeLimits limits;
  double prompt_price = 0.0, completion_price = 0.0;
  std::string environment;         ///< filter
  int level = -1;                  ///< filter
  std::int64_t limit = -1;         ///< tasks
  std::vector<std::string> tasks;  ///< filter
  int retries_on_fault = 1;
  int abort_after_faults = 20;
  int store_retry_seconds = 60;
  bool json = false;
  bool progress_by_level = false;  ///< passes are counted by level while the run goes on
  bool acknowledge = false;        ///< a line on stdout for each episode that is stored
};

/// Plays what is missing, stores it, and gives the run's id.
std::string run_bench(const BenchOptions& options, Context& context);

}  // namespace gauntlet
