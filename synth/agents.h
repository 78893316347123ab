#pragma once

// Agents that need no language model: the oracle, and the adversaries that a sound task must defeat.

#include <memory>
#include <string>
#include <vector>

#include "core/chat_model.h"
#include "core/task.h"
#include "synth/planner.h"

namespace gauntlet {

/// oracle: solves through tools. tutor: the same in small steps, each written down (synth/tutor.h). noop: says it is done. constant: hands in an empty answer. echo: hands in the task's own text.
/// random: looks around at random and hands in names of the right kind. greedy: takes the first or cheapest that fits its place, without
/// regard to the requirements.
const std::vector<std::string>& agent_names();

/// A model for one episode of this task. `planner` must outlive it. Throws Error(Usage) for an unknown name, suggesting the nearest.
std::unique_ptr<ChatModel> make_agent(const std::string& name, const Planner& planner, const Problem& problem, std::uint64_t seed);

/// Replays recorded assistant messages in order (the replay agent); after the last it says that it is done.
std::unique_ptr<ChatModel> make_replay_agent(std::vector<Message> assistant_messages);

}  // namespace gauntlet
