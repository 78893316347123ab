#include "synth/synthesize.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "core/error.h"
#include "core/ordered_results.h"
#include "synth/audit.h"
#include "synth/neighbours.h"
#include "synth/recheck.h"
#include "synth/seed_ranges.h"
#include "synth/template_members.h"

namespace gauntlet {
namespace {

constexpr int kMaxThreads = 64;
constexpr std::size_t kRecheckBatch = 16;
constexpr std::chrono::milliseconds kPatience{100};      ///< how often the caller is told, and looks at its cancel flag, while nothing comes
constexpr std::chrono::milliseconds kOldestWaiting{1000};  ///< made tasks are handed over after so long, however few they are

using Results = OrderedResults<Gate::Outcome>;

void produce(const SynthRequest& request, std::atomic<std::int64_t>& next, Results& results, const CancelFlag& halt) {
  try {
    Gate gate(request.spec, request.gate);
    while (true) {
      const std::int64_t index = next.fetch_add(1);
      if (!results.wait_for_turn(index)) return;
      const auto candidate = draw_candidate(*request.spec, request.difficulty, request.named, evaluation_draw_seed(request.seed, static_cast<std::uint64_t>(index)));
      Gate::Outcome outcome;
      if (candidate) {
        outcome = gate.certify(*candidate, halt);
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

}  // namespace

SynthReport synthesize(const SynthRequest& request, const std::function<void(const Task&)>& sink, const CancelFlag& cancel) {
  require(request.count >= 1, ErrorKind::Usage, fmt::format("count: found {}; accepted: 1 or more", request.count));
  require_template_members(*request.spec, fmt::format("environment {}", request.spec->name));
  if (request.named.empty()) {
    const auto levels = task_levels(*request.spec);
    require(!levels.empty(), ErrorKind::Usage, fmt::format("environment {} has no task templates, so tasks cannot be synthesised for it", request.spec->name));
  }
  const std::int64_t max_draws = request.max_draws > 0 ? request.max_draws : 400LL * request.count + 400;
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int threads = std::clamp(request.threads > 0 ? request.threads : cores, 1, kMaxThreads);
  SynthReport report;
  Neighbours neighbours(*request.spec, request.excluded);
  if (request.known) request.known([&](const Task& task) { neighbours.know(task); });
  std::optional<RecheckProcess> other;
  if (!request.recheck_command.empty()) other.emplace(request.recheck_command, *request.spec);

  using Clock = std::chrono::steady_clock;
  std::deque<Task> waiting;
  Clock::time_point waiting_since;
  const auto hand_over = [&] {
    if (other) other->check(waiting);
    for (const auto& task : waiting) sink(task);
    waiting.clear();
  };
  Results results(static_cast<std::size_t>(threads) * 8);
  std::atomic<std::int64_t> next{0};
  CancelFlag halt{false};  // also for candidates in flight when enough are made
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) workers.emplace_back([&] { produce(request, next, results, halt); });
  const auto stop = [&] {
    halt = true;
    results.stop();
  };
  const auto count_drop = [&](const std::string& reason, const std::string& detail) {
    ++report.dropped[reason];
    report.examples.try_emplace(reason, detail);
  };
  try {
    while (report.made < request.count && report.drawn < max_draws && !cancel.load()) {
      auto outcome = results.take(kPatience);
      if (outcome) {
        ++report.drawn;
        const std::string refusal = outcome->task ? neighbours.refuse(*outcome->task, outcome->world) : outcome->dropped;
        if (!refusal.empty()) {
          count_drop(refusal, outcome->task ? outcome->task->task_id : outcome->detail);
        } else {
          ++report.made;
          outcome->task->certificate["other_process_checked"] = other.has_value();
          seal(*outcome->task);
          if (waiting.empty()) waiting_since = Clock::now();
          waiting.push_back(std::move(*outcome->task));
        }
      }
      // The clock decides when tasks are handed over, never which.
      if (waiting.size() >= kRecheckBatch || (!waiting.empty() && Clock::now() - waiting_since >= kOldestWaiting)) hand_over();
      if (request.progress) request.progress(report);
    }
    stop();
    hand_over();
  } catch (...) {
    stop();
    throw;
  }
  return report;
}

}  // namespace gauntlet
