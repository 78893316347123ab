#include "synth/synthesize.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/sha256.h"
#include "synth/recheck.h"
#include "verifiers/verify.h"

namespace gauntlet {
namespace {

constexpr int kMaxThreads = 64;
constexpr std::size_t kRecheckBatch = 16;

/// Certified candidates by number of draw, handed over in order.
class OrderedResults {
 public:
  explicit OrderedResults(std::size_t window) : window_(window) {}

  /// Waits while the consumer is too far behind. False when the production has been stopped.
  bool wait_for_turn(std::int64_t index) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || index < next_ + static_cast<std::int64_t>(window_); });
    return !stopped_;
  }
  void put(std::int64_t index, Gate::Outcome outcome) {
    const std::lock_guard lock(mutex_);
    results_.emplace(index, std::move(outcome));
    changed_.notify_all();
  }
  void fail(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    changed_.notify_all();
  }
  Gate::Outcome take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || results_.contains(next_); });
    if (error_) std::rethrow_exception(error_);
    auto node = results_.extract(next_++);
    changed_.notify_all();
    return std::move(node.mapped());
  }
  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::size_t window_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::int64_t, Gate::Outcome> results_;
  std::int64_t next_ = 0;
  bool stopped_ = false;
  std::exception_ptr error_;
};

void produce(const SynthRequest& request, std::atomic<std::int64_t>& next, OrderedResults& results) {
  try {
    Gate gate(request.spec, request.gate);
    while (true) {
      const std::int64_t index = next.fetch_add(1);
      if (!results.wait_for_turn(index)) return;
      const auto candidate = draw_candidate(*request.spec, request.difficulty, request.named, mix_seed(request.seed, static_cast<std::uint64_t>(index)));
      Gate::Outcome outcome;
      if (candidate) {
        outcome = gate.certify(*candidate);
      } else {
        outcome.dropped = "not_planted";
        outcome.detail = "the drawn requirements contradict the drawn world";
      }
      results.put(index, std::move(outcome));
    }
  } catch (...) {
    results.fail(std::current_exception());
  }
}

/// The checks between tasks: no duplicates, and the answer of the one before does not pass.
class Neighbours {
 public:
  explicit Neighbours(const EnvSpec& spec) : spec_(spec) {}

  /// Empty if the task may stay, else why not.
  std::string refuse(const Task& task) {
    const std::string answer = dump_json(task.certificate["oracle_answer"]);
    const std::string signature = sha256_hex(canonical_json(task.problem) + answer);
    if (ids_.contains(task.task_id) || signatures_.contains(signature) || prompts_.contains(sha256_hex(task.prompt))) return "duplicate";
    if (!previous_.empty()) {
      const auto world = build_world(spec_, task.world);
      const CompiledProblem problem(parse_problem(task.problem, ""), *world);
      if (Verifier(problem, spec_, certified_optimum(task.certificate)).passes(previous_)) return "adversary_other_answer";
    }
    ids_.insert(task.task_id);
    signatures_.insert(signature);
    prompts_.insert(sha256_hex(task.prompt));
    previous_ = answer;
    return "";
  }

 private:
  const EnvSpec& spec_;
  std::set<std::string> ids_;
  std::set<std::string> signatures_;
  std::set<std::string> prompts_;
  std::string previous_;
};

}  // namespace

SynthReport synthesize(const SynthRequest& request, const std::function<void(const Task&)>& sink, const CancelFlag& cancel) {
  require(request.count >= 1, ErrorKind::Usage, fmt::format("count: found {}; accepted: 1 or more", request.count));
  if (request.named.empty()) {
    const auto levels = task_levels(*request.spec);
    require(!levels.empty(), ErrorKind::Usage, fmt::format("environment {} has no task templates, so tasks cannot be synthesised for it", request.spec->name));
  }
  const std::int64_t max_draws = request.max_draws > 0 ? request.max_draws : 400LL * request.count + 400;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int threads = std::clamp(request.threads > 0 ? request.threads : cores, 1, kMaxThreads);
  SynthReport report;
  Neighbours neighbours(*request.spec);
  std::optional<RecheckProcess> other;
  if (!request.recheck_command.empty()) other.emplace(request.recheck_command, *request.spec);

  std::deque<Task> waiting;
  const auto hand_over = [&] {
    if (other) other->check(waiting);
    for (const auto& task : waiting) sink(task);
    waiting.clear();
  };
  OrderedResults results(static_cast<std::size_t>(threads) * 8);
  std::atomic<std::int64_t> next{0};
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back([&] { produce(request, next, results); });
  const auto count_drop = [&](const std::string& reason, const std::string& detail) {
    ++report.dropped[reason];
    report.examples.try_emplace(reason, detail);
  };
  try {
    while (report.made < request.count && report.drawn < max_draws && !cancel.load()) {
      Gate::Outcome outcome = results.take();
      ++report.drawn;
      if (!outcome.task) {
        count_drop(outcome.dropped, outcome.detail);
        continue;
      }
      const std::string refusal = neighbours.refuse(*outcome.task);
      if (!refusal.empty()) {
        count_drop(refusal, outcome.task->task_id);
        continue;
      }
      ++report.made;
      outcome.task->certificate["other_process_checked"] = other.has_value();
      waiting.push_back(std::move(*outcome.task));
      if (waiting.size() >= kRecheckBatch) hand_over();
    }
    hand_over();
  } catch (...) {
    results.stop();
    throw;
  }
  results.stop();
  return report;
}

}  // namespace gauntlet
