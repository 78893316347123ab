#include "synth/gate.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "core/error.h"
#include "synth/solver.h"
#include "verifiers/render.h"
#include "verifiers/verify.h"

namespace gauntlet {

namespace {

Json json(const std::string& text) { return parse_json(text, "test"); }

std::shared_ptr<const EnvSpec> trip() {
  static const auto spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning"));
  return spec;
}

std::shared_ptr<const EnvSpec> changed_trip(const std::function<void(Json& tool)>& change) {
  Json document = trip()->source;
  for (auto& tool : document["tools"]) change(tool);
  std::erase_if(document["tools"].get_ref<Json::array_t&>(), [](const Json& tool) { return tool["name"] == "removed"; });
  return std::make_shared<const EnvSpec>(parse_env_spec(document, "test"));
}

const char* const kDay = R"([
  {"id": "c", "path": "/c", "noun": "city", "entity": "city"},
  {"id": "h", "path": "/h", "noun": "hotel", "entity": "hotel", "within": {"city": "c"}},
  {"id": "a", "path": "/a", "noun": "lunch", "entity": "restaurant", "within": {"city": "c"}},
  {"id": "b", "path": "/b", "noun": "dinner", "entity": "restaurant", "within": {"city": "c"}}])";

/// A hand-made candidate in a world of three cities with four hotels and five restaurants each.
struct Draft {
  std::shared_ptr<const EnvSpec> spec = trip();
  std::string clauses;
  int level = 1;
  std::uint64_t seed = 5;
  std::vector<DifficultyRange> accept = {};
  std::string objective = {};

  std::shared_ptr<const World> world() const {
    return build_world(*spec, {.seed = seed, .parameters = {{"cities", 3}}, .edits = Json::array()});
  }
  Candidate candidate() const {
    Candidate out;
    out.key = {.seed = seed, .parameters = {{"cities", 3}}, .edits = Json::array()};
    out.world = world();
    Json constraints = json(R"([{"all_different": [{"slot": "a"}, {"slot": "b"}]}])");
    out.base_constraints = 1;
    for (const auto& clause : json("[" + clauses + "]")) constraints.push_back(clause);
    out.problem_json = {{"slots", json(kDay)}, {"constraints", constraints}};
    if (!objective.empty()) out.problem_json["objective"] = json(objective);
    out.problem = parse_problem(out.problem_json, "");
    out.problem_json = to_json(out.problem);
    out.prompt = render_requirements(out.problem, *spec, "en");
    out.level = level;
    out.accept = accept;
    return out;
  }
  Gate::Outcome certify(GateOptions options = {}) const { return Gate(spec, options).certify(candidate()); }
};

std::string name(const World& world, const std::string& table, std::size_t row) {
  const WorldTable& data = world.tables[static_cast<std::size_t>(world.find_table(table))];
  return world.symbols.text(static_cast<std::int32_t>(data.columns[static_cast<std::size_t>(data.key_column)].cells[row]));
}

std::string equals(const std::string& slot, const std::string& text) {
  return R"({"==": [{"slot": ")" + slot + R"("}, {"const": ")" + text + R"("}]})";
}

constexpr const char* kTight =
    R"({"<": [{"sum": [{"attr": "price", "of": "a"}, {"attr": "price", "of": "b"}, {"attr": "price", "of": "h"}]}, {"const": 620}]},
                                  {">=": [{"attr": "rating", "of": "h"}, {"const": 3.1}]})";  // the rating alone is idle

Task certified(std::uint64_t seed = 5) {
  for (;; ++seed) {
    Gate::Outcome outcome = Draft{.clauses = kTight, .seed = seed}.certify();
    if (outcome.task) return std::move(*outcome.task);
  }
}

}  // namespace

TEST_CASE("a sound candidate becomes a task whose certificate holds what it must, and what can be counted again") {
  const Task task = certified();
  const Json& c = task.certificate;
  CHECK(task.task_id.starts_with("trip_planning-"));
  CHECK(task.task_id.size() == std::string("trip_planning-").size() + 16);
  CHECK(task.env_sha256 == trip()->sha256);
  const auto world = build_world(*trip(), task.world);
  const CompiledProblem compiled(parse_problem(task.problem, ""), *world);
  CHECK(c["version"] == 2);
  CHECK(c["log10_density_is_bound"] == false);
  CHECK(c["mutants"]["disagreements"] == 0);
  CHECK(c["mutants"]["tried"] == c["mutants"]["rejected"].get<int>() + c["mutants"]["harmless"].get<int>());
  CHECK(c["solution_count"] == solve(compiled).count);
  CHECK(c["solution_count_exact"] == true);
  CHECK(c["minimal_tool_calls"].get<int>() >= 3);
  CHECK(c["minimal_tool_calls"] == task.difficulty["vector"]["minimal_tool_calls"]);
  CHECK(c["random_tries"] == 1000);
  CHECK(c["random_pass_rate"].get<double>() == c["random_passes"].get<double>() / 1000);
  CHECK(c["true_negative_rate"] == 1.0);
  CHECK(c["true_positive_rate"] == 1.0);
  CHECK(c["true_negatives"]["tried"].get<int>() > 20);
  CHECK(c["true_positives"]["tried"].get<int>() >= 5);
  CHECK(c["optimum"].is_null());
  CHECK(c["adversaries"] == json(R"({"noop": 0, "constant": 0, "echo": 0, "random": 0, "greedy": 0})"));
  CHECK(c["kill_matrix"].size() == compiled.roots().size());
  CHECK(c["tool_fuzz"]["calls"].get<int>() > 100);
  CHECK(c["oracle"]["trace_sha256"].get<std::string>().size() == 64);
  CHECK(Verifier(compiled, *trip(), std::nullopt).passes(dump_json(c["oracle_answer"])));
  CHECK(task.difficulty["frame_constraints"] == 1);
  for (const auto& entry : difficulty_entries()) CHECK(task.difficulty["vector"].contains(entry));
  CHECK(task.difficulty["vector"].size() == difficulty_entries().size());
}

TEST_CASE("an optimum is certified exactly") {
  const std::string cheapest =
      R"({"minimise": {"sum": [{"attr": "price", "of": "h"}, {"attr": "price", "of": "a"}, {"attr": "price", "of": "b"}]}})";
  for (std::uint64_t seed = 5;; ++seed) {
    const Draft draft{
        .clauses = R"({">=": [{"attr": "rating", "of": "h"}, {"const": 3.1}]})", .seed = seed, .objective = cheapest};
    const auto outcome = draft.certify();
    if (!outcome.task) continue;
    const auto optimum = solve(CompiledProblem(draft.candidate().problem, *draft.world())).optimum;
    CHECK(certified_optimum(outcome.task->certificate) == optimum);
    CHECK(outcome.task->certificate["optimum"].get<double>() * 1000 == static_cast<double>(*optimum));
    break;
  }
}

TEST_CASE("a problem without an answer is dropped, with proof or for want of one") {
  const Draft impossible{.clauses = R"({"<": [{"attr": "price", "of": "h"}, {"const": 0}]})"};
  CHECK(impossible.certify().dropped == "unsolvable");
  CHECK_FALSE(impossible.certify().task.has_value());
  CHECK(Draft{.clauses = kTight}.certify({.random_tries = 10, .solver_nodes = 1}).dropped == "solver_limit");
}

TEST_CASE("a candidate outside the difficulty asked for is dropped, and says by which entry") {
  const auto drop = [](const std::string& entry, double low, double high) {
    const auto outcome = Draft{.clauses = kTight, .accept = {{.name = entry, .low = low, .high = high}}}.certify();
    CHECK(outcome.dropped == "difficulty");
    return outcome.detail;
  };
  CHECK(drop("log10_density", 1, 2).starts_with("log10_density -"));
  CHECK(drop("minimal_tool_calls", 100, 200).starts_with("minimal_tool_calls "));
}

TEST_CASE("an entry of the difficulty vector that is measured last still decides") {
  for (std::uint64_t seed = 5;; ++seed) {
    if (!Draft{.clauses = kTight, .seed = seed}.certify().task) continue;
    const auto outcome = Draft{.clauses = kTight, .seed = seed, .accept = {{.name = "hops", .low = 7, .high = 9}}}.certify();
    CHECK(outcome.dropped == "difficulty");
    CHECK(outcome.detail == "hops 3");
    CHECK(Draft{.clauses = kTight, .seed = seed, .accept = {{.name = "hops", .low = 3, .high = 3}}}.certify().task.has_value());
    break;
  }
}

TEST_CASE("a verdict that rests on what no tool shows is not observable") {
  const auto blind = changed_trip([](Json& tool) {
    if (tool["name"] == "get_infos_by_hotel") tool["name"] = "removed";
  });
  CHECK(Draft{.spec = blind, .clauses = kTight}.certify().dropped == "not_observable");
}

TEST_CASE("what random answers pass too often is dropped; level 1 is allowed more") {
  const std::string weak = R"({">=": [{"attr": "price", "of": "h"}, {"const": 500}]})";
  const auto outcome = Draft{.clauses = weak, .level = 2}.certify();
  CHECK(outcome.dropped == "random_passes");
  CHECK(outcome.detail.ends_with(" of 1000 random answers pass"));
  CHECK(Draft{.clauses = R"({">=": [{"attr": "price", "of": "h"}, {"const": 200}]})", .level = 1}.certify().dropped ==
        "random_passes");
}

TEST_CASE("clauses on a group of slots that exclude next to nothing there are idle") {
  const auto grouped = [](const std::string& clauses) {
    Candidate candidate = Draft{.clauses = clauses, .seed = 9}.candidate();
    for (auto& slot : candidate.problem_json["slots"]) slot["group"] = slot["id"] == "h" ? "the night" : "the day";
    candidate.problem = parse_problem(candidate.problem_json, "");
    candidate.prompt = render_requirements(candidate.problem, *trip(), "en");
    return candidate;
  };
  const auto idle =
      Gate(trip(), {}).certify(grouped(std::string(kTight) + R"(, {">=": [{"attr": "price", "of": "h"}, {"const": 1}]})"));
  CHECK(idle.dropped == "idle_clauses");
  CHECK(idle.detail.starts_with("the clauses on the night leave "));
  const auto active =
      Gate(trip(), {})
          .certify(grouped(
              R"({">=": [{"attr": "price", "of": "h"}, {"const": 500}]}, {"<": [{"attr": "price", "of": "a"}, {"const": 200}]})"));
  CHECK(active.dropped != "idle_clauses");
}

TEST_CASE("a tool that cannot be called with good arguments is a fault") {
  const auto broken = changed_trip([](Json& tool) {
    if (tool["name"] == "get_weather_by_city_date")
      tool["checks"][1]["unless"] = "SELECT 1 FROM weather WHERE city = :city AND date = :date AND high_c > 500";
  });
  const auto outcome = Draft{.spec = broken, .clauses = kTight}.certify();
  CHECK(outcome.dropped == "tool_fault");
  CHECK(outcome.detail.starts_with("get_weather_by_city_date could not be called with {\"city\""));
}

TEST_CASE("an oracle that is not shown enough fails, and the task with it") {
  // The tool claims to list all hotels but keeps all but the first to itself.
  const auto secretive = changed_trip([](Json& tool) {
    if (tool["name"] == "get_all_hotels_by_city")
      tool["statements"][0] = "SELECT name FROM hotel WHERE city = :city ORDER BY rowid LIMIT 1";
  });
  std::set<std::string> reasons;
  for (std::uint64_t seed = 1; seed < 8; ++seed) {
    const auto world = Draft{.spec = secretive, .seed = seed}.world();
    const Draft draft{
        .spec = secretive,
        .clauses = equals("h", name(*world, "hotel", 1)) + R"(, {"<": [{"attr": "price", "of": "a"}, {"const": 200}]})",
        .seed = seed};
    reasons.insert(draft.certify().dropped);
    const Draft later{.spec = secretive,
                      .clauses = R"({"not": )" + equals("h", name(*world, "hotel", 0)) + R"(}, {"not": )" +
                                 equals("h", name(*world, "hotel", 4)) + R"(}, {"not": )" +
                                 equals("h", name(*world, "hotel", 8)) + "}, " + kTight,
                      .seed = seed};
    reasons.insert(later.certify().dropped);
  }
  CHECK(reasons.contains("oracle_failed"));
}

TEST_CASE("what the greedy or the random agent passes is dropped") {
  std::set<std::string> reasons;
  for (std::uint64_t seed = 1; seed < 60; ++seed) {
    reasons.insert(Draft{.clauses = R"({">=": [{"attr": "rating", "of": "h"}, {"const": 4}]})", .seed = seed}
                       .certify({.random_tries = 100, .solver_nodes = 100'000})
                       .dropped);
  }
  CHECK(reasons.contains("adversary_greedy"));
  CHECK(reasons.contains("adversary_random"));
  CHECK(reasons.contains(""));
}

TEST_CASE("what the prompt gives away needs no tools") {
  std::set<std::string> reasons;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const auto world = Draft{.seed = seed}.world();
    const Draft draft{.clauses = equals("c", name(*world, "city", 0)) + ", " + equals("h", name(*world, "hotel", 2)) + ", " +
                                 equals("a", name(*world, "restaurant", 3)) + ", " + equals("b", name(*world, "restaurant", 1)),
                      .seed = seed};
    reasons.insert(draft.certify().dropped);
  }
  CHECK(reasons.contains("solvable_without_tools"));
  CHECK_FALSE(reasons.contains(""));
}

TEST_CASE("a world that its key does not rebuild is not reproducible") {
  for (std::uint64_t seed = 5;; ++seed) {
    Candidate candidate = Draft{.clauses = kTight, .seed = seed}.candidate();
    if (!Gate(trip(), {}).certify(candidate).task) continue;
    candidate.key.parameters["days"] = 4;  // more weather: the same cities and venues, other bytes
    CHECK(Gate(trip(), {}).certify(candidate).dropped == "not_reproducible");
    break;
  }
}

TEST_CASE("certifying again gives the same bytes, on the same gate and on another, whatever its options") {
  const Task task = certified();
  Gate gate(trip(), {.random_tries = 7, .solver_nodes = 99});
  const auto again = gate.recertify(task);
  REQUIRE(again.task.has_value());
  CHECK(dump_json(to_json(*again.task)) == dump_json(to_json(task)));
  CHECK(dump_json(to_json(*gate.recertify(certified(900)).task)) == dump_json(to_json(certified(900))));
}

TEST_CASE("certifying again notices changes of the world, the problem and the prompt") {
  const Task task = certified();
  Gate gate(trip(), {});
  const auto differs = [&](const std::function<void(Task&)>& change) {
    Task other = task;
    change(other);
    const auto outcome = gate.recertify(other);
    return !outcome.task || outcome.task->task_id != task.task_id || outcome.task->certificate != task.certificate;
  };
  CHECK_FALSE(differs([](Task&) {}));
  CHECK(differs([](Task& t) { t.world.seed += 1; }));
  CHECK(differs([](Task& t) { t.prompt += " "; }));
  CHECK(differs([](Task& t) { t.problem["constraints"].erase(2); }));
  const auto world = build_world(*trip(), task.world);
  CHECK(differs([&](Task& t) {
    t.world.edits.push_back({{"table", "hotel"}, {"key", name(*world, "hotel", 0)}, {"column", "rating"}, {"value", 3.3}});
  }));
}

TEST_CASE("the verifier's hash covers the problem and the optimum") {
  const Json problem = json(R"({"slots": [], "constraints": []})");
  CHECK(verifier_hash(problem, std::nullopt) == verifier_hash(json(R"({"constraints": [], "slots": []})"), std::nullopt));
  CHECK(verifier_hash(problem, std::nullopt) != verifier_hash(problem, 0));
  CHECK(verifier_hash(problem, 1000) != verifier_hash(problem, 2000));
}

TEST_CASE("no clock decides about a task: the gate's episodes are limited by steps and calls alone") {
  CHECK(gate_limits().max_wall_ms > 365LL * 24 * 3600 * 1000);
  CHECK(gate_limits().max_steps > 0);
  CHECK(gate_limits().max_tool_calls > 0);
  CHECK(gate_limits().max_cost == 0.0);
}

TEST_CASE("a gate that is told to stop says so, whatever it had found") {
  const CancelFlag stopped{true};
  CHECK(Gate(trip(), {}).certify(Draft{.clauses = kTight}.candidate(), stopped).dropped == "cancelled");
  CHECK(Gate(trip(), {}).recertify(certified(), stopped).dropped == "cancelled");
}

}  // namespace gauntlet
