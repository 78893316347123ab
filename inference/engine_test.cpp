// Scheduler and Engine over the CPU backend and a tiny model.

#include "inference/engine.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <new>

#include "core/error.h"
#include "core/rng.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/recording_listener.h"

namespace gauntlet {
namespace {

const GoldenCase& tiny() {
  static const GoldenCase golden = load_golden_case("v32-tiny");
  return golden;
}

std::unique_ptr<CpuBackend> backend(int pages = 64, int max_tokens = 256) { return std::make_unique<CpuBackend>(tiny().weights, CpuBackendOptions{.threads = 2, .pages = pages, .max_tokens = max_tokens}); }

std::vector<std::int32_t> random_prompt(Rng& rng, std::size_t size) {
  std::vector<std::int32_t> out(size);
  for (auto& id : out) id = static_cast<std::int32_t>(rng.below(512));
  return out;
}

/// Runs requests together on one scheduler and returns what their listeners saw.
std::vector<std::shared_ptr<RecordingListener>> run(Scheduler& scheduler, std::vector<EngineRequest> requests) {
  std::vector<std::shared_ptr<RecordingListener>> out;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    out.push_back(std::make_shared<RecordingListener>());
    requests[i].listener = out.back();
    scheduler.check(requests[i]);
    scheduler.add(i + 1, std::move(requests[i]));
  }
  for (int guard = 0; scheduler.step(); ++guard) REQUIRE(guard < 100'000);
  return out;
}

RecordingListener::Sample run_one(EngineRequest request, const EngineOptions& options = {}, int pages = 64) {
  const auto device = backend(pages);
  Scheduler scheduler(*device, options);
  std::vector<EngineRequest> requests;
  requests.push_back(std::move(request));
  return run(scheduler, std::move(requests)).front()->sample();
}

/// Allows even ids only.
class EvenOnly : public TokenConstraint {
 public:
  TokenMask mask() override { return mask_; }
  void accept(std::int32_t id) override { CHECK(id % 2 == 0); }
  std::unique_ptr<TokenConstraint> clone() const override { return std::make_unique<EvenOnly>(); }

 private:
  std::vector<std::uint64_t> mask_ = std::vector<std::uint64_t>(8, 0x5555555555555555ULL);
};

/// Fails after some tokens.
class Failing : public TokenConstraint {
 public:
  Failing(std::function<void()> failure, int after) : failure_(std::move(failure)), left_(after) {}
  TokenMask mask() override {
    if (left_ == 0) failure_();
    return {};
  }
  void accept(std::int32_t) override { --left_; }
  std::unique_ptr<TokenConstraint> clone() const override {
    if (left_ < 0) throw std::bad_alloc();
    return std::make_unique<Failing>(*this);
  }

 private:
  std::function<void()> failure_;
  int left_;
};

class BrokenBackend : public Backend {
 public:
  const ModelConfig& config() const override { return tiny().weights.config; }
  CacheSize cache() const override { return {.pages = 4, .page_bytes = 1}; }
  int max_tokens() const override { return 64; }
  std::span<const float> forward(std::span<const SequenceStep>) override { fail(ErrorKind::Infrastructure, "the device is gone"); }
  void copy_page(std::int32_t, std::int32_t) override {}
  void record_selections(Selections*) override {}
  std::string describe() const override { return "broken"; }
};

TEST_CASE("a greedy request gives the continuation that the model gives") {
  const auto& golden = tiny();
  const auto found = run_one({.prompt = {golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(golden.greedy_prompt)}, .sampling = {.temperature = 0}, .max_tokens = 32});
  CHECK(found.ids == golden.greedy);
  CHECK(found.finish == EngineFinish::Length);
}

TEST_CASE("what is sampled does not depend on the company, the chunks, shared prefixes or preemption") {
  Rng rng(5);
  std::vector<std::vector<std::int32_t>> prompts;
  const auto common = random_prompt(rng, 130);
  for (int i = 0; i < 14; ++i) {
    auto prompt = random_prompt(rng, 1 + rng.below(90));
    if (i % 2 == 0) prompt.insert(prompt.begin(), common.begin(), common.end());
    prompts.push_back(prompt);
  }
  const auto request = [&](std::size_t i) {
    return EngineRequest{.prompt = prompts[i], .sampling = {.temperature = 0.8, .top_p = 0.95, .repetition_penalty = i % 3 == 0 ? 1.2 : 1.0, .seed = i}, .max_tokens = 40 + static_cast<int>(i)};
  };
  std::vector<RecordingListener::Sample> alone;
  for (std::size_t i = 0; i < prompts.size(); ++i) alone.push_back(run_one(request(i), {.reuse_prefixes = false}));

  struct Setting {
    EngineOptions options;
    int pages;
    bool preempts;
  };
  for (const Setting& setting : {Setting{{}, 64, false}, Setting{{.chunk_tokens = 17}, 64, false}, Setting{{.reuse_prefixes = false}, 12, true}, Setting{{.chunk_tokens = 50}, 10, true}, Setting{{.max_running = 3}, 64, false}}) {
    CAPTURE(setting.pages);
    const auto device = backend(setting.pages);
    Scheduler scheduler(*device, setting.options);
    std::vector<EngineRequest> requests;
    for (std::size_t i = 0; i < prompts.size(); ++i) requests.push_back(request(i));
    const auto together = run(scheduler, std::move(requests));
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      CAPTURE(i);
      CHECK(together[i]->sample().ids == alone[i].ids);
      CHECK(together[i]->sample().logprobs == alone[i].logprobs);
    }
    CHECK((scheduler.stats().preemptions > 0) == setting.preempts);
    CHECK(scheduler.stats().pages_in_use == 0);
    CHECK(scheduler.stats().finished == static_cast<std::int64_t>(prompts.size()));
  }
}

TEST_CASE("a second turn finds the first one's prefix in the cache") {
  Rng rng(6);
  const auto device = backend();
  Scheduler scheduler(*device, {});
  auto prompt = random_prompt(rng, 100);
  std::vector<EngineRequest> first;
  first.push_back({.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 60});
  const auto answer = run(scheduler, std::move(first)).front()->sample();
  CHECK(answer.cached == 0);
  prompt.insert(prompt.end(), answer.ids.begin(), answer.ids.end());
  const auto more = random_prompt(rng, 5);
  prompt.insert(prompt.end(), more.begin(), more.end());
  std::vector<EngineRequest> second;
  second.push_back({.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 5});
  const auto reused = run(scheduler, std::move(second)).front()->sample();
  CHECK(reused.cached == 128);
  CHECK(reused.ids == run_one({.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 5}).ids);
}

TEST_CASE("several samples of a prompt fork after it, each as if it had been asked for alone") {
  Rng rng(7);
  for (const int pages : {64, 6}) {
    const auto prompt = random_prompt(rng, 100);
    const auto device = backend(pages);
    Scheduler scheduler(*device, {});
    std::vector<EngineRequest> requests;
    requests.push_back({.prompt = prompt, .sampling = {.seed = 11}, .samples = 5, .max_tokens = 30, .constraint = std::make_unique<EvenOnly>()});
    const auto found = run(scheduler, std::move(requests)).front();
    for (int i = 0; i < 5; ++i) {
      const std::uint64_t seed = i == 0 ? 11 : Rng(11).split(static_cast<std::uint64_t>(i)).next();
      const auto single = run_one({.prompt = prompt, .sampling = {.seed = seed}, .max_tokens = 30, .constraint = std::make_unique<EvenOnly>()});
      CHECK(found->sample(i).ids == single.ids);
      CHECK(found->sample(i).finish == EngineFinish::Length);
    }
    CHECK(scheduler.stats().pages_in_use == 0);
  }
}

TEST_CASE("requests with one prompt that start together leave all of its pages to those that follow") {
  Rng rng(12);
  const auto prompt = random_prompt(rng, 200);
  const auto device = backend();
  Scheduler scheduler(*device, {});
  const auto request = [&](std::uint64_t seed) { return EngineRequest{.prompt = prompt, .sampling = {.seed = seed}, .max_tokens = 80}; };
  std::vector<EngineRequest> together;
  for (std::uint64_t i = 0; i < 2; ++i) together.push_back(request(i));
  const auto first = run(scheduler, std::move(together));
  // Both answers can be gone on with from the cache, not only that of the request which was first at the shared part.
  for (const auto& listener : first) {
    auto longer = prompt;
    const auto sample = listener->sample();
    longer.insert(longer.end(), sample.ids.begin(), sample.ids.end());
    std::vector<EngineRequest> more;
    more.push_back({.prompt = longer, .max_tokens = 2});
    CHECK(run(scheduler, std::move(more)).front()->sample().cached == 256);
  }
}

TEST_CASE("prompts are taken in only as far as all of them fit, so that none is thrown out again") {
  Rng rng(13);
  const auto device = backend(8);
  Scheduler scheduler(*device, {.chunk_tokens = 64});
  std::vector<EngineRequest> requests;
  for (std::uint64_t i = 0; i < 4; ++i) requests.push_back({.prompt = random_prompt(rng, 180), .sampling = {.seed = i}, .max_tokens = 5});
  const auto found = run(scheduler, std::move(requests));
  for (const auto& listener : found) CHECK(listener->sample().finish == EngineFinish::Length);
  CHECK(scheduler.stats().preemptions == 0);
}

TEST_CASE("a sequence that comes back after it gave its pages up counts no cached tokens again") {
  Rng rng(14);
  const auto device = backend(7);
  Scheduler scheduler(*device, {});
  std::vector<EngineRequest> requests;
  for (std::uint64_t i = 0; i < 3; ++i) requests.push_back({.prompt = random_prompt(rng, 100), .sampling = {.seed = i}, .max_tokens = 150});
  const auto found = run(scheduler, std::move(requests));
  CHECK(scheduler.stats().preemptions > 0);
  CHECK(scheduler.stats().cached_tokens == 0);
  for (const auto& listener : found) CHECK(listener->sample().cached == 0);
}

TEST_CASE("a prompt of one token has no log-probabilities, and the listener is told so once") {
  struct Telling : RecordingListener {
    void on_prompt(const std::vector<float>& logprobs, const std::vector<TopTokens>& /*top*/) override {
      ++told;
      CHECK(logprobs.empty());
    }
    int told = 0;
  };
  const auto device = backend();
  Scheduler scheduler(*device, {});
  const auto listener = std::make_shared<Telling>();
  scheduler.add(1, {.prompt = {7}, .max_tokens = 4, .prompt_logprobs = true, .listener = listener});
  while (scheduler.step()) {
  }
  CHECK(listener->told == 1);
}

TEST_CASE("samples that have not split off yet count among those that run") {
  Rng rng(15);
  const auto device = backend();
  Scheduler scheduler(*device, {.max_running = 4, .chunk_tokens = 16});
  std::vector<std::shared_ptr<RecordingListener>> listeners;
  for (std::uint64_t i = 0; i < 3; ++i) {
    listeners.push_back(std::make_shared<RecordingListener>());
    scheduler.add(i, {.prompt = random_prompt(rng, 40), .samples = 3, .max_tokens = 8, .listener = listeners.back()});
  }
  int most = 0;
  while (scheduler.step()) most = std::max(most, scheduler.stats().running);
  CHECK(most == 3);
  for (const auto& listener : listeners) CHECK(listener->sample(2).finish == EngineFinish::Length);
}

TEST_CASE("stop ids, listeners and limits end a sample, each with its reason") {
  const auto& golden = tiny();
  const std::vector<std::int32_t> prompt(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(golden.greedy_prompt));
  const auto stopped = run_one({.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 32, .stop_ids = {golden.greedy[4]}});
  CHECK(stopped.finish == EngineFinish::StopToken);
  CHECK(stopped.ids == std::vector<std::int32_t>(golden.greedy.begin(), golden.greedy.begin() + 5));
  const auto device = backend();
  Scheduler scheduler(*device, {});
  const auto listener = std::make_shared<RecordingListener>();
  listener->stop_after = 3;
  scheduler.add(1, {.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 32, .listener = listener});
  while (scheduler.step()) {
  }
  CHECK(listener->sample().finish == EngineFinish::Stopped);
  CHECK(listener->sample().ids.size() == 3);
  // The context ends before max_tokens does.
  const auto full = run_one({.prompt = std::vector<std::int32_t>(120, 5), .sampling = {.temperature = 0}, .max_tokens = 1000}, {}, 2);
  CHECK(full.finish == EngineFinish::ContextFull);
  CHECK(full.ids.size() == 8);
}

TEST_CASE("log-probabilities of prompt and output are those of one forward pass over both") {
  const auto& golden = tiny();
  const std::vector<std::int32_t> prompt(golden.ids.begin(), golden.ids.begin() + 70);
  const auto device = backend();
  Scheduler scheduler(*device, {.chunk_tokens = 16});
  std::vector<EngineRequest> requests;
  requests.push_back({.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 10, .top_logprobs = 3, .prompt_logprobs = true});
  const auto found = run(scheduler, std::move(requests)).front();
  auto all = prompt;
  const auto sample = found->sample();
  all.insert(all.end(), sample.ids.begin(), sample.ids.end());
  const auto fresh = backend();
  const std::vector<std::int32_t> pages = {0, 1};
  const SequenceStep step{.ids = all, .start = 0, .pages = pages, .logits = LogitsOf::All};
  const auto logits = fresh->forward({&step, 1});
  const auto logprob = [&](std::size_t position, std::int32_t id) {
    const auto row = logits.subspan(position * 512, 512);
    return static_cast<float>(static_cast<double>(row[static_cast<std::size_t>(id)]) - log_sum_exp(row));
  };
  REQUIRE(found->prompt().size() == prompt.size() - 1);
  REQUIRE(found->prompt_top().size() == prompt.size() - 1);
  for (std::size_t i = 0; i + 1 < prompt.size(); ++i) {
    CHECK(found->prompt()[i] == logprob(i, prompt[i + 1]));
    CHECK(found->prompt_top()[i] == top_logprobs(logits.subspan(i * 512, 512), 3));
  }
  for (std::size_t i = 0; i < sample.ids.size(); ++i) {
    CHECK(sample.logprobs[i] == logprob(prompt.size() - 1 + i, sample.ids[i]));
    REQUIRE(sample.top[i].size() == 3);
    CHECK(sample.top[i][0] == std::pair(sample.ids[i], sample.logprobs[i]));
  }
}

TEST_CASE("a cancelled request ends at once and gives its pages back; the others go on") {
  Rng rng(8);
  const auto device = backend();
  Scheduler scheduler(*device, {});
  const auto a = std::make_shared<RecordingListener>(), b = std::make_shared<RecordingListener>(), c = std::make_shared<RecordingListener>();
  scheduler.add(1, {.prompt = random_prompt(rng, 20), .samples = 3, .max_tokens = 500, .listener = a});
  scheduler.add(2, {.prompt = random_prompt(rng, 20), .max_tokens = 20, .listener = b});
  scheduler.add(3, {.prompt = random_prompt(rng, 20), .samples = 2, .max_tokens = 20, .listener = c});
  scheduler.cancel(3);  // before it ran: both of its samples end
  CHECK(c->sample(0).finish == EngineFinish::Cancelled);
  CHECK(c->sample(1).finished);
  for (int i = 0; i < 5; ++i) scheduler.step();
  scheduler.cancel(1);
  for (int i = 0; i < 3; ++i) CHECK(a->sample(i).finish == EngineFinish::Cancelled);
  while (scheduler.step()) {
  }
  CHECK(b->sample().finish == EngineFinish::Length);
  CHECK(scheduler.stats().pages_in_use == 0);
}

TEST_CASE("a constraint that throws ends its own request, and says whose fault it was") {
  const auto device = backend();
  Scheduler scheduler(*device, {});
  std::vector<EngineRequest> requests;
  requests.push_back({.prompt = {1, 2}, .max_tokens = 6, .constraint = std::make_unique<Failing>([] { throw std::bad_alloc(); }, 2)});
  requests.push_back({.prompt = {1, 3}, .max_tokens = 6});
  requests.push_back({.prompt = {1, 4}, .max_tokens = 6, .constraint = std::make_unique<Failing>([] { fail(ErrorKind::Usage, "too ambiguous"); }, 3)});
  requests.push_back({.prompt = {1, 5}, .samples = 2, .max_tokens = 6, .constraint = std::make_unique<Failing>([] { fail(ErrorKind::Internal, "a bug"); }, 0)});
  requests.push_back({.prompt = {1, 6}, .samples = 3, .max_tokens = 6, .constraint = std::make_unique<Failing>([] {}, -1)});  // cannot be cloned
  const auto found = run(scheduler, std::move(requests));
  CHECK(found[4]->sample(0).finish == EngineFinish::Length);
  for (int i = 1; i < 3; ++i) CHECK(found[4]->sample(i).finish == EngineFinish::Failed);
  CHECK(found[0]->sample().finish == EngineFinish::Failed);
  CHECK(found[0]->sample().ids.size() == 2);
  CHECK(found[1]->sample().finish == EngineFinish::Length);
  CHECK(found[1]->sample().ids.size() == 6);
  CHECK(found[2]->sample().finish == EngineFinish::Rejected);
  CHECK(found[2]->sample().failure == "too ambiguous");
  CHECK(found[2]->sample().ids.size() == 3);
  for (int i = 0; i < 2; ++i) {
    CHECK(found[3]->sample(i).finished);
    CHECK(found[3]->sample(i).finish == EngineFinish::Failed);
  }
}

TEST_CASE("requests that make no sense are refused, and say why") {
  const auto device = backend(2);
  const Scheduler scheduler(*device, {.max_samples = 4});
  const auto listener = std::make_shared<RecordingListener>();
  const auto refused = [&](EngineRequest request, const char* part) {
    request.listener = listener;
    try {
      scheduler.check(request);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(part) != std::string::npos);
    }
  };
  refused({.prompt = {}}, "the prompt is empty");
  refused({.prompt = {512}}, "the token id 512; accepted: 0 to 511");
  refused({.prompt = std::vector<std::int32_t>(128, 1)}, "the prompt has 128 tokens; the longest context here is 128");
  refused({.prompt = {1}, .max_tokens = 0}, "max_tokens: found 0");
  refused({.prompt = {1}, .samples = 5}, "samples: found 5; accepted: 1 to 4");
  refused({.prompt = {1}, .sampling = {.top_p = 2}}, "top_p: found 2");
  refused({.prompt = {1}, .top_logprobs = -1}, "top_logprobs: found -1");
}

TEST_CASE("a failing device ends its requests as failed, and the engine stays up") {
  Engine engine(std::make_unique<BrokenBackend>(), {});
  for (int i = 0; i < 3; ++i) {
    const auto listener = std::make_shared<RecordingListener>();
    engine.submit({.prompt = {1, 2}, .max_tokens = 4, .listener = listener});
    listener->wait();
    CHECK(listener->sample().finish == EngineFinish::Failed);
    CHECK(listener->sample().failure == "the engine failed: the device is gone");
  }
}

TEST_CASE("many threads share one engine and each gets its own answer") {
  Rng rng(9);
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> expected;
  for (std::size_t i = 0; i < 12; ++i) {
    prompts.push_back(random_prompt(rng, 10 + i * 7));
    expected.push_back(run_one({.prompt = prompts[i], .sampling = {.seed = i}, .max_tokens = 25}).ids);
  }
  Engine engine(backend(20), {});
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      threads.emplace_back([&, i] {
        const auto listener = std::make_shared<RecordingListener>();
        const auto number = engine.submit({.prompt = prompts[i], .sampling = {.seed = i}, .max_tokens = i % 4 == 3 ? 400 : 25, .listener = listener});
        if (i % 4 == 3) engine.cancel(number);
        listener->wait();
        if (i % 4 != 3) CHECK(listener->sample().ids == expected[i]);
      });
    }
  }
  CHECK(engine.stats().requests == 12);
}

TEST_CASE("closing an engine ends what is left") {
  const auto listener = std::make_shared<RecordingListener>();
  {
    Engine engine(backend(), {});
    engine.submit({.prompt = {1, 2, 3}, .max_tokens = 4000, .listener = listener});
  }
  CHECK(listener->sample().finished);
  CHECK(listener->sample().failure == "the engine was closed");
}

}  // namespace
}  // namespace gauntlet
