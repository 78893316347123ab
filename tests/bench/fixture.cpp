#include "tests/bench/fixture.h"

#include "core/error.h"

namespace gauntlet::bench {

Fixture make_fixture(const Settings& settings, int count) {
  Fixture fixture;
  fixture.spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  fixture.environment = std::make_unique<Environment>(fixture.spec);
  SynthRequest request{.spec = fixture.spec, .count = count, .seed = settings.seed, .difficulty = {.level = 3}, .threads = settings.threads, .gate = {.random_tries = 100}};
  const CancelFlag never{false};
  const SynthReport report = synthesize(request, [&](const Task& task) { fixture.tasks.push_back(std::make_unique<ReadyTask>(task, *fixture.environment)); }, never);
  require(report.made == count, ErrorKind::Internal, "not enough tasks could be made for the benchmark");
  return fixture;
}

EpisodeSetup make_setup(const Fixture& fixture, const ReadyTask& task, std::uint64_t seed) {
  EpisodeSetup setup{.session = Session(fixture.environment->runtime, task.world)};
  setup.system_prompt = default_system_prompt(*fixture.spec);
  setup.user_prompt = task.task.prompt;
  setup.tools = fixture.environment->tools;
  setup.judge = [&task](const std::optional<std::string>& answer) { return task.judge(answer); };
  setup.task_id = task.task.task_id;
  setup.seed = seed;
  return setup;
}

}  // namespace gauntlet::bench
