#pragma once

// Tasks of a store made ready to be played and judged.

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "datasets/exports.h"
#include "datasets/store.h"
#include "envs/session.h"
#include "synth/planner.h"
#include "verifiers/verify.h"

namespace gauntlet {

struct Environment {
  std::shared_ptr<const EnvSpec> spec;
  std::shared_ptr<EnvRuntime> runtime;
  std::shared_ptr<const std::vector<ToolSpec>> tools;
  Planner planner;

  explicit Environment(std::shared_ptr<const EnvSpec> given);
};

struct ReadyTask {
  Task task;
  const Environment* environment = nullptr;
  std::shared_ptr<const World> world;
  std::optional<Cell> optimum;
  CompiledProblem problem;

  ReadyTask(Task given, const Environment& of);
  /// A fresh judge (they are cheap, and not for several threads).
  Score judge(const std::optional<std::string>& answer) const;
};

/// Reads environments and tasks of one store; safe from many threads. Environments stay; of tasks the last few dozen.
class TaskShelf {
 public:
  explicit TaskShelf(const std::string& store_path) : store_(store_path, StoreMode::ReadOnly) {}

  /// Throws Error(Store) if the store lacks it.
  const Environment& environment(const std::string& env_sha256);
  /// As get_task().
  std::shared_ptr<const ReadyTask> task(const std::string& task_id);
  /// What exports need to know of every environment in the store.
  EnvironmentInfos infos();
  /// Throws as get_run() if the store lacks the run.
  void require_run(const std::string& run_id);
  /// Assistant messages of the latest attempt of that slot; empty if there is none.
  std::vector<Message> assistant_messages(const std::string& run_id, const Store::Slot& slot);

 private:
  const Environment& environment_locked(const std::string& env_sha256);

  std::mutex mutex_;
  Store store_;
  std::map<std::string, std::unique_ptr<Environment>> environments_;
  std::list<std::shared_ptr<const ReadyTask>> recent_;  ///< newest first
};

/// What agents are told before the task: how to work, and how to hand in.
std::string default_system_prompt(const EnvSpec& spec);

/// By its id or the beginning of it. Throws Error(Usage) naming the nearest task, or those that begin so.
Task get_task(const Store& store, const std::string& task_id);
/// Throws Error(Usage) naming the nearest run.
RunRecord get_run(const Store& store, const std::string& run_id);

}  // namespace gauntlet
