#include "synth/probes.h"

#include <doctest/doctest.h>

#include "synth/solver.h"

namespace gauntlet {

namespace {

const std::shared_ptr<const EnvSpec>& trip() {
  static const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  return spec;
}

/// A candidate with its problem bound to its world.
struct Bound {
  Candidate candidate;
  CompiledProblem problem;
  Verifier verifier;

  explicit Bound(Candidate given)
      : candidate(std::move(given)), problem(candidate.problem, *candidate.world), verifier(problem, *trip(), std::nullopt) {}
};

Candidate draw(int level) {
  for (std::uint64_t seed = 0;; ++seed) {
    if (auto candidate = draw_candidate(*trip(), {.level = level, .ranges = {}}, "", seed)) return std::move(*candidate);
  }
}

Candidate frame_of(Candidate candidate) {
  candidate.problem.constraints.resize(candidate.base_constraints);
  return candidate;
}

}  // namespace

TEST_CASE("every tool answers good and broken arguments with JSON, and the broken ones are refused") {
  const Planner planner(*trip());
  const auto world = build_world(*trip(), {.seed = 1, .parameters = Json::object(), .edits = Json::array()});
  const ToolFuzz report = fuzz_tools(std::make_shared<EnvRuntime>(trip()), world, planner, Rng(1));
  CHECK(report.problem.empty());
  CHECK(report.calls > 14 * 6);
  CHECK(report.errors > 14 * 5);
  CHECK(report.errors <= report.calls - 14);  // each of the fourteen worked at least once
}

TEST_CASE("a write that succeeds does not spoil the tries of other tools") {
  Json document = trip()->source;
  Json cleaner = document["tools"][0];
  cleaner["name"] = "close_all_hotels";
  cleaner["effect"] = "write";
  cleaner["parameters"] = {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  cleaner["checks"] = Json::array();
  cleaner["statements"] = {"DELETE FROM hotel", "SELECT count(*) AS left FROM hotel"};
  cleaner["result"] = {{"shape", "object"}, {"columns", {"left"}}};
  cleaner["reads"] = {{"hotel", {"name"}}};
  cleaner["writes"] = {{"hotel", {{"delete", true}}}};
  cleaner.erase("reveals");
  document["tools"].insert(document["tools"].begin(), cleaner);
  const auto spec = std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
  const Planner planner(*spec);
  const auto runtime = std::make_shared<EnvRuntime>(spec);
  const auto world = build_world(*spec, {.seed = 1, .parameters = Json::object(), .edits = Json::array()});
  REQUIRE_FALSE(Session(runtime, world).call("close_all_hotels", "{}").is_error);
  CHECK(fuzz_tools(runtime, world, planner, Rng(1)).problem == "");
}

TEST_CASE(
    "random answers respect the frame, so they pass whatever asks for no more, and pass at the rate of the solution density") {
  Bound frame(frame_of(draw(1)));
  // One day: the frame is dates, city and two different restaurants; only equal restaurants fail.
  const int passes = random_passes(frame.verifier, frame.problem, frame.problem, 2000, Rng(3));
  CHECK(passes > 1500);
  CHECK(passes < 1700);

  Bound task(draw(1));
  const double solutions = static_cast<double>(solve(task.problem).count);
  const double all = static_cast<double>(solve(frame.problem).count);
  const int hits = random_passes(task.verifier, task.problem, frame.problem, 4000, Rng(4));
  CHECK(hits / 4000.0 == doctest::Approx(0.8 * solutions / all).epsilon(0.2));
  CHECK(random_passes(task.verifier, task.problem, frame.problem, 500, Rng(4)) ==
        random_passes(task.verifier, task.problem, frame.problem, 500, Rng(4)));
}

TEST_CASE("a sound verifier has no error, and one that judges another task is caught") {
  Bound task(draw(2));
  Rng rng(1);
  const std::vector<std::vector<SlotValue>> answers = {*find_answer(task.problem, rng).answer,
                                                       *find_answer(task.problem, rng).answer};
  const MutantReport sound = measure_verifier(task.verifier, task.problem, answers, std::nullopt, Rng(1));
  CHECK(sound.problem.empty());
  CHECK(sound.rejected == sound.tried);
  CHECK(sound.accepted == sound.equivalents);
  CHECK(sound.tried > 20);
  CHECK(sound.disagreements == 0);
  CHECK(sound.mutants == sound.mutants_rejected + sound.harmless);
  CHECK(sound.judged > sound.harmless + 40);
  CHECK(sound.equivalents >= 10);
  CHECK(sound.kill_matrix.size() == task.problem.roots().size());

  // Without the clauses near misses are let through; with a clause too many right answers are refused.
  Bound lax(frame_of(task.candidate));
  const MutantReport loose = measure_verifier(lax.verifier, task.problem, answers, std::nullopt, Rng(1));
  CHECK(loose.rejected < loose.tried);
  CHECK(loose.problem.find("was accepted") != std::string::npos);
  CHECK(loose.disagreements > 0);
  Candidate more = task.candidate;
  Node impossible{.kind = NodeKind::Not};
  impossible.children = {more.problem.constraints.front()};
  more.problem.constraints.push_back(impossible);
  Bound strict(std::move(more));
  CHECK(measure_verifier(strict.verifier, task.problem, answers, std::nullopt, Rng(1)).accepted == 0);
}

TEST_CASE("the difficulty vector counts what its names say") {
  const Bound task(draw(2));
  const Json vector = difficulty_vector(task.candidate, task.problem,
                                        {.log10_density = -2.34567, .minimal_tool_calls = 12, .evidence_bytes = 402});
  CHECK(vector["log10_density"] == -2.3457);
  CHECK(vector["minimal_tool_calls"] == 12);
  CHECK(vector["evidence_tokens"] == 100);
  CHECK(vector["answer_size"] == 12);
  CHECK(vector["hops"] == 3);  // a city, a venue in it, a fact of the venue
  // Ten entity slots over 8 cities and 8 times 4 + 5 + 4 venues.
  CHECK(vector["distractor_share"].get<double>() == doctest::Approx(1.0 - 10.0 / (8 + 8 * 13)).epsilon(0.001));
  const Bound frame(frame_of(draw(2)));
  CHECK(difficulty_vector(frame.candidate, frame.problem, {})["active_constraints"] == 0);
  CHECK(vector["active_constraints"].get<int>() >= 4);
}

}  // namespace gauntlet
