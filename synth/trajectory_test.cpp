#include "synth/trajectory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "core/error.h"
#include "core/sha256.h"
#include "envs/env_spec.h"
#include "synth/blueprint.h"
#include "synth/seed_ranges.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

const CancelFlag kNever{false};

TrajectoryRequest request(std::uint64_t seed = 1) {
  static const auto kSpec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  TrajectoryRequest out;
  out.spec = kSpec;
  out.system_prompt = "Use the tools.";
  out.levels = {{1, 3}, {2, 1}};
  out.thinking_weight = 3;
  out.chat_weight = 1;
  out.seed = seed;
  return out;
}

std::string text_of(const Trajectory& trajectory) {
  std::string out = trajectory.task_id;
  for (const auto& message : trajectory.messages) out += dump_json(to_json(message)) + "\n";
  return out;
}

TEST_CASE("a document is a function of seed and number: a whole episode that ends with a submission") {
  const TrajectorySource source(request()), again(request()), other(request(2));
  std::map<int, int> levels;
  std::map<ThinkingMode, int> modes;
  std::set<std::string> tasks;
  for (std::uint64_t i = 0; i < 60; ++i) {
    const auto made = source.make(i, kNever);
    REQUIRE(made.trajectory.has_value());
    const Trajectory& trajectory = *made.trajectory;
    CHECK(text_of(trajectory) == text_of(*again.make(i, kNever).trajectory));
    if (i < 5) CHECK(text_of(trajectory) != text_of(*other.make(i, kNever).trajectory));
    ++levels[trajectory.level];
    ++modes[trajectory.mode];
    CHECK(tasks.insert(trajectory.task_id).second);
    const auto& messages = trajectory.messages;
    REQUIRE(messages.size() >= 4);
    CHECK(messages[0].role == Role::System);
    CHECK(messages[0].content == "Use the tools.");
    CHECK(messages[1].role == Role::User);
    CHECK(messages.back().role == Role::Tool);
    CHECK(messages.back().content == R"({"submitted":true})");
    const bool thinks = std::any_of(messages.begin(), messages.end(), [](const Message& message) { return !message.reasoning.empty(); });
    CHECK(thinks == (trajectory.mode == ThinkingMode::Thinking));
  }
  // 45 and 15 are expected of both.
  CHECK(levels[1] > 30);
  CHECK(levels[2] > 5);
  CHECK(modes[ThinkingMode::Thinking] > 30);
  CHECK(modes[ThinkingMode::Chat] > 5);
}

TEST_CASE("training and evaluation draw different worlds and tasks from equal seeds") {
  std::set<std::uint64_t> evaluation, training;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    for (std::uint64_t draw = 0; draw < 200; ++draw) {
      evaluation.insert(evaluation_draw_seed(seed, draw));
      for (std::uint64_t attempt = 0; attempt < 3; ++attempt) training.insert(training_draw_seed(seed, draw, attempt));
    }
  }
  CHECK(evaluation.size() == 8000);
  CHECK(training.size() == 24000);
  CHECK(std::none_of(training.begin(), training.end(), [&](std::uint64_t seed) { return evaluation.contains(seed); }));

  const TrajectoryRequest wanted = request();
  std::set<std::string> evaluated, prompts;
  std::set<std::uint64_t> worlds;
  DifficultyRequest difficulty;
  difficulty.level = 1;
  for (std::uint64_t draw = 0; draw < 100; ++draw) {
    const auto candidate = draw_candidate(*wanted.spec, difficulty, "", evaluation_draw_seed(wanted.seed, draw));
    if (!candidate) continue;
    evaluated.insert(task_id_of(*wanted.spec, content_hash(*wanted.spec, *candidate)));
    worlds.insert(candidate->key.seed);
  }
  CHECK(evaluated.size() > 90);
  const TrajectorySource source(wanted);
  for (std::uint64_t i = 0; i < 100; ++i) {
    const auto made = source.make(i, kNever);
    REQUIRE(made.trajectory.has_value());
    CHECK_FALSE(evaluated.contains(made.trajectory->task_id));
  }
  CHECK(evaluation_draw_seed(kFirstEvaluationSeed, 0) == mix_seed(1, 0));  // What stores hold stays what it is.
  CHECK(kLastEvaluationSeed == 999'999);
}

TEST_CASE("tasks and prompts that are excluded are replaced by others and counted") {
  const auto first = TrajectorySource(request()).make(0, kNever);
  REQUIRE(first.trajectory.has_value());
  for (const std::string& excluded : {first.trajectory->task_id, sha256_hex(first.trajectory->messages[1].content)}) {
    TrajectoryRequest wanted = request();
    wanted.excluded = {excluded};
    const auto made = TrajectorySource(wanted).make(0, kNever);
    REQUIRE(made.trajectory.has_value());
    CHECK(made.trajectory->task_id != first.trajectory->task_id);
    CHECK(made.dropped.at("excluded") == 1);
  }
}

TEST_CASE("tasks with an objective are solved first, so that only optimal answers are let through") {
  TrajectoryRequest wanted = request();
  wanted.levels = {{5, 1}};
  const TrajectorySource source(wanted);
  int made = 0;
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto outcome = source.make(i, kNever);
    if (!outcome.trajectory) continue;
    ++made;
    CHECK(outcome.trajectory->messages[1].content.find("as possible") != std::string::npos);
  }
  CHECK(made == 5);
}

TEST_CASE("a document that is cancelled says so") {
  const CancelFlag cancelled{true};
  CHECK(TrajectorySource(request()).make(0, cancelled).cancelled);
}

TEST_CASE("levels that do not exist and weights of nothing are refused") {
  TrajectoryRequest wanted = request();
  wanted.levels = {{7, 1}};
  CHECK_THROWS_WITH_AS(TrajectorySource{wanted}, doctest::Contains("has no level 7; accepted: 1, 2"), Error);
  wanted.levels = {{1, 0}};
  CHECK_THROWS_AS(TrajectorySource{wanted}, Error);
  wanted = request();
  wanted.thinking_weight = wanted.chat_weight = 0;
  CHECK_THROWS_AS(TrajectorySource{wanted}, Error);
}

TEST_CASE("a misspelt member of the templates is refused") {
  TrajectoryRequest wanted = request();
  Json document = wanted.spec->source;
  document["tasks"]["levels"]["1"]["objektive"] = {{"minimise", 1}};
  wanted.spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  CHECK_THROWS_WITH_AS(TrajectorySource{wanted}, doctest::Contains("/tasks/levels/1/objektive: unknown member"), Error);
}

}  // namespace
}  // namespace gauntlet
