#include "core/error.h"
#include "synth/agents.h"
#include "tests/bench/fixture.h"

namespace gauntlet::bench {
namespace {

struct Call {
  std::string tool;
  std::string arguments;
};

/// The tool calls that the oracle makes for a task, slips included, the submission not.
std::vector<Call> oracle_calls(const Fixture& fixture, const ReadyTask& task) {
  const auto model = make_agent("oracle", fixture.environment->planner, task.problem.problem(), 1);
  const CancelFlag never{false};
  const Episode episode = run_episode(*model, make_setup(fixture, task, 1), never);
  std::vector<Call> calls;
  for (const auto& message : episode.messages) {
    for (const auto& call : message.tool_calls) {
      if (call.name != fixture.spec->submit_tool) calls.push_back({.tool = call.name, .arguments = call.arguments});
    }
  }
  return calls;
}

}  // namespace

std::vector<Figure> bench_tools(const Settings& settings) {
  const Fixture fixture = make_fixture(settings, settings.quick ? 2 : 32);
  std::vector<std::vector<Call>> calls;
  for (const auto& task : fixture.tasks) calls.push_back(oracle_calls(fixture, *task));
  std::size_t bytes = 0;
  const auto play = [&](std::size_t task) {
    Session session(fixture.environment->runtime, fixture.tasks[task]->world);
    for (const auto& call : calls[task]) bytes += session.call(call.tool, call.arguments).content.size();
    return static_cast<double>(calls[task].size());
  };
  const int rounds = settings.quick ? 1 : 100;
  Figure same{.name = "tools.calls",
              .title = "tool calls in process, one core: the oracle's calls, from argument text to result text",
              .unit = "calls/s",
              .target = 300'000,
              .note = "an episode follows another of the same task"};
  same.samples = repeat(settings.repeats, [&] {
    double done = 0;
    for (std::size_t task = 0; task < calls.size(); ++task) {
      for (int round = 0; round < rounds; ++round) done += play(task);
    }
    return done;
  });
  Figure other{.name = "tools.calls_rotating", .title = "the same, every episode in another world than the one before", .unit = "calls/s"};
  other.samples = repeat(settings.repeats, [&] {
    double done = 0;
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t task = 0; task < calls.size(); ++task) done += play(task);
    }
    return done;
  });
  require(bytes > 0, ErrorKind::Internal, "the tools gave no text");
  return {same, other};
}

}  // namespace gauntlet::bench
