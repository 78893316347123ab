#pragma once

// Test support: experts play candidates of trip_planning through their tools, judged by the verifier.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/rollout.h"
#include "synth/blueprint.h"
#include "synth/planner.h"
#include "synth/solver.h"
#include "verifiers/verify.h"

namespace gauntlet {

struct Play {
  Episode episode;
  std::string said;   ///< all thinking
  std::string shown;  ///< the prompt and all tool results
  int errors = 0;
  std::size_t widest = 0;  ///< most calls in one message
};

class PlayTable {
 public:
  PlayTable()
      : runtime_(std::make_shared<EnvRuntime>(std::make_shared<const EnvSpec>(spec_))), tools_(std::make_shared<const std::vector<ToolSpec>>(spec_.tool_specs())) {}

  Candidate draw(int level, std::uint64_t from) const {
    for (std::uint64_t seed = from;; ++seed) {
      if (auto candidate = draw_candidate(spec_, {.level = level, .ranges = {}}, "", seed)) return std::move(*candidate);
    }
  }

  /// In `world` (the candidate's own unless another is given).
  Play play(const Candidate& candidate, ChatModel& model, std::shared_ptr<const World> world = nullptr) const {
    if (!world) world = candidate.world;
    const CompiledProblem compiled(candidate.problem, *world);
    const auto optimum = candidate.problem.sense == ObjectiveSense::None ? std::nullopt : solve(compiled).optimum;
    Verifier verifier(compiled, spec_, optimum);
    EpisodeSetup setup{.session = Session(runtime_, world), .user_prompt = candidate.prompt, .tools = tools_};
    setup.limits.max_steps = 3000;
    setup.limits.max_tool_calls = 3000;
    setup.judge = [&](const std::optional<std::string>& answer) { return verifier.verify(answer); };
    const CancelFlag never{false};
    Play out{.episode = run_episode(model, std::move(setup), never)};
    for (const auto& message : out.episode.messages) {
      if (message.role == Role::Assistant) out.said += message.reasoning + "\n";
      out.widest = std::max(out.widest, message.tool_calls.size());
      if (message.role == Role::User || message.role == Role::Tool) out.shown += message.content + "\n";
      if (message.role == Role::Tool && message.content.find("\"error\"") != std::string::npos) ++out.errors;
    }
    return out;
  }

  const EnvSpec& spec() const { return spec_; }
  const Planner& planner() const { return planner_; }

 private:
  EnvSpec spec_ = load_builtin_domain("trip_planning");
  Planner planner_{spec_};
  std::shared_ptr<EnvRuntime> runtime_;
  std::shared_ptr<const std::vector<ToolSpec>> tools_;
};

}  // namespace gauntlet
