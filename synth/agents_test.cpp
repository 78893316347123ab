#include "synth/agents.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "agent/rollout.h"
#include "core/error.h"
#include "synth/blueprint.h"
#include "synth/solver.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

struct Arena {
  std::shared_ptr<const EnvSpec> spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  Planner planner{*spec};
  std::shared_ptr<EnvRuntime> runtime = std::make_shared<EnvRuntime>(spec);
  std::shared_ptr<const std::vector<ToolSpec>> tools = std::make_shared<const std::vector<ToolSpec>>(spec->tool_specs());
  Candidate candidate;

  explicit Arena(int level = 3) {
    for (std::uint64_t seed = 0;; ++seed) {
      if (auto drawn = draw_candidate(*spec, {.level = level, .ranges = {}}, "", seed)) {
        candidate = std::move(*drawn);
        return;
      }
    }
  }

  Episode play(ChatModel& model) const {
    const CompiledProblem compiled(candidate.problem, *candidate.world);
    Verifier verifier(compiled, *spec, std::nullopt);
    EpisodeSetup setup{.session = Session(runtime, candidate.world), .user_prompt = candidate.prompt, .tools = tools};
    setup.judge = [&](const std::optional<std::string>& answer) { return verifier.verify(answer); };
    const CancelFlag never{false};
    return run_episode(model, std::move(setup), never);
  }
  Episode play(const std::string& agent, std::uint64_t seed = 1) const {
    return play(*make_agent(agent, planner, candidate.problem, seed));
  }

  std::string cell(const std::string& table, const std::string& key, const std::string& column) const {
    const int number = candidate.world->find_table(table);
    const int row = candidate.world->find_row(number, key);
    if (row < 0) return "no such row";
    const WorldTable& data = candidate.world->tables[static_cast<std::size_t>(number)];
    return candidate.world->symbols.text(static_cast<std::int32_t>(
        data.columns[static_cast<std::size_t>(data.find_column(column))].cells[static_cast<std::size_t>(row)]));
  }

  /// Every day's venues exist and lie in that day's city.
  bool well_placed(const Episode& episode) const {
    const Json answer = Json::parse(*episode.answer);
    bool good = answer.size() == 3;
    for (const auto& day : answer) {
      const std::string city = day["city"].get<std::string>();
      good = good && candidate.world->find_row(candidate.world->find_table("city"), city) >= 0;
      good = good && cell("hotel", day["hotel"].get<std::string>(), "city") == city;
      good = good && cell("restaurant", day["afternoon_restaurant"].get<std::string>(), "city") == city;
      good = good && cell("restaurant", day["evening_restaurant"].get<std::string>(), "city") == city;
      good = good && cell("attraction", day["afternoon_attraction"].get<std::string>(), "city") == city;
    }
    return good;
  }
};

}  // namespace

TEST_CASE("the no-op agent says it is done and hands in nothing") {
  const Episode episode = Arena().play("noop");
  CHECK(episode.stop == StopReason::Answered);
  CHECK_FALSE(episode.answer.has_value());
  CHECK(episode.tool_calls == 0);
  CHECK(episode.score.scored);
  CHECK(episode.score.value == 0.0);
}

TEST_CASE("the constant agent hands in an empty answer") {
  const Episode episode = Arena().play("constant");
  CHECK(episode.stop == StopReason::Submitted);
  CHECK(*episode.answer == "[]");
  CHECK(episode.score.value == 0.0);
}

TEST_CASE("the echo agent hands in the task's own words") {
  const Arena arena;
  const Episode episode = arena.play("echo");
  CHECK(*episode.answer == arena.candidate.prompt);
  CHECK(episode.score.value == 0.0);
}

TEST_CASE("the random agent looks around and hands in well-placed names that differ from seed to seed") {
  const Arena arena;
  std::set<std::string> answers;
  int placed = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const Episode episode = arena.play("random", seed);
    REQUIRE(episode.answer.has_value());
    CHECK(episode.tool_errors == 0);
    CHECK(episode.tool_calls > 3);
    answers.insert(*episode.answer);
    placed += arena.well_placed(episode) ? 1 : 0;
  }
  CHECK(answers.size() == 30);
  CHECK(placed > 0);
  CHECK(*arena.play("random", 3).answer == *arena.play("random", 3).answer);
}

TEST_CASE("the greedy agent sees all and takes the first that fits its place, the next for the next day") {
  const Arena arena;
  const Episode episode = arena.play("greedy");
  CHECK(arena.well_placed(episode));
  const Json answer = Json::parse(*episode.answer);
  std::set<std::string> cities;
  for (std::size_t day = 0; day < 3; ++day) {
    cities.insert(answer[day]["city"].get<std::string>());
    CHECK(answer[day]["time"] ==
          format_date(*parse_date(answer[0]["time"].get<std::string>()) + static_cast<std::int64_t>(day)));
  }
  CHECK(cities.size() == 3);
  CHECK(*arena.play("greedy", 1).answer == *arena.play("greedy", 2).answer);
}

TEST_CASE("the oracle is an agent like the others, and passes") {
  const Episode episode = Arena().play("oracle");
  CHECK(episode.score.value == 1.0);
}

TEST_CASE("a replay repeats recorded messages call by call and then stops") {
  const Arena arena;
  const Episode first = arena.play("oracle", 4);
  std::vector<Message> messages;
  for (const auto& message : first.messages) {
    if (message.role == Role::Assistant) messages.push_back(message);
  }
  const Episode again = arena.play(*make_replay_agent(messages));
  CHECK(*again.answer == *first.answer);
  CHECK(again.messages == first.messages);
  messages.pop_back();
  const Episode cut = arena.play(*make_replay_agent(messages));
  CHECK(cut.stop == StopReason::Answered);
  CHECK(cut.messages.back().content == "Done.");
}

TEST_CASE("an unknown agent is a usage error that suggests the nearest") {
  const Arena arena;
  try {
    make_agent("gredy", arena.planner, arena.candidate.problem, 1);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::Usage);
    CHECK(std::string(error.what()) ==
          "unknown agent \"gredy\" (did you mean \"greedy\"?); accepted: oracle, tutor, noop, constant, echo, random, greedy");
  }
}

TEST_CASE("every agent describes itself for the record of a run") {
  const Arena arena;
  for (const auto& name : agent_names())
    CHECK(make_agent(name, arena.planner, arena.candidate.problem, 1)->describe()["kind"] == name);
  CHECK(make_replay_agent({})->describe()["kind"] == "replay");
}

}  // namespace gauntlet
