#pragma once

// Many episodes at once, stored as they finish, resumable: what a run asked for is exactly what it completed, what failed for reasons
// of infrastructure, and what was cancelled.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/rollout.h"
#include "datasets/store.h"

namespace gauntlet {

/// One episode made ready: its setup, and the model that plays it (owned here, or shared by the run).
struct PreparedEpisode {
  EpisodeSetup setup;
  std::unique_ptr<ChatModel> own_model;
  ChatModel* shared_model = nullptr;
};

struct RunPlan {
  RunRecord record;
  std::vector<Store::Slot> work;   ///< in order; slots that the store already holds are skipped
  /// Called on worker threads. Throwing counts as an infrastructure fault of that episode.
  std::function<PreparedEpisode(const Store::Slot&, int attempt)> prepare;
  int in_flight = 8;               ///< episodes at once, each on a thread with a small stack; 10,000 are fine
  int retries_on_fault = 1;        ///< further attempts of an episode that ended in an infrastructure fault that may pass
  int abort_after_faults = 20;     ///< so many such episodes in a row stop the run: the endpoint is not there
  int store_retry_seconds = 60;    ///< how long a full disk or locked store is waited for
};

/// requested == completed_before + completed + faults + cancelled, always.
struct RunSummary {
  std::int64_t requested = 0;
  std::int64_t completed_before = 0;  ///< found in the store on resume
  std::int64_t passed_before = 0;     ///< of completed_before
  std::int64_t completed = 0;
  std::int64_t passed = 0;            ///< of completed
  std::int64_t faults = 0;            ///< slots whose last attempt was an infrastructure fault
  std::int64_t cancelled = 0;         ///< not started, or stopped on the way
  std::string stopped_by;             ///< empty, or why the run stopped early
};

/// Called from the runner's threads, one call at a time. What a function throws stops the run and comes out of run_all.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void on_start(std::int64_t requested, std::int64_t already_done) = 0;
  /// After the episode is stored durably.
  virtual void on_stored(const Episode& episode) = 0;
  virtual void on_message(const std::string& message) = 0;
  virtual void on_finish(const RunSummary& summary) = 0;
  /// Some fifty times a second while episodes are played, for what changes between two of them.
  virtual void on_tick() {}
};

/// Blocks until all is done, cancelled or stopped; a run that is stopped breaks off the episodes in flight. What an episode comes to does
/// not depend on how many are in flight. Throws Error(Store) when the store cannot take results for too long (all that was reported as
/// stored is), Error(Usage) when the run exists with another configuration.
RunSummary run_all(const RunPlan& plan, Store& store, RunObserver& observer, const CancelFlag& cancel);

}  // namespace gauntlet
