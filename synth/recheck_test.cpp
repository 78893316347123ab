#include "synth/recheck.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <sstream>

#include "core/error.h"
#include "synth/synthesize.h"

namespace gauntlet {

namespace {

const std::deque<Task>& some_tasks() {
  static const std::deque<Task> tasks = [] {
    std::deque<Task> made;
    SynthRequest request{.spec = std::make_shared<const EnvSpec>(load_builtin_domain("trip_planning")), .count = 3, .seed = 11};
    request.difficulty.level = 2;
    const CancelFlag never{false};
    synthesize(
        request, [&](const Task& task) { made.push_back(task); }, never);
    return made;
  }();
  return tasks;
}

const EnvSpec& trip() {
  static const EnvSpec spec = load_builtin_domain("trip_planning");
  return spec;
}

std::string verdicts(const std::deque<Task>& tasks) {
  std::string lines;
  for (auto it = tasks.rbegin(); it != tasks.rend(); ++it) lines += dump_json(to_json(*it)) + "\n";
  std::istringstream in(lines);
  std::ostringstream out;
  recheck_tasks(trip(), in, out);
  return out.str();
}

/// Another process that answers with these lines, whatever it is sent.
std::vector<std::string> answering(const std::string& lines) {
  return {"/bin/sh", "-c", "printf '%s' \"$1\"; cat > /dev/null", "sh", lines};
}

std::string problem_of(const std::vector<std::string>& command, const std::deque<Task>& tasks) {
  std::signal(SIGPIPE, SIG_IGN);  // as the program does
  try {
    RecheckProcess process(command, trip());
    process.check(tasks);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("each task is rebuilt from its text alone: hashes of world and verifier, the oracle's answer passes, none fails") {
  const std::string lines = verdicts(some_tasks());
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 3);
  const Json& last = some_tasks().back().certificate;
  CHECK(lines.starts_with(last["world_sha256"].get<std::string>() + " " + last["verifier_sha256"].get<std::string>() +
                          " pass fail\n"));
}

TEST_CASE("a process that comes to the same is accepted") {
  CHECK(problem_of(answering(verdicts(some_tasks())), some_tasks()) == "accepted");
}

TEST_CASE("a changed world, optimum or answer is noticed, and the task named") {
  const std::string good = verdicts(some_tasks());
  const auto noticed = [&](const std::function<void(Task&)>& change) {
    std::deque<Task> tasks = some_tasks();
    change(tasks.back());
    const std::string problem = problem_of(answering(verdicts(tasks)), some_tasks());
    return problem.starts_with("task " + some_tasks().back().task_id + " is not reproducible in another process");
  };
  CHECK(noticed([](Task& task) { task.world.seed ^= 1; }));
  CHECK(noticed([](Task& task) { task.certificate["optimum_thousandths"] = 5; }));
  CHECK(noticed([](Task& task) { task.certificate["oracle_answer"] = Json::array(); }));
  CHECK(noticed([](Task& task) { task.problem["constraints"].erase(task.problem["constraints"].size() - 1); }));
}

TEST_CASE("a process that ends early or cannot be started is an infrastructure fault") {
  CHECK(problem_of({"/bin/false"}, some_tasks()) == "the process that re-checks tasks ended early");
  CHECK(problem_of({"/no/such/program"}, some_tasks())
            .starts_with("could not start /no/such/program for the check in another process"));
}

}  // namespace gauntlet
