#pragma once

// One in-memory SQLite connection with an environment's tools as prepared statements. It can be loaded with any world of the
// spec and moved to any state reached from it by write tools. One thread at a time.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "envs/env_spec.h"
#include "envs/session.h"
#include "envs/world_images.h"

namespace gauntlet {

/// One successful write call; states are chains of these, shared by forks.
struct WriteLog {
  std::shared_ptr<const WriteLog> previous;
  int tool = -1;
  std::string arguments;
  std::size_t length = 1;
};

class ToolConnection {
 public:
  /// Creates the tables and compiles every statement under an authorizer that allows exactly what the tool declares. Throws
  /// Error(Input) with the path of the statement that does not compile. `images` is shared by the connections of one spec; both must
  /// outlive it.
  ToolConnection(const EnvSpec& spec, WorldImages& images);
  ~ToolConnection();
  ToolConnection(const ToolConnection&) = delete;
  ToolConnection& operator=(const ToolConnection&) = delete;

  /// The world and state it holds now.
  const World* world() const;
  const WriteLog* state() const;
  /// Nobody else holds the world any more, as far as can be seen at this moment.
  bool world_is_unused() const;

  /// Brings it to `world` after the writes of `log` (null: none).
  void move_to(const std::shared_ptr<const World>& world, const std::shared_ptr<const WriteLog>& log);

  /// Runs tool number `tool`. For a write that succeeded the connection is then one write past state(); the caller must record
  /// that with advance().
  ToolOutcome call(int tool, std::string_view arguments);
  void advance(std::shared_ptr<const WriteLog> log);

  /// While set, a call throws Error(Infrastructure) soon after the flag is; null: never.
  void stop_when(const CancelFlag* cancel);

  /// Every table's rows as JSON lines, sorted.
  std::string fingerprint();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// {"error": {"code", "message"}}
ToolOutcome tool_error(std::string_view code, std::string_view message);

}  // namespace gauntlet
