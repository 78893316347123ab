#include "inference/model_bench.h"

#include <doctest/doctest.h>

#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

const GoldenCase& tiny() {
  static const GoldenCase golden = load_golden_case("v32-tiny");
  return golden;
}

BenchDevice device(int pages) {
  auto backend = std::make_unique<CpuBackend>(tiny().weights, CpuBackendOptions{.threads = 1, .pages = pages, .max_tokens = 64});
  const StepFootprint footprint = backend->footprint();
  return {.hardware = "test", .threads = 1, .backend = std::move(backend), .footprint = footprint, .read_rate = [](std::size_t) { return 1e9; }, .experts_touched = [] { return 5; }};
}

TEST_CASE("a plan is measured for every context and batch, with the bytes that a step reads") {
  const BenchPlan plan{.contexts = {10, 100}, .batches = {1, 3}, .steps = 4, .repeats = 2};
  BenchDevice cpu = device(bench_pages(plan));
  const auto figures = bench_model(cpu, plan, [](const std::string&) {});
  REQUIRE(figures.prefill.size() == 2);
  REQUIRE(figures.decode.size() == 4);
  CHECK(figures.prefill[1].context == 100);
  CHECK(figures.prefill[1].seconds.size() == 2);
  const auto& last = figures.decode[3];
  CHECK(last.context == 100);
  CHECK(last.batch == 3);
  CHECK(last.seconds.size() == 2);
  CHECK(last.engine_seconds.size() == 2);
  CHECK(least(last.seconds) > 0);
  CHECK(last.bytes == static_cast<double>(cpu.footprint.fixed + 5 * cpu.footprint.expert + 3 * cache_bytes_read(tiny().weights.config, cpu.footprint, 102)));
}

TEST_CASE("attention reads all positions up to index_topk, then the chosen ones and every index key") {
  ModelConfig config = tiny().weights.config;
  const StepFootprint footprint{.latent_row = 1000, .index_row = 10};
  REQUIRE(config.index_topk == 16);
  CHECK(cache_bytes_read(config, footprint, 15) == 16'000);
  CHECK(cache_bytes_read(config, footprint, 99) == 17'000);
  config.index_heads = 0;
  CHECK(cache_bytes_read(config, footprint, 99) == 100'000);
}

TEST_CASE("a batch touches all experts in the end, one token those that it chose") {
  const ModelConfig& config = tiny().weights.config;  // 2 of 8 experts
  CHECK(expected_experts(config, 3, 1) == doctest::Approx(6));
  CHECK(expected_experts(config, 3, 1000) == doctest::Approx(24));
}

TEST_CASE("the CPU's footprint counts every packed byte, and the experts that a pass read") {
  CpuBackend backend(tiny().weights, {.threads = 1, .pages = 2});
  const StepFootprint footprint = backend.footprint();
  // All of the model but the embedding, in bf16, rows padded to panels.
  CHECK(footprint.fixed + static_cast<std::size_t>(2 * 8) * footprint.expert >= 2 * (tiny().weights.parameters - std::size_t{512} * 128 - 4000));
  CHECK(footprint.expert == std::size_t{2} * 3 * 64 * 128);
  const std::int32_t id = 3, page = 0;
  const SequenceStep step{.ids = {&id, 1}, .start = 0, .pages = {&page, 1}};
  backend.forward({&step, 1});
  CHECK(backend.experts_touched() == 2 * 2);
}

TEST_CASE("plans that do not fit the model or the cache are refused") {
  const auto refusal = [](const BenchPlan& plan, int pages) {
    BenchDevice cpu = device(pages);
    return sample::error_of([&] { bench_model(cpu, plan, [](const std::string&) {}); });
  };
  CHECK(refusal({.contexts = {4096}, .batches = {1}, .steps = 8}, 200) == "--contexts: found 4096; accepted: 1 to 4080, the model's 4096 positions less 16 steps of decoding");
  CHECK(refusal({.contexts = {8}, .batches = {65}}, 200) == "--batches: found 65; accepted: 1 to 64");
  CHECK(refusal({.contexts = {100}, .batches = {4}, .steps = 8}, 3) == "the cache has 3 pages; these contexts and batches need 8");
}

TEST_CASE("the median of an even number of values lies between the middle two") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
}

}  // namespace
}  // namespace gauntlet
