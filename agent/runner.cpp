#include "agent/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "agent/worker_threads.h"
#include "core/clock.h"
#include "core/error.h"

namespace gauntlet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxQueued = 2048;      ///< finished episodes that wait for the writer; workers wait beyond
constexpr std::size_t kMaxTransaction = 256;  ///< episodes in one transaction
constexpr auto kGather = std::chrono::milliseconds(20);  ///< how long the writer lets finished episodes gather
constexpr std::chrono::milliseconds kCancelInterval{20};
constexpr std::chrono::milliseconds kFirstStoreWait{100};
constexpr std::chrono::milliseconds kLongestStoreWait{2000};

/// Workers (one an episode in flight) play and put what is finished into a queue; one writer stores it in transactions; the calling
/// thread watches for the caller's wish to stop.
class Run {
 public:
  Run(const RunPlan& plan, Store& store, RunObserver& observer, const CancelFlag& cancel) : plan_(plan), store_(store), observer_(observer), cancel_(cancel) {}

  RunSummary execute();

 private:
  struct Item {
    Store::Slot slot;
    int attempt = 0;
    int tries_left = 0;
    bool faulted = false;  ///< an attempt of this run ended in an infrastructure fault
  };
  void list_pending();
  void start_workers(WorkerThreads& workers);
  void work();
  Episode play(const Item& item);
  Episode failed_episode(const Item& item, const std::string& message) const;
  void settle(const Item& item, Episode episode);
  void write();
  bool store_batch(const std::vector<Episode>& batch);
  bool is_stored_by_another(const std::vector<Episode>& batch) const;
  void count_stored(const std::vector<Episode>& batch);
  void report_stored(const std::vector<Episode>& batch);
  void tick();
  void wait_for_workers();
  void stop(const std::string& reason);
  void tell(const std::string& message);

  const RunPlan& plan_;
  Store& store_;                ///< used by the calling thread before the writer starts, then by the writer alone
  RunObserver& observer_;
  std::mutex observing_;        ///< one call of the observer at a time
  const CancelFlag& cancel_;
  CancelFlag stop_{false};      ///< what models look at: the caller's wish, or a reason of our own
  std::mutex mutex_;            ///< guards all below
  std::condition_variable to_writer_;
  std::condition_variable to_workers_;
  std::condition_variable to_caller_;
  std::deque<Item> pending_;
  std::deque<Episode> finished_;
  std::size_t working_ = 0;     ///< worker threads that have not ended
  bool closing_ = false;
  bool store_failed_ = false;
  int faults_in_a_row_ = 0;
  RunSummary summary_;
  std::exception_ptr error_;
};

void Run::tell(const std::string& message) {
  const std::lock_guard lock(observing_);
  observer_.on_message(message);
}

/// Under the lock.
void Run::stop(const std::string& reason) {
  if (summary_.stopped_by.empty()) summary_.stopped_by = reason;
  stop_.store(true);
  to_workers_.notify_all();
}

Episode Run::failed_episode(const Item& item, const std::string& message) const {
  Episode failed;
  failed.run_id = plan_.record.run_id;
  failed.task_id = item.slot.task_id;
  failed.sample = item.slot.sample;
  failed.attempt = item.attempt;
  failed.started_unix_ms = unix_ms();
  failed.stop = StopReason::EnvironmentFault;
  failed.fault_class = "environment";
  failed.fault_message = message;
  failed.score.unscored_reason = "environment_fault: " + message;
  return failed;
}

Episode Run::play(const Item& item) {
  try {
    PreparedEpisode prepared = plan_.prepare(item.slot, item.attempt);
    prepared.setup.run_id = plan_.record.run_id;
    prepared.setup.task_id = item.slot.task_id;
    prepared.setup.sample = item.slot.sample;
    prepared.setup.attempt = item.attempt;
    ChatModel& model = prepared.own_model ? *prepared.own_model : *prepared.shared_model;
    return run_episode(model, std::move(prepared.setup), stop_);
  } catch (const std::exception& error) {
    return failed_episode(item, error.what());
  }
}

/// False where asking again at once would end the same way: the request was refused, the task does not fit the model's context, or the
/// machine is too busy.
bool is_worth_another_try(const Episode& episode) {
  return episode.stop != StopReason::TimeLimit && episode.fault_class != fault_name(FaultClass::Rejected) && episode.fault_class != fault_name(FaultClass::ContextLength);
}

/// Under the lock: what becomes of a finished episode.
void Run::settle(const Item& item, Episode episode) {
  if (episode.stop == StopReason::Cancelled) {
    ++summary_.cancelled;  // Not stored: a resumed run plays it again.
    return;
  }
  const bool fault = is_infrastructure(episode.stop);
  // An agent that takes too long says nothing of the endpoint.
  if (episode.stop != StopReason::TimeLimit) faults_in_a_row_ = fault ? faults_in_a_row_ + 1 : 0;
  if (fault && item.tries_left > 0 && is_worth_another_try(episode) && !stop_.load()) {
    // This worker goes on, so somebody is there to take it up.
    pending_.push_back({.slot = item.slot, .attempt = item.attempt + 1, .tries_left = item.tries_left - 1, .faulted = true});
  } else if (fault) {
    ++summary_.faults;
  }
  if (fault && faults_in_a_row_ >= plan_.abort_after_faults && !stop_.load()) {
    stop(fmt::format("{} episodes in a row ended in infrastructure faults, the last with: {}", faults_in_a_row_, episode.fault_message));
  }
  finished_.push_back(std::move(episode));
  to_writer_.notify_one();
}

void Run::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    to_workers_.wait(lock, [&] { return stop_.load() || finished_.size() < kMaxQueued; });
    if (stop_.load() || pending_.empty()) break;
    const Item item = std::move(pending_.front());
    pending_.pop_front();
    lock.unlock();
    Episode episode = play(item);
    lock.lock();
    settle(item, std::move(episode));
  }
  if (--working_ == 0) to_caller_.notify_all();
}

/// True if an episode of the batch is there already, which only another process that plays the same run can have stored.
bool Run::is_stored_by_another(const std::vector<Episode>& batch) const {
  try {
    return std::any_of(batch.begin(), batch.end(), [&](const Episode& episode) {
      return store_.next_attempt(episode.run_id, episode.task_id, episode.sample) > episode.attempt;
    });
  } catch (const Error&) {
    return false;  // The store cannot be read now; waiting may help.
  }
}

/// Tries until the store takes the batch; a full disk or a lock is waited out, but only once: what comes after that is tried once.
bool Run::store_batch(const std::vector<Episode>& batch) {
  const auto give_up = Clock::now() + std::chrono::seconds(store_failed_ ? 0 : plan_.store_retry_seconds);
  auto wait = kFirstStoreWait;
  for (bool first = true;; first = false) {
    try {
      store_.put_episodes(batch);
      if (!first) tell("the store takes results again");
      return true;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::Store) throw;
      if (is_stored_by_another(batch)) {
        fail(ErrorKind::Store, fmt::format("another process plays run {} too; end it, then give the same command again ({})", plan_.record.run_id, error.what()));
      }
      if (Clock::now() >= give_up || cancel_.load()) throw;
      if (first) tell(fmt::format("could not store {} finished episodes, trying again for {} s: {}", batch.size(), plan_.store_retry_seconds, error.what()));
      std::this_thread::sleep_for(wait);
      wait = std::min(kLongestStoreWait, 2 * wait);
    }
  }
}

void Run::report_stored(const std::vector<Episode>& batch) {
  const std::lock_guard lock(observing_);
  for (const auto& episode : batch) observer_.on_stored(episode);
}

/// Under the lock.
void Run::count_stored(const std::vector<Episode>& batch) {
  for (const auto& episode : batch) {
    if (is_infrastructure(episode.stop)) continue;
    ++summary_.completed;
    summary_.passed += episode.score.scored && episode.score.value == 1.0 ? 1 : 0;
  }
}

void Run::write() {
  std::unique_lock lock(mutex_);
  while (true) {
    to_writer_.wait(lock, [&] { return !finished_.empty() || closing_; });
    if (finished_.empty()) return;
    // A transaction waits for the disk and keeps readers out; one for many costs no more than one for each.
    to_writer_.wait_for(lock, kGather, [&] { return closing_ || finished_.size() >= kMaxTransaction; });
    std::vector<Episode> batch;
    while (!finished_.empty() && batch.size() < kMaxTransaction) {
      batch.push_back(std::move(finished_.front()));
      finished_.pop_front();
    }
    to_workers_.notify_all();
    lock.unlock();
    bool stored = false;
    std::exception_ptr problem;
    try {
      stored = store_batch(batch);
      report_stored(batch);
    } catch (...) {
      problem = std::current_exception();
    }
    lock.lock();
    if (stored) {
      count_stored(batch);
    } else {
      store_failed_ = true;
      for (const auto& episode : batch) summary_.cancelled += is_infrastructure(episode.stop) ? 0 : 1;
    }
    if (problem) {
      if (!error_) error_ = problem;
      stop(stored ? "progress could not be reported" : "the store takes no more results");
    }
  }
}

void Run::list_pending() {
  RunRecord record = plan_.record;
  summary_.requested = static_cast<std::int64_t>(plan_.work.size());
  const bool is_new = !store_.find_run(record.run_id).has_value();
  const auto done = store_.completed_slots(record.run_id);
  // What an earlier call with another choice of tasks has played was asked for too.
  const std::set<Store::Slot> wanted(plan_.work.begin(), plan_.work.end());
  const auto others = std::count_if(done.begin(), done.end(), [&](const auto& slot) { return !wanted.contains(slot); });
  record.requested = summary_.requested + others;
  store_.put_run(record);
  if (!done.empty()) {
    store_.for_each_outcome(record.run_id, [&](const Outcome& outcome) {
      summary_.passed_before += outcome.value == 1.0 && wanted.contains({.task_id = outcome.task_id, .sample = outcome.sample}) ? 1 : 0;
    });
  }
  for (const auto& slot : plan_.work) {
    if (done.contains(slot)) {
      ++summary_.completed_before;
      continue;
    }
    const int attempt = is_new ? 0 : store_.next_attempt(record.run_id, slot.task_id, slot.sample);
    pending_.push_back({.slot = slot, .attempt = attempt, .tries_left = plan_.retries_on_fault});
  }
}

void Run::start_workers(WorkerThreads& workers) {
  const std::size_t wanted = std::min(static_cast<std::size_t>(std::max(1, plan_.in_flight)), pending_.size());
  working_ = wanted;
  while (workers.size() < wanted) {
    if (workers.start([this] { work(); })) continue;
    const std::size_t allowed = workers.size();
    {
      const std::lock_guard lock(mutex_);
      working_ -= wanted - allowed;
    }
    require(allowed > 0, ErrorKind::Infrastructure, "could not start a thread: the system allows no more (ulimit -u, or the container's limit of processes)");
    tell(fmt::format("the system allows {} threads of the {} asked for; so many episodes are in flight", allowed, wanted));
    break;
  }
}

/// Not while the observer is busy: the caller's wish to stop must not wait for it.
void Run::tick() {
  const std::unique_lock observing(observing_, std::try_to_lock);
  if (!observing.owns_lock()) return;
  try {
    observer_.on_tick();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    stop("the observer failed");
  }
}

void Run::wait_for_workers() {
  std::unique_lock lock(mutex_);
  while (!to_caller_.wait_for(lock, kCancelInterval, [&] { return working_ == 0; })) {
    if (cancel_.load() && !stop_.load()) stop("stopped by the user");
    lock.unlock();
    tick();
    lock.lock();
  }
  closing_ = true;
  to_writer_.notify_all();
}

RunSummary Run::execute() {
  list_pending();
  observer_.on_start(summary_.requested, summary_.completed_before);
  if (cancel_.load()) stop("stopped by the user");
  {
    std::jthread writer([this] { write(); });
    WorkerThreads workers;
    try {
      start_workers(workers);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    wait_for_workers();
  }
  for (const auto& item : pending_) ++(item.faulted ? summary_.faults : summary_.cancelled);
  if (cancel_.load() && summary_.stopped_by.empty() && summary_.cancelled > 0) summary_.stopped_by = "stopped by the user";
  observer_.on_finish(summary_);
  if (error_) std::rethrow_exception(error_);
  const std::int64_t accounted = summary_.completed_before + summary_.completed + summary_.faults + summary_.cancelled;
  require(accounted == summary_.requested, ErrorKind::Internal, fmt::format("the run's accounts do not balance: {} requested, {} accounted for", summary_.requested, accounted));
  return summary_;
}

}  // namespace

RunSummary run_all(const RunPlan& plan, Store& store, RunObserver& observer, const CancelFlag& cancel) { return Run(plan, store, observer, cancel).execute(); }

}  // namespace gauntlet
