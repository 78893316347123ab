#include "agent/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxQueued = 2048;      ///< finished episodes that wait for the writer; workers wait beyond
constexpr std::size_t kMaxTransaction = 256;  ///< episodes in one transaction
constexpr int kMaxThreads = 1024;

class Run {
 public:
  Run(const RunPlan& plan, Store& store, RunObserver& observer, const CancelFlag& cancel) : plan_(plan), store_(store), observer_(observer), cancel_(cancel) {}

  RunSummary execute();

 private:
  struct Item {
    Store::Slot slot;
    int attempt = 0;
    int tries_left = 0;
  };
  void work();
  void write();
  Episode play(const Item& item);
  void settle(const Item& item, Episode episode);
  bool store_batch(const std::vector<Episode>& batch);
  void stop(const std::string& reason);
  bool halted() const { return stop_.load() || cancel_.load(); }

  const RunPlan& plan_;
  Store& store_;
  RunObserver& observer_;
  const CancelFlag& cancel_;
  CancelFlag stop_{false};
  std::mutex mutex_;
  std::condition_variable to_writer_;
  std::condition_variable to_workers_;
  std::deque<Item> pending_;
  std::deque<Episode> finished_;
  int busy_ = 0;               ///< episodes being played
  bool closing_ = false;
  int faults_in_a_row_ = 0;
  RunSummary summary_;
  std::exception_ptr error_;
};

void Run::stop(const std::string& reason) {
  if (summary_.stopped_by.empty()) summary_.stopped_by = reason;
  stop_.store(true);
  to_workers_.notify_all();
}

Episode Run::play(const Item& item) {
  Episode failed;
  try {
    PreparedEpisode prepared = plan_.prepare(item.slot, item.attempt);
    prepared.setup.run_id = plan_.record.run_id;
    prepared.setup.task_id = item.slot.task_id;
    prepared.setup.sample = item.slot.sample;
    prepared.setup.attempt = item.attempt;
    ChatModel& model = prepared.own_model ? *prepared.own_model : *prepared.shared_model;
    return run_episode(model, std::move(prepared.setup), cancel_);
  } catch (const std::exception& error) {
    failed.fault_message = error.what();
  }
  failed.run_id = plan_.record.run_id;
  failed.task_id = item.slot.task_id;
  failed.sample = item.slot.sample;
  failed.attempt = item.attempt;
  failed.stop = StopReason::EnvironmentFault;
  failed.fault_class = "environment";
  failed.score.unscored_reason = "environment_fault: " + failed.fault_message;
  return failed;
}

/// Under the lock: what becomes of a finished episode.
void Run::settle(const Item& item, Episode episode) {
  --busy_;
  if (episode.stop == StopReason::Cancelled) {
    ++summary_.cancelled;  // Not stored: a resumed run plays it again.
    return;
  }
  const bool fault = is_infrastructure(episode.stop);
  faults_in_a_row_ = fault ? faults_in_a_row_ + 1 : 0;
  if (fault && item.tries_left > 0 && !halted()) {
    pending_.push_back({.slot = item.slot, .attempt = item.attempt + 1, .tries_left = item.tries_left - 1});
  } else if (fault) {
    ++summary_.faults;
  }
  if (fault && faults_in_a_row_ >= plan_.abort_after_faults) {
    stop(fmt::format("{} episodes in a row ended in infrastructure faults, the last with: {}", faults_in_a_row_, episode.fault_message));
  }
  finished_.push_back(std::move(episode));
  to_writer_.notify_one();
}

void Run::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    to_workers_.wait(lock, [&] { return halted() || finished_.size() < kMaxQueued; });
    if (halted() || pending_.empty()) {
      // Another worker's fault may still put an attempt back.
      if (halted() || busy_ == 0) break;
      to_workers_.wait_for(lock, std::chrono::milliseconds(50));
      continue;
    }
    const Item item = pending_.front();
    pending_.pop_front();
    ++busy_;
    lock.unlock();
    Episode episode = play(item);
    lock.lock();
    settle(item, std::move(episode));
    to_workers_.notify_all();
  }
  to_workers_.notify_all();
}

/// Tries until the store takes the batch; a full disk or a lock is waited out.
bool Run::store_batch(const std::vector<Episode>& batch) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(plan_.store_retry_seconds);
  for (int attempt = 0;; ++attempt) {
    try {
      store_.put_episodes(batch);
      return true;
    } catch (const Error& error) {
      if (std::chrono::steady_clock::now() >= give_up || cancel_.load()) {
        error_ = std::current_exception();
        return false;
      }
      if (attempt == 0) observer_.on_message(fmt::format("could not store {} finished episodes, trying again for {} s: {}", batch.size(), plan_.store_retry_seconds, error.what()));
      std::this_thread::sleep_for(std::chrono::milliseconds(std::min(2000, 100 << std::min(attempt, 5))));
    }
  }
}

void Run::write() {
  std::unique_lock lock(mutex_);
  while (true) {
    to_writer_.wait(lock, [&] { return !finished_.empty() || closing_; });
    if (finished_.empty()) return;
    std::vector<Episode> batch;
    while (!finished_.empty() && batch.size() < kMaxTransaction) {
      batch.push_back(std::move(finished_.front()));
      finished_.pop_front();
    }
    to_workers_.notify_all();
    lock.unlock();
    const bool stored = store_batch(batch);
    lock.lock();
    if (!stored) {
      stop("the store takes no more results");
      for (const auto& episode : batch) summary_.cancelled += is_infrastructure(episode.stop) ? 0 : 1;
      continue;
    }
    for (const auto& episode : batch) {
      if (!is_infrastructure(episode.stop)) {
        ++summary_.completed;
        summary_.passed += episode.score.scored && episode.score.value == 1.0 ? 1 : 0;
      }
      observer_.on_stored(episode);
    }
  }
}

RunSummary Run::execute() {
  RunRecord record = plan_.record;
  record.requested = static_cast<std::int64_t>(plan_.work.size());
  store_.put_run(record);
  const auto done = store_.completed_slots(record.run_id);
  summary_.requested = record.requested;
  for (const auto& slot : plan_.work) {
    if (done.contains(slot)) {
      ++summary_.completed_before;
      continue;
    }
    const int attempt = store_.next_attempt(record.run_id, slot.task_id, slot.sample);
    pending_.push_back({.slot = slot, .attempt = attempt, .tries_left = plan_.retries_on_fault});
  }
  observer_.on_start(summary_.requested, summary_.completed_before);
  {
    std::jthread writer([this] { write(); });
    {
      std::vector<std::jthread> workers;
      const int threads = std::clamp(std::min<int>(plan_.in_flight, static_cast<int>(pending_.size())), 1, kMaxThreads);
      for (int i = 0; i < threads; ++i) workers.emplace_back([this] { work(); });
    }
    const std::lock_guard lock(mutex_);
    closing_ = true;
    to_writer_.notify_all();
  }
  summary_.cancelled += static_cast<std::int64_t>(pending_.size());
  if (cancel_.load() && summary_.stopped_by.empty()) summary_.stopped_by = "stopped by the user";
  observer_.on_finish(summary_);
  if (error_) std::rethrow_exception(error_);
  const std::int64_t accounted = summary_.completed_before + summary_.completed + summary_.faults + summary_.cancelled;
  require(accounted == summary_.requested, ErrorKind::Internal, fmt::format("the run's accounts do not balance: {} requested, {} accounted for", summary_.requested, accounted));
  return summary_;
}

}  // namespace

RunSummary run_all(const RunPlan& plan, Store& store, RunObserver& observer, const CancelFlag& cancel) { return Run(plan, store, observer, cancel).execute(); }

}  // namespace gauntlet
