#include "synth/neighbours.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/sha256.h"
#include "synth/synthesize.h"

namespace gauntlet {
namespace {

const EnvSpec& trip() {
  static const EnvSpec spec = load_builtin_domain("trip_planning");
  return spec;
}

const std::vector<Task>& some_tasks() {
  static const std::vector<Task> tasks = [] {
    std::vector<Task> made;
    SynthRequest request{.spec = std::make_shared<const EnvSpec>(trip()), .count = 3, .seed = 21};
    request.difficulty.level = 1;
    const CancelFlag never{false};
    synthesize(
        request, [&](const Task& task) { made.push_back(task); }, never);
    return made;
  }();
  return tasks;
}

std::string signature(const Task& task) { return solution_signature(task.problem, task.certificate["oracle_answer"]); }

/// A task of another id in the world of `like`, asking for less than it: the answer of `like` passes there.
Task without_clauses(const Task& like) {
  Task task = like;
  task.task_id = "trip_planning-0000000000000000";
  task.prompt += " Or otherwise.";
  task.problem["constraints"].erase(task.problem["constraints"].size() - 1);
  return task;
}

}  // namespace

TEST_CASE("a signature ignores wording, numbers and the order of constraints, and no more") {
  const Task& task = some_tasks()[0];
  Task other = task;
  other.prompt = "In other words.";
  auto& constraints = other.problem["constraints"];
  std::swap(constraints[0], constraints[constraints.size() - 1]);
  CHECK(signature(other) == signature(task));
  CHECK(task.certificate["signature_sha256"] == signature(task));
  Json problem = parse_json(R"({"slots": [], "constraints": [{"<": [{"attr": "price", "of": "h"}, {"const": 350}]}]})", "test");
  const std::string before = solution_signature(problem, "x");
  problem["constraints"][0]["<"][1]["const"] = 360;
  CHECK(solution_signature(problem, "x") == before);
  CHECK(solution_signature(problem, "y") != before);
  problem["constraints"][0]["<"][0]["attr"] = "rating";
  CHECK(solution_signature(problem, "x") != before);
}

TEST_CASE("a task like an earlier or a known one is a duplicate; a known one itself is not") {
  Neighbours neighbours(trip(), {});
  neighbours.know(some_tasks()[0]);
  CHECK(neighbours.refuse(some_tasks()[0]).empty());
  CHECK(neighbours.refuse(some_tasks()[0]) == "duplicate");  // drawn twice by one request
  Task same_prompt = some_tasks()[1];
  same_prompt.prompt = some_tasks()[0].prompt;
  CHECK(neighbours.refuse(same_prompt) == "duplicate");
  Task same_solution = some_tasks()[0];
  same_solution.task_id = "trip_planning-0123456789abcdef";
  same_solution.prompt = "In other words.";
  CHECK(neighbours.refuse(same_solution) == "duplicate");
  CHECK(neighbours.refuse(some_tasks()[1]).empty());
}

TEST_CASE("answers of several earlier tasks of the same form are tried, not only the last one") {
  Neighbours neighbours(trip(), {});
  for (const Task& task : some_tasks()) CHECK(neighbours.refuse(task).empty());
  Task lax = without_clauses(some_tasks()[0]);
  lax.certificate["oracle_answer"] = some_tasks()[1].certificate["oracle_answer"];
  CHECK(neighbours.refuse(lax) == "adversary_other_answer");
}

TEST_CASE("what a list names by id, signature or prompt is excluded") {
  const Task& task = some_tasks()[0];
  for (const std::string& entry : {task.task_id, signature(task), sha256_hex(task.prompt)}) {
    Neighbours neighbours(trip(), parse_exclusions("# a pack\n\n  " + entry + "  # one of it\r\n", "pack.txt"));
    CHECK(neighbours.refuse(task) == "excluded");
    CHECK(neighbours.refuse(some_tasks()[1]).empty());
  }
  CHECK_THROWS_WITH_AS(parse_exclusions("# x\nnonsense", "pack.txt"),
                       "pack.txt:2: found \"nonsense\"; accepted: a task id, a signature, or the sha-256 of a prompt (64 hex digits)", Error);
}

TEST_CASE("a store's tasks and a deny-list take part in a request") {
  SynthRequest request{.spec = std::make_shared<const EnvSpec>(trip()), .count = 3, .seed = 21};
  request.difficulty.level = 1;
  request.known = [](const std::function<void(const Task&)>& know) {
    Task known = some_tasks()[1];
    known.task_id = "trip_planning-0123456789abcdef";
    know(known);
  };
  request.excluded = {some_tasks()[0].task_id};
  std::vector<std::string> made;
  const CancelFlag never{false};
  const SynthReport report = synthesize(
      request, [&](const Task& task) { made.push_back(task.task_id); }, never);
  CHECK(report.dropped.at("excluded") == 1);
  CHECK(report.dropped.at("duplicate") == 1);
  REQUIRE(made.size() == 3);
  CHECK(made[0] == some_tasks()[2].task_id);
}

}  // namespace gauntlet
