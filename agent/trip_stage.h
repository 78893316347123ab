#pragma once

// Test support: a real trip_planning world to play in, and episodes set up on it.

#include <memory>
#include <string>

#include "agent/rollout.h"
#include "envs/session.h"

namespace gauntlet {

struct TripStage {
  std::shared_ptr<const EnvSpec> spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  std::shared_ptr<EnvRuntime> runtime = std::make_shared<EnvRuntime>(spec);
  std::shared_ptr<const World> world = build_world(*spec, {.seed = 1});
  std::shared_ptr<const std::vector<ToolSpec>> tools = std::make_shared<const std::vector<ToolSpec>>(spec->tool_specs());

  /// Passes exactly the answer "right"; without an answer the score is 0.
  EpisodeSetup setup(std::string user_prompt = "Plan a trip.") const {
    return {.session = Session(runtime, world),
            .system_prompt = "Use the tools.",
            .user_prompt = std::move(user_prompt),
            .tools = tools,
            .judge =
                [](const std::optional<std::string>& answer) {
                  Score score;
                  score.scored = true;
                  score.value = answer == "right" ? 1.0 : 0.0;
                  score.summary = answer ? "judged \"" + *answer + "\"" : "no answer was submitted";
                  return score;
                },
            .run_id = "r",
            .task_id = "t",
            .sample = 2,
            .attempt = 1,
            .seed = 7};
  }
};

/// The call that hands in an answer.
inline std::pair<std::string, std::string> submit(const std::string& answer) {
  return {"submit_result", dump_json(Json{{"answer_text", answer}})};
}

}  // namespace gauntlet
