#pragma once

// Gate step 5 in another process: a child that rebuilds each task from its text alone and must come to the same bytes and verdicts.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/task.h"
#include "envs/env_spec.h"

namespace gauntlet {

class RecheckProcess {
 public:
  /// Starts `command` (program and arguments); it must run recheck_tasks(). The spec is sent first.
  RecheckProcess(const std::vector<std::string>& command, const EnvSpec& spec);
  ~RecheckProcess();
  RecheckProcess(const RecheckProcess&) = delete;
  RecheckProcess& operator=(const RecheckProcess&) = delete;

  /// Sends the tasks in reverse order. Throws Error(Internal) if the other process comes to anything else: that is a bug, not a bad draw.
  void check(const std::deque<Task>& tasks);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
