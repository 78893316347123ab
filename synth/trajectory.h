#pragma once

// Expert trajectories by the million for training: a task is drawn, the oracle plays it through its tools in a real episode, and its answer is
// judged. Of the admission gate (synth/gate.h) only that is asked; nothing is counted, and no other agent plays. Draws come from the training stream
// of synth/seed_ranges.h.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/chat_model.h"
#include "core/message.h"
#include "envs/session.h"
#include "synth/tutor.h"

namespace gauntlet {

struct TrajectoryRequest {
  std::shared_ptr<const EnvSpec> spec;
  std::string system_prompt;
  std::vector<std::pair<int, std::uint32_t>> levels;  ///< level and weight
  Expert expert = Expert::Tutor;
  std::uint32_t thinking_weight = 1, chat_weight = 0;
  std::uint64_t seed = 0;
  std::set<std::string> excluded;                     ///< as parse_exclusions() gives them
};

struct Trajectory {
  std::vector<Message> messages;  ///< of the whole episode; in chat mode without reasoning
  std::string task_id;
  int level = 0;
  ThinkingMode mode = ThinkingMode::Thinking;
};

/// Thread-safe. Document number i is a pure function of the request and i.
class TrajectorySource {
 public:
  /// Throws Error(Usage) for a level that the environment lacks or weights that are all 0.
  explicit TrajectorySource(TrajectoryRequest request);

  struct Outcome {
    std::optional<Trajectory> trajectory;         ///< nothing: every try was dropped
    std::map<std::string, std::int64_t> dropped;  ///< reason to count, of the tries before
    bool cancelled = false;                       ///< then the rest means nothing
  };
  Outcome make(std::uint64_t document, const CancelFlag& cancel) const;

  const std::vector<ToolSpec>& tools() const { return *tools_; }

 private:
  /// The reason if it is dropped, else empty.
  std::string attempt(int level, std::uint64_t seed, const CancelFlag& cancel, Trajectory& out) const;

  TrajectoryRequest request_;
  std::vector<std::uint32_t> level_weights_;
  std::shared_ptr<EnvRuntime> runtime_;
  std::shared_ptr<const std::vector<ToolSpec>> tools_;
  Planner planner_;
};

}  // namespace gauntlet
