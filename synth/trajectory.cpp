#include "synth/trajectory.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/rollout.h"
#include "core/error.h"
#include "core/sha256.h"
#include "synth/blueprint.h"
#include "synth/gate.h"
#include "synth/neighbours.h"
#include "synth/tutor.h"
#include "synth/seed_ranges.h"
#include "synth/solver.h"
#include "synth/template_members.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

/// Tries for one document, so that levels keep their weights though some are dropped more often than others.
constexpr std::uint64_t kMostTries = 16;

}  // namespace

TrajectorySource::TrajectorySource(TrajectoryRequest request)
    : request_(std::move(request)),
      runtime_(std::make_shared<EnvRuntime>(request_.spec)),
      tools_(std::make_shared<const std::vector<ToolSpec>>(request_.spec->tool_specs())),
      planner_(*request_.spec) {
  require_template_members(*request_.spec, fmt::format("environment {}", request_.spec->name));
  const auto known = task_levels(*request_.spec);
  require(!known.empty(), ErrorKind::Usage, fmt::format("environment {} has no task templates, so no tasks can be made for it (gauntlet env list tells which have)", request_.spec->name));
  std::uint64_t total = 0;
  for (const auto& [level, weight] : request_.levels) {
    require(std::find(known.begin(), known.end(), level) != known.end(), ErrorKind::Usage,
            fmt::format("environment {} has no level {}; accepted: {}", request_.spec->name, level, fmt::join(known, ", ")));
    level_weights_.push_back(weight);
    total += weight;
  }
  require(total > 0, ErrorKind::Usage, "the weights of the levels are all 0");
  require(request_.thinking_weight + std::uint64_t{request_.chat_weight} > 0, ErrorKind::Usage, "the weights of the modes are all 0");
}

TrajectorySource::Outcome TrajectorySource::make(std::uint64_t document, const CancelFlag& cancel) const {
  Outcome out;
  Rng choice(training_draw_seed(request_.seed, document, 0));
  const int level = request_.levels[choice.split("level").weighted(level_weights_)].first;
  Trajectory trajectory;
  trajectory.level = level;
  trajectory.mode = choice.split("mode").weighted({request_.thinking_weight, request_.chat_weight}) == 0 ? ThinkingMode::Thinking : ThinkingMode::Chat;
  for (std::uint64_t number = 1; number <= kMostTries; ++number) {
    const std::string dropped = attempt(level, training_draw_seed(request_.seed, document, number), cancel, trajectory);
    if (cancel.load()) {
      out.cancelled = true;
      return out;
    }
    if (dropped.empty()) {
      out.trajectory = std::move(trajectory);
      return out;
    }
    ++out.dropped[dropped];
  }
  return out;
}

std::string TrajectorySource::attempt(int level, std::uint64_t seed, const CancelFlag& cancel, Trajectory& out) const {
  const EnvSpec& spec = *request_.spec;
  DifficultyRequest difficulty;
  difficulty.level = level;
  const auto candidate = draw_candidate(spec, difficulty, "", seed);
  if (!candidate) return "not_planted";
  out.task_id = task_id_of(spec, content_hash(spec, *candidate));
  const auto& excluded = request_.excluded;
  if (!excluded.empty() && (excluded.contains(out.task_id) || excluded.contains(sha256_hex(candidate->prompt)))) return "excluded";

  const CompiledProblem problem(candidate->problem, *candidate->world);
  std::optional<Cell> optimum;
  if (candidate->problem.sense != ObjectiveSense::None) {
    const SolveResult best = solve(problem, {.max_nodes = GateOptions{}.solver_nodes, .atom_positions = {}, .ignore_objective = false, .cancel = &cancel});
    if (!best.complete || !best.optimum) return "solver_limit";
    optimum = best.optimum;
  }
  Verifier verifier(problem, spec, optimum);
  Rng rng = Rng(seed).split("oracle");
  const auto expert = make_expert(request_.expert, planner_, candidate->problem, rng);
  EpisodeSetup setup{.session = Session(runtime_, candidate->world), .system_prompt = request_.system_prompt, .user_prompt = candidate->prompt, .tools = tools_};
  setup.limits = gate_limits();
  setup.mode = out.mode;
  setup.judge = [&](const std::optional<std::string>& answer) {
    Score score;  // Without explanations, which nobody reads here.
    score.scored = true;
    score.value = answer && verifier.passes(*answer) ? 1.0 : 0.0;
    return score;
  };
  Episode episode = run_episode(*expert, std::move(setup), cancel);
  if (episode.stop != StopReason::Submitted || !episode.score.scored || episode.score.value != 1.0) return "oracle_failed";
  if (!excluded.empty() && excluded.contains(solution_signature(candidate->problem_json, parse_json(*episode.answer, "the oracle's answer")))) return "excluded";
  out.messages = std::move(episode.messages);
  return "";
}

}  // namespace gauntlet
