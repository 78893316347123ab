#include <fmt/format.h>
#include <malloc.h>

#include <fstream>

#include "core/error.h"
#include "synth/agents.h"
#include "tests/bench/fixture.h"

namespace gauntlet::bench {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

/// A line of /proc/self/status, in MiB.
double status_mib(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) / 1024.0;
  }
  fail(ErrorKind::Infrastructure, "/proc/self/status has no " + field);
}

struct InFlight {
  std::unique_ptr<ChatModel> model;
  EpisodeDriver driver;
  ChatReply last;  ///< the submission, given but not taken yet
};

/// Plays up to the agent's submission, which is held back: the conversation is as long as it gets.
InFlight play_to_the_end(const Fixture& fixture, const ReadyTask& task, std::uint64_t seed) {
  const CancelFlag never{false};
  InFlight flight{.model = make_agent("oracle", fixture.environment->planner, task.problem.problem(), seed), .driver = EpisodeDriver(make_setup(fixture, task, seed)), .last = {}};
  while (const ChatRequest* request = flight.driver.next_request()) {
    flight.last = flight.model->complete(*request, never);
    const auto& calls = flight.last.message.tool_calls;
    if (!calls.empty() && calls.front().name == fixture.spec->submit_tool) return flight;
    flight.driver.accept(std::move(flight.last));
  }
  fail(ErrorKind::Internal, "an oracle episode ended without a submission");
}

}  // namespace

std::vector<Figure> bench_memory(const Settings& settings) {
  const std::size_t episodes = settings.quick ? 20 : 10'000;
  const std::size_t samples = 16;  // Episodes of one task, as in groups for reinforcement learning.
  ::malloc_trim(0);
  const double before = status_mib("VmRSS");
  const Fixture fixture = make_fixture(settings, static_cast<int>((episodes + samples - 1) / samples));
  std::vector<InFlight> flights;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < episodes; ++i) flights.push_back(play_to_the_end(fixture, *fixture.tasks[i / samples], i));
  const double with_agents = status_mib("VmHWM") - before;
  for (auto& flight : flights) {
    for (const auto& message : flight.driver.next_request()->messages) {
      bytes += message.content.size() + message.reasoning.size();
      for (const auto& call : message.tool_calls) bytes += call.name.size() + call.arguments.size();
    }
    flight.model.reset();
  }
  ::malloc_trim(0);
  const double conversations = status_mib("VmRSS") - before;
  // Every one of them still goes on to a passing end.
  for (auto& flight : flights) {
    flight.driver.accept(std::move(flight.last));
    require(flight.driver.next_request() == nullptr && flight.driver.finish().score.value == 1.0, ErrorKind::Internal, "an episode did not pass after the wait");
  }
  const auto value = [&](double mib) { return std::vector<Sample>{{.wall_s = 0, .cpu_s = 0, .items = mib}}; };
  const std::string note = fmt::format("{} episodes of {} tasks, each at its last step, {:.0f} MiB of text in their conversations", episodes, fixture.tasks.size(), static_cast<double>(bytes) / kMiB);
  return {{.name = "memory.in_flight", .title = "peak growth of resident memory for 10,000 episodes in flight, their oracles and worlds included", .unit = "MiB", .quantity = Quantity::Value,
           .better = Better::Lower, .target = 2048, .samples = value(with_agents), .note = note},
          {.name = "memory.episodes", .title = "of that, without the oracles' own memory", .unit = "MiB", .quantity = Quantity::Value, .better = Better::Lower, .target = 0, .samples = value(conversations),
           .note = ""}};
}

}  // namespace gauntlet::bench
