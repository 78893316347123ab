#include "cli/environments.h"

#include <fmt/format.h>

#include "core/error.h"
#include "synth/gate.h"

namespace gauntlet {
namespace {

constexpr std::size_t kKeptTasks = 64;
constexpr std::size_t kSuggestedFrom = 1000;  // tasks among which the nearest is looked for

}  // namespace

Environment::Environment(std::shared_ptr<const EnvSpec> given)
    : spec(std::move(given)),
      runtime(std::make_shared<EnvRuntime>(spec)),
      tools(std::make_shared<const std::vector<ToolSpec>>(spec->tool_specs())),
      planner(*spec) {}

ReadyTask::ReadyTask(Task given, const Environment& of)
    : task(std::move(given)),
      environment(&of),
      world(build_world(*of.spec, task.world)),
      optimum(certified_optimum(task.certificate)),
      problem(parse_problem(task.problem, ""), *world) {}

Score ReadyTask::judge(const std::optional<std::string>& answer) const {
  return Verifier(problem, *environment->spec, optimum).verify(answer);
}

const Environment& TaskShelf::environment_locked(const std::string& env_sha256) {
  auto& place = environments_[env_sha256];
  if (!place) {
    const Json source = store_.get_environment(env_sha256);
    place = std::make_unique<Environment>(
        std::make_shared<const EnvSpec>(parse_env_spec(source, fmt::format("environment {:.12} of {}", env_sha256, store_.path()))));
  }
  return *place;
}

const Environment& TaskShelf::environment(const std::string& env_sha256) {
  const std::lock_guard lock(mutex_);
  return environment_locked(env_sha256);
}

std::shared_ptr<const ReadyTask> TaskShelf::task(const std::string& task_id) {
  std::unique_lock lock(mutex_);
  for (auto it = recent_.begin(); it != recent_.end(); ++it) {
    if ((*it)->task.task_id != task_id) continue;
    recent_.splice(recent_.begin(), recent_, it);
    return recent_.front();
  }
  Task found = get_task(store_, task_id);
  const Environment& of = environment_locked(found.env_sha256);
  lock.unlock();  // Building worlds is what takes the time.
  auto ready = std::make_shared<const ReadyTask>(std::move(found), of);
  lock.lock();
  recent_.push_front(ready);
  if (recent_.size() > kKeptTasks) recent_.pop_back();
  return ready;
}

EnvironmentInfos TaskShelf::infos() {
  EnvironmentInfos infos;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, sha256] : store_.list_environments()) {
    const EnvSpec& spec = *environment_locked(sha256).spec;
    infos[sha256] = {.name = name, .tools = spec.tool_specs(), .system_prompt = default_system_prompt(spec)};
  }
  return infos;
}

void TaskShelf::require_run(const std::string& run_id) {
  const std::lock_guard lock(mutex_);
  get_run(store_, run_id);
}

std::vector<Message> TaskShelf::assistant_messages(const std::string& run_id, const Store::Slot& slot) {
  const std::lock_guard lock(mutex_);
  std::vector<Message> messages;
  store_.for_each_episode({.run_id = run_id, .task_id = slot.task_id}, [&](const StoredEpisode& stored) {
    if (stored.episode.sample != slot.sample) return;
    messages.clear();
    for (const auto& message : stored.episode.messages) {
      if (message.role == Role::Assistant) messages.push_back(message);
    }
  });
  return messages;
}

std::string default_system_prompt(const EnvSpec& spec) {
  return fmt::format(
      "You solve tasks with tools. Everything that you need to know of this world is in the tools; take no name or number from memory. "
      "Call several tools at once where the calls do not depend on each other. A result that holds \"error\" says what was wrong with "
      "the call. Check every requirement before you hand in your answer by calling {}; that ends the task.",
      spec.submit_tool);
}

Task get_task(const Store& store, const std::string& task_id) {
  auto task = store.find_task(task_id);
  if (task) return *task;
  std::vector<std::string> known, beginning;
  store.for_each_task({}, [&](const Task& other) {
    if (known.size() < kSuggestedFrom) known.push_back(other.task_id);
    if (!task_id.empty() && other.task_id.starts_with(task_id)) beginning.push_back(other.task_id);
  });
  if (beginning.size() == 1) return *store.find_task(beginning.front());
  if (beginning.size() > 1) {
    fail(ErrorKind::Usage, fmt::format("\"{}\" is the beginning of {} tasks in {}, such as {} and {}", task_id, beginning.size(), store.path(), beginning[0], beginning[1]));
  }
  const std::string nearest = nearest_word(task_id, known);
  fail(ErrorKind::Usage, fmt::format("looked for the task \"{}\" in {}, which holds {} tasks and not this one{}", task_id, store.path(),
                                     store.count_tasks({}), nearest.empty() ? "; gauntlet show --db lists them" : fmt::format("; did you mean \"{}\"?", nearest)));
}

RunRecord get_run(const Store& store, const std::string& run_id) {
  auto run = store.find_run(run_id);
  if (run) return *run;
  std::vector<std::string> known;
  for (const auto& other : store.list_runs()) known.push_back(other.run_id);
  const std::string nearest = nearest_word(run_id, known);
  fail(ErrorKind::Usage, fmt::format("looked for the run \"{}\" in {}, which holds {}{}", run_id, store.path(), known.empty() ? "no run" : fmt::format("{}", fmt::join(known, ", ")),
                                     nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
}

}  // namespace gauntlet
