#include "inference/model_bench.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/rng.h"
#include "inference/scheduler.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMemoryBytes = std::size_t{512} << 20;  ///< larger than any cache of the processor


/// Counts the sequences that have a token.
class Counting : public EngineListener {
 public:
  explicit Counting(int& started) : started_(started) {}
  bool on_token(const EngineToken&) override {
    started_ += std::exchange(first_, false) ? 1 : 0;
    return true;
  }
  void on_finish(int, EngineFinish, int, const std::string&) override {}

 private:
  int& started_;
  bool first_ = true;
};

class Bench {
 public:
  Bench(BenchDevice& device, const BenchPlan& plan) : device_(device), plan_(plan), backend_(*device.backend), rng_(plan.seed) {
    ids_.resize(static_cast<std::size_t>(*std::max_element(plan.contexts.begin(), plan.contexts.end()) + plan.steps));
    for (auto& id : ids_) id = static_cast<std::int32_t>(rng_.below(static_cast<std::uint64_t>(backend_.config().vocab)));
  }

  PrefillFigure prefill(int context) {
    PrefillFigure out{.context = context, .seconds = {}};
    fill(context);
    for (int i = 0; i < plan_.repeats; ++i) out.seconds.push_back(seconds([&] { fill(context); }));
    return out;
  }

  /// After prefill(context): the first sequence's pages are copied for the others.
  DecodeFigure decode(int context, int batch) {
    DecodeFigure out{.context = context, .batch = batch, .seconds = {}, .engine_seconds = {}};
    const int each = pages_for(context + plan_.steps);
    for (int b = 1; b < batch; ++b) {
      for (int p = 0; p < pages_for(context); ++p) backend_.copy_page(p, b * each + p);
    }
    std::int64_t experts = 0;
    step(context, batch, each);
    for (int r = 0; r < plan_.repeats; ++r) {
      experts = 0;
      const double total = seconds([&] {
        for (int i = 0; i < plan_.steps; ++i) {
          step(context + i, batch, each);
          if (device_.experts_touched) experts += device_.experts_touched();
        }
      });
      out.seconds.push_back(total / plan_.steps);
    }
    const StepFootprint& f = device_.footprint;
    const double touched = device_.experts_touched ? static_cast<double>(experts) / plan_.steps : expected_experts(backend_.config(), f.moe_layers, batch);
    const double cache = static_cast<double>(cache_bytes_read(backend_.config(), f, context + plan_.steps / 2)) * batch;
    out.bytes = static_cast<double>(f.fixed) + touched * static_cast<double>(f.expert) + cache;
    out.rate = device_.read_rate(static_cast<std::size_t>(out.bytes));
    return out;
  }

  /// The same through the scheduler. The prompts are equal, one token longer than whole pages: one request computes them, the others find
  /// them and start together.
  std::vector<double> engine(int context, int batch, double& busy) {
    const auto prompt = static_cast<std::ptrdiff_t>(context / kPageTokens * kPageTokens + 1);
    std::vector<double> out;
    double busy_total = 0, total_all = 0;
    for (int r = 0; r < plan_.repeats; ++r) {
      Scheduler scheduler(backend_, {.max_running = batch, .chunk_tokens = backend_.max_tokens()});
      int started = 0;
      const auto add = [&](int number, int tokens) {
        scheduler.add(static_cast<std::uint64_t>(number), {.prompt = {ids_.begin(), ids_.begin() + prompt}, .sampling = {.seed = static_cast<std::uint64_t>(number)}, .max_tokens = tokens, .listener = std::make_shared<Counting>(started)});
      };
      add(0, 1);
      while (scheduler.step()) {
      }
      for (int b = 1; b <= batch; ++b) add(b, 2 * plan_.steps);
      while (started <= batch) require(scheduler.step(), ErrorKind::Infrastructure, "a sequence of the measurement ended before all had begun: the model's logits are not finite");
      const double busy_before = device_.busy_seconds ? device_.busy_seconds() : 0;
      const double total = seconds([&] {
        for (int i = 0; i < plan_.steps; ++i) scheduler.step();
      });
      if (device_.busy_seconds) busy_total += device_.busy_seconds() - busy_before;
      total_all += total;
      out.push_back(total / plan_.steps);
    }
    busy = busy_total / total_all;
    return out;
  }

 private:
  double now() const {
    timespec time{};
    ::clock_gettime(plan_.clock == BenchClock::Cpu ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return (static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9) / (plan_.clock == BenchClock::Cpu ? std::max(1, device_.threads) : 1);
  }
  double seconds(const std::function<void()>& work) const {
    const double start = now();
    work();
    return now() - start;
  }

  void fill(int context) {
    for (int at = 0; at < context;) {
      const int count = std::min(backend_.max_tokens(), context - at);
      const SequenceStep step{.ids = std::span(ids_).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)), .start = at, .pages = pages(0, at + count), .logits = at + count == context ? LogitsOf::Last : LogitsOf::None};
      backend_.forward({&step, 1});
      at += count;
    }
  }

  void step(int position, int batch, int each) {
    std::vector<SequenceStep> steps;
    std::vector<std::int32_t> next(static_cast<std::size_t>(batch));
    for (int b = 0; b < batch; ++b) next[static_cast<std::size_t>(b)] = static_cast<std::int32_t>(rng_.below(static_cast<std::uint64_t>(backend_.config().vocab)));
    for (int b = 0; b < batch; ++b) steps.push_back({.ids = std::span(next).subspan(static_cast<std::size_t>(b), 1), .start = position, .pages = pages(b * each, position + 1), .logits = LogitsOf::Last});
    if (backend_.can_draw()) {
      const std::vector<RowWish> wishes(steps.size(), RowWish{.draw = &greedy_, .step = 0});
      backend_.forward_and_draw(steps, wishes);
    } else {
      backend_.forward(steps);
    }
  }

  std::span<const std::int32_t> pages(int first, int tokens) {
    const auto end = static_cast<std::size_t>(first + pages_for(tokens));
    while (pages_.size() < static_cast<std::size_t>(backend_.cache().pages)) pages_.push_back(static_cast<std::int32_t>(pages_.size()));
    return std::span(pages_).subspan(static_cast<std::size_t>(first), end - static_cast<std::size_t>(first));
  }

  BenchDevice& device_;
  const BenchPlan& plan_;
  Backend& backend_;
  Rng rng_;
  std::vector<std::int32_t> ids_, pages_;
  const SamplingParameters greedy_{.temperature = 0};
};

void check_plan(const BenchDevice& device, const BenchPlan& plan) {
  const ModelConfig& config = device.backend->config();
  require(!plan.contexts.empty() && !plan.batches.empty() && plan.steps >= 1 && plan.repeats >= 1, ErrorKind::Usage, "a measurement needs a context, a batch, a step and a repeat");
  for (const int context : plan.contexts) {
    require(context >= 1 && context <= config.max_positions - 2 * plan.steps, ErrorKind::Usage,
            fmt::format("--contexts: found {}; accepted: 1 to {}, the model's {} positions less {} steps of decoding", context, config.max_positions - 2 * plan.steps, config.max_positions, 2 * plan.steps));
  }
  for (const int batch : plan.batches) {
    require(batch >= 1 && batch <= device.backend->max_tokens(), ErrorKind::Usage, fmt::format("--batches: found {}; accepted: 1 to {}", batch, device.backend->max_tokens()));
  }
  require(device.backend->cache().pages >= bench_pages(plan), ErrorKind::Usage, fmt::format("the cache has {} pages; these contexts and batches need {}", device.backend->cache().pages, bench_pages(plan)));
}

}  // namespace

double median(std::vector<double> values) {
  require(!values.empty(), ErrorKind::Internal, "the median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double least(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

int bench_pages(const BenchPlan& plan) {
  const int context = *std::max_element(plan.contexts.begin(), plan.contexts.end()), batch = *std::max_element(plan.batches.begin(), plan.batches.end());
  return batch * pages_for(context + 2 * plan.steps + 1);
}

std::size_t cache_bytes_read(const ModelConfig& config, const StepFootprint& footprint, std::int64_t context) {
  const std::int64_t positions = context + 1;
  if (!config.has_indexer() || positions <= config.index_topk) return static_cast<std::size_t>(positions) * footprint.latent_row;
  return static_cast<std::size_t>(config.index_topk) * footprint.latent_row + static_cast<std::size_t>(positions) * footprint.index_row;
}

double expected_experts(const ModelConfig& config, int moe_layers, int batch) {
  if (config.experts == 0) return 0;
  const double missed = 1.0 - static_cast<double>(config.experts_per_token) / config.experts;
  return moe_layers * config.experts * (1.0 - std::pow(missed, batch));
}

BenchFigures bench_model(BenchDevice& device, const BenchPlan& plan, const std::function<void(const std::string&)>& note) {
  check_plan(device, plan);
  BenchFigures out;
  note("reading from memory");
  out.memory_rate = device.read_rate(kMemoryBytes);
  Bench bench(device, plan);
  for (const int context : plan.contexts) {
    note(fmt::format("prefill of {} tokens", context));
    out.prefill.push_back(bench.prefill(context));
    for (const int batch : plan.batches) {
      note(fmt::format("decoding after {} tokens, batch {}", context, batch));
      out.decode.push_back(bench.decode(context, batch));
    }
  }
  // Last, because the scheduler writes over the cache.
  for (auto& figure : out.decode) {
    note(fmt::format("scheduler after {} tokens, batch {}", figure.context, figure.batch));
    figure.engine_seconds = bench.engine(figure.context, figure.batch, figure.engine_busy);
  }
  return out;
}

}  // namespace gauntlet
