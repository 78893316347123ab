#pragma once

// Acting on a world: tools compiled once per world, and one Session per episode.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/chat_model.h"
#include "envs/env_spec.h"

namespace gauntlet {

/// What a call gave back. Refusals (unknown tool, bad arguments, failed precondition, unknown name) are data for the agent:
/// {"error": {"code", "message"}}; only faults of the environment itself throw Error(Infrastructure). The session stays usable
/// after one, as it was before the call.
struct ToolOutcome {
  std::string content;  ///< canonical JSON
  bool is_error = false;
  bool ends_episode = false;  ///< an answer was submitted
};

class ToolConnection;

/// An environment's compiled tools: a pool of in-memory SQLite connections with prepared statements, any of which can be loaded
/// with any world of the spec. Safe from many threads; outlives its sessions through shared ownership (every Session holds it).
class EnvRuntime {
 public:
  explicit EnvRuntime(std::shared_ptr<const EnvSpec> spec);
  ~EnvRuntime();
  EnvRuntime(const EnvRuntime&) = delete;
  EnvRuntime& operator=(const EnvRuntime&) = delete;

  const EnvSpec& spec() const;

 private:
  friend class Session;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The state of one episode: the shared world and the writes done so far. A fresh one and a fork cost no copy of the world:
/// writes are kept as an immutable shared log and replayed on a borrowed connection. Not thread-safe; movable.
class Session {
 public:
  Session(std::shared_ptr<EnvRuntime> runtime, std::shared_ptr<const World> world);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  /// Runs one tool. `arguments` is JSON text as the model wrote it; anything is survived.
  ToolOutcome call(std::string_view tool, std::string_view arguments);

  /// A call throws Error(Infrastructure) soon after `cancel` is set, even in the middle of a query. It must outlive the session
  /// and its forks.
  void stop_when(const CancelFlag& cancel);
  bool is_stopped() const;  ///< that flag is set

  /// An independent copy at this moment.
  Session fork() const;

  /// The text given to the submitting tool; nothing before that. The last submission counts.
  const std::optional<std::string>& answer() const;

  /// Every table's rows as canonical JSON lines, sorted: equal states give equal text.
  std::string state_fingerprint() const;

  const EnvSpec& spec() const;
  const World& world() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
