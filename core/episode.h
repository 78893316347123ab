#pragma once

// One attempt at a task, as plain data: what the store keeps and the exports read.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/message.h"

namespace gauntlet {

enum class StopReason {
  Submitted,        ///< the agent handed in an answer
  Answered,         ///< the agent stopped calling tools and wrote text instead of submitting
  StepLimit,        ///< model replies
  ToolCallLimit,
  TokenLimit,       ///< completion tokens over the episode
  ContextLimit,     ///< the window ran out after earlier replies
  TimeLimit,        ///< wall clock: a matter of machine and load, so never scored
  CostLimit,
  MalformedLimit,   ///< too many malformed calls in a row
  ModelFault,       ///< infrastructure: never scored
  EnvironmentFault, ///< infrastructure: never scored
  Cancelled,        ///< the run was stopped: never scored
};

std::string_view stop_reason_name(StopReason reason);
StopReason parse_stop_reason(std::string_view name);
/// True for the four reasons that say nothing about the agent.
bool is_infrastructure(StopReason reason);

struct ScoreComponent {
  std::string constraint;   ///< the rendered leaf
  bool holds = false;
  std::string explanation;  ///< the values found
};

/// Either scored (value 0 or 1 with a component for each leaf) or unscored with a reason; "could not judge" is never 0.
struct Score {
  bool scored = false;
  double value = 0.0;
  std::string unscored_reason;              ///< empty when scored
  std::string summary;                      ///< one line, e.g. "2 of 9 constraints fail" or "no answer was submitted"
  std::vector<ScoreComponent> components;
};

struct EpisodeLimits {
  int max_steps = 200;               ///< model replies
  int max_tool_calls = 1000;
  std::int64_t max_completion_tokens = 200'000;
  std::int64_t max_wall_ms = 600'000;
  double max_cost = 0.0;             ///< in the currency of the prices given; 0: no limit
  int max_malformed_in_a_row = 5;
  int max_calls_per_message = 256;
};

struct Episode {
  std::string run_id;
  std::string task_id;
  int sample = 0;                    ///< 0 … repeats-1
  int attempt = 0;                   ///< rises when an infrastructure fault is tried again
  std::uint64_t seed = 0;
  StopReason stop = StopReason::Answered;
  std::string fault_class;           ///< for ModelFault, EnvironmentFault, TimeLimit, and a ContextLimit that an endpoint told
  std::string fault_message;
  std::vector<Message> messages;     ///< from the first system/user message to the last tool result
  std::vector<TokenTrace> tokens;    ///< one for each assistant message; empty when the model gives none
  std::optional<std::string> answer; ///< the text handed to the submitting tool
  Score score;
  Usage usage;
  double cost = 0.0;
  int steps = 0;
  int tool_calls = 0;
  int tool_errors = 0;               ///< results that were error objects
  int malformed_calls = 0;
  std::int64_t wall_ms = 0;
  std::int64_t started_unix_ms = 0;
};

Json to_json(const Score& score);
Score score_from_json(const Json& value, const std::string& path);

}  // namespace gauntlet
