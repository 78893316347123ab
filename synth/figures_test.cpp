// What the certificates promise, measured on the tasks themselves: adversaries, verifier error, difficulty. A larger sample by
// hand:
//   build/release/gauntlet_tests --source-file='*/figures_test.cpp' with GAUNTLET_FIGURES_TASKS=1000 in the environment.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <map>

#include "agent/rollout.h"
#include "synth/agents.h"
#include "synth/audit.h"
#include "synth/solver.h"
#include "synth/synthesize.h"
#include "verifiers/mutants.h"
#include "verifiers/reference.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

const std::shared_ptr<const EnvSpec>& trip() {
  static const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  return spec;
}

int sample_size(int level) {
  const char* asked = std::getenv("GAUNTLET_FIGURES_TASKS");
  const int tasks = asked == nullptr ? 60 : std::atoi(asked);
  return level < 5 ? tasks : std::max(1, tasks / 4);
}

/// Level to tasks; made once for all cases.
const std::map<int, std::vector<Task>>& tasks_by_level() {
  static const auto made = [] {
    std::map<int, std::vector<Task>> tasks;
    const CancelFlag never{false};
    for (int level = 1; level <= 5; ++level) {
      SynthRequest request{.spec = trip(), .count = sample_size(level), .seed = 20251001};
      request.difficulty.level = level;
      synthesize(
          request, [&](const Task& task) { tasks[level].push_back(task); }, never);
    }
    return tasks;
  }();
  return made;
}

struct Bound {
  std::shared_ptr<const World> world;
  CompiledProblem problem;
  std::optional<Cell> optimum;
  Verifier verifier;

  explicit Bound(const Task& task)
      : world(build_world(*trip(), task.world)),
        problem(parse_problem(task.problem, ""), *world),
        optimum(certified_optimum(task.certificate)),
        verifier(problem, *trip(), optimum) {}
  Bound(const Bound&) = delete;

  bool correct(const Json& answer) const {
    if (!reference_holds(problem.problem(), *world, answer)) return false;
    return !optimum || reference_objective(problem.problem(), *world, answer) == optimum;
  }
};

double mean(int level, const std::string& entry) {
  double sum = 0;
  for (const auto& task : tasks_by_level().at(level)) sum += task.difficulty["vector"][entry].get<double>();
  return sum / static_cast<double>(tasks_by_level().at(level).size());
}

}  // namespace

TEST_CASE("levels 1 to 5 get strictly sparser in answers and need strictly more calls") {
  for (int level = 1; level <= 5; ++level) {
    REQUIRE(static_cast<int>(tasks_by_level().at(level).size()) == sample_size(level));
    MESSAGE(
        fmt::format("level {}: {} tasks, mean log10_density {:.2f}, minimal_tool_calls {:.1f}, active_constraints {:.1f}, "
                    "coupling {:.2f}, evidence_tokens {:.0f}",
                    level, sample_size(level), mean(level, "log10_density"), mean(level, "minimal_tool_calls"),
                    mean(level, "active_constraints"), mean(level, "coupling"), mean(level, "evidence_tokens")));
    if (level == 1) continue;
    CHECK(mean(level, "log10_density") < mean(level - 1, "log10_density"));
    CHECK(mean(level, "minimal_tool_calls") > mean(level - 1, "minimal_tool_calls"));
  }
}

TEST_CASE("random answers pass fewer than one in a hundred times from level 2 on; agents that do nothing never") {
  const Planner planner(*trip());
  const auto runtime = std::make_shared<EnvRuntime>(trip());
  const auto tools = std::make_shared<const std::vector<ToolSpec>>(trip()->tool_specs());
  for (const auto& [level, tasks] : tasks_by_level()) {
    std::map<std::string, int> passed;
    double rate = 0;
    int random_episodes = 0;
    for (const Task& task : tasks) {
      rate += task.certificate["random_pass_rate"].get<double>();
      if (level >= 2) CHECK(task.certificate["random_pass_rate"].get<double>() < 0.01);
      Bound bound(task);
      const auto play = [&](const std::string& agent, std::uint64_t seed) {
        const auto model = make_agent(agent, planner, bound.problem.problem(), seed);
        EpisodeSetup setup{.session = Session(runtime, bound.world), .user_prompt = task.prompt, .tools = tools};
        setup.judge = [&](const std::optional<std::string>& answer) { return bound.verifier.verify(answer); };
        const CancelFlag never{false};
        passed[agent] += run_episode(*model, std::move(setup), never).score.value == 1.0 ? 1 : 0;
      };
      for (const std::string agent : {"noop", "constant", "echo"}) play(agent, 1);
      for (std::uint64_t seed = 1000; seed < 1003; ++seed, ++random_episodes) play("random", seed);  // others than the gate's
    }
    MESSAGE(fmt::format("level {}: random answers pass {:.4f} of tries, random agents {} of {} episodes", level,
                        rate / static_cast<double>(tasks.size()), passed["random"], random_episodes));
    CHECK(passed["noop"] == 0);
    CHECK(passed["constant"] == 0);
    CHECK(passed["echo"] == 0);
    if (level >= 2) CHECK(passed["random"] * 100 < random_episodes);
  }
}

TEST_CASE("the verifier rejects every wrong answer and accepts every right one, in any form") {
  std::size_t wrong = 0;
  std::size_t wrong_accepted = 0;
  std::size_t right = 0;
  std::size_t right_rejected = 0;
  for (const auto& [level, tasks] : tasks_by_level()) {
    for (const Task& task : tasks) {
      Bound bound(task);
      const auto judge = [&](const std::string& text, bool correct) {
        (correct ? right : wrong) += 1;
        if (bound.verifier.passes(text) == correct) return;
        (correct ? right_rejected : wrong_accepted) += 1;
        MESSAGE(fmt::format("{}: {} is {}", task.task_id, text, correct ? "rejected" : "accepted"));
      };
      Rng rng(hash_text(task.task_id));
      for (int i = 0; i < 3; ++i) {  // answers that the gate has not seen
        const auto answer =
            find_answer(bound.problem, rng,
                        {.max_nodes = 400'000, .optimum = bound.optimum, .atom_positions = {}, .preference = {}})
                .answer;
        REQUIRE(answer.has_value());
        REQUIRE(bound.correct(Json::parse(answer_to_text(bound.problem, *answer))));
        for (const auto& text : equivalent_texts(bound.problem, *answer)) judge(text, true);
        for (const auto& text : broken_texts(bound.problem, *answer)) judge(text, false);
        // Any one or two slots changed to any value, judged by the plain reference.
        for (int k = 0; k < 40; ++k) {
          std::vector<SlotValue> mutant = *answer;
          for (int changes = k % 2; changes >= 0; --changes) {
            const std::size_t slot = rng.below(mutant.size());
            mutant[slot] = static_cast<SlotValue>(rng.below(static_cast<std::uint64_t>(bound.problem.slots()[slot].size)));
          }
          const std::string text = answer_to_text(bound.problem, mutant);
          judge(text, bound.correct(Json::parse(text)));
        }
      }
    }
  }
  MESSAGE(fmt::format("true negatives {} of {}, true positives {} of {}", wrong - wrong_accepted, wrong, right - right_rejected,
                      right));
  CHECK(wrong_accepted == 0);
  CHECK(right_rejected == 0);
}

TEST_CASE("every day that has clauses needs information about it") {
  for (const int level : {1, 2, 3, 4}) {
    for (const Task& task : tasks_by_level().at(level)) {
      const Json& shares = task.certificate["group_shares"];
      CHECK(static_cast<int>(shares.size()) == std::min(level, 3));
      for (const auto& share : shares) CHECK(share.get<double>() <= 0.9);
    }
  }
}

TEST_CASE("certificates are the same when made anew on another gate") {
  Gate gate(trip(), {});
  for (const auto& [level, tasks] : tasks_by_level()) {
    for (std::size_t i = 0; i < std::min<std::size_t>(tasks.size(), 8); ++i) {
      const CancelFlag never{false};
      CHECK(audit(gate, tasks[i], never) == "");
    }
  }
}

}  // namespace gauntlet
