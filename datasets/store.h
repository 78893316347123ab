#pragma once

// The store: one SQLite file that holds environments, tasks, certificates, runs, episodes, messages, token streams, scores and
// the log of exports. journal_mode=TRUNCATE and synchronous=EXTRA (Debian's SQLite 3.40 has the WAL-reset bug); writes are
// BEGIN IMMEDIATE transactions; an episode, its messages and its score go in together. Schema and views: docs/store.md.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/episode.h"
#include "core/task.h"

namespace gauntlet {

enum class StoreMode { ReadOnly, ReadWrite, Create };  ///< Create: open for writing, making the file if it is missing

struct RunRecord {
  std::string run_id;
  Json config;  ///< the resolved configuration: model (ChatModel::describe), mode, repeats, limits, seed, task ids' hash
  std::string config_sha256;  ///< of the parts that must not change on resume
  std::string code_version;
  std::int64_t started_unix_ms = 0;
  std::int64_t requested = 0;  ///< episodes asked for: tasks × repeats
};

struct TaskFilter {
  std::vector<std::string> task_ids;  ///< empty: all
  std::string environment;            ///< empty: all
  int level = -1;                     ///< -1: all
  std::int64_t limit = -1;
};

struct EpisodeFilter {
  std::string run_id;   ///< empty: all
  std::string task_id;  ///< empty: all
  bool latest_attempt_only = true;
  bool with_messages = true;  ///< false leaves messages and tokens empty (reports need neither)
};

struct StoredEpisode {
  std::int64_t episode_id = 0;
  Episode episode;
};

/// How the latest attempt of a slot ended, with what reports group by; read without messages.
struct Outcome {
  std::int64_t episode_id = 0;
  std::string task_id;
  std::string environment;
  std::string named;  ///< of the task; mostly empty
  int level = 0;
  int sample = 0;
  int attempt = 0;
  StopReason stop = StopReason::Answered;
  std::string fault_class;      ///< of an infrastructure fault
  std::optional<double> value;  ///< empty: unscored
  Usage usage;
  double cost = 0.0;
  int steps = 0;
  int tool_calls = 0;
  int tool_errors = 0;
  int malformed_calls = 0;
  std::int64_t wall_ms = 0;
};

/// One thread at a time; threads that write together each open their own. Never carry one across fork(). The for_each_
/// functions read in small batches, so a visitor may call any function of the store, and writers are not kept waiting.
class Store {
 public:
  /// Throws Error(Store): missing, not a Gauntlet store, of a newer schema (says both versions), read-only, locked, corrupt.
  /// `busy_timeout`: how long any call waits for another process's lock. An older schema is upgraded unless ReadOnly.
  Store(const std::string& path, StoreMode mode, std::chrono::milliseconds busy_timeout = std::chrono::seconds(30));
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  const std::string& path() const;

  void put_environment(const std::string& name, const std::string& sha256, const Json& source);
  /// The spec document with that hash. Throws Error(Store) if absent.
  Json get_environment(const std::string& sha256) const;
  std::vector<std::pair<std::string, std::string>> list_environments() const;  ///< (name, sha256)

  /// One transaction. Tasks already there (same id) are left as they are. Returns how many were new. Throws Error(Store) if the
  /// environment with a task's env_sha256 has not been put.
  std::size_t put_tasks(std::span<const Task> tasks);
  std::vector<std::string> task_ids() const;  ///< in insertion order, without reading what the tasks hold
  std::optional<Task> find_task(const std::string& task_id) const;
  std::vector<Task> list_tasks(const TaskFilter& filter) const;  ///< in insertion order
  /// Calls `visit` for each, in insertion order, without holding all in memory.
  void for_each_task(const TaskFilter& filter, const std::function<void(const Task&)>& visit) const;
  std::int64_t count_tasks(const TaskFilter& filter) const;

  /// Inserts, or on an equal run_id checks that config_sha256 is the same; else throws Error(Usage) with the difference. On an
  /// equal one `requested` is brought up to date (a resumed run may ask for more), the rest is kept as first written.
  void put_run(const RunRecord& run);
  std::optional<RunRecord> find_run(const std::string& run_id) const;
  std::vector<RunRecord> list_runs() const;  ///< oldest first
  /// Of which an episode was stored last; without any episode the youngest. Nothing if there is no run.
  std::optional<RunRecord> find_latest_run() const;

  /// All in one transaction, durable when this returns. Unique on (run, task, sample, attempt). Throws Error(Store) if an
  /// episode is there already, its run or task is not, or the disk is full (then none of these is stored and all earlier ones
  /// are kept); Error(Internal) if an episode that ended in an infrastructure fault or was cancelled carries a score.
  void put_episodes(std::span<const Episode> episodes);
  void for_each_episode(const EpisodeFilter& filter, const std::function<void(const StoredEpisode&)>& visit) const;
  std::optional<StoredEpisode> find_episode(std::int64_t episode_id) const;
  /// Latest attempts of a run, in order of insertion.
  void for_each_outcome(const std::string& run_id, const std::function<void(const Outcome&)>& visit) const;

  struct Slot {
    std::string task_id;
    int sample = 0;
    auto operator<=>(const Slot&) const = default;
  };
  /// What a resumed run need not do again: slots that hold an episode which did not end in an infrastructure fault.
  std::set<Slot> completed_slots(const std::string& run_id) const;
  /// The next free attempt number of a slot.
  int next_attempt(const std::string& run_id, const std::string& task_id, int sample) const;

  /// Replaces the stored score (after re-verification).
  void update_score(std::int64_t episode_id, const Score& score);
  void log_export(const Json& description);

  /// PRAGMA integrity_check, foreign keys, and the project's own invariants; empty when all is well.
  std::vector<std::string> check() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
