#include "inference/cpu/cpu_backend.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"
#include "inference/backend_case.h"
#include "inference/golden_case.h"
#include "inference/reference_model.h"

namespace gauntlet {
namespace {

TEST_CASE("the CPU backend gives the logits of an independent implementation on every instruction set") {
  for (const auto& name : kGoldenCases) {
    const GoldenCase golden = load_golden_case(name);
    for (const Isa isa : available_isas()) {
      CAPTURE(name);
      CAPTURE(std::string(isa_name(isa)));
      CpuBackend backend(golden.weights, {.threads = 2, .isa = isa, .pages = 16});
      const auto logits = SequenceRun{backend, pages_from(3, 8)}.forward(golden.ids);
      const auto last = golden.floats("logits"), first = golden.floats("logits_first");
      CHECK(largest_difference(std::span<const float>(logits).last(last.size()), last) < 2e-4f);
      CHECK(largest_difference(std::span<const float>(logits).first(first.size()), first) < 2e-4f);
    }
  }
}

TEST_CASE("the CPU backend chooses the positions that the reference chooses, up to ties of rounding at the cut") {
  for (const auto& name : kGoldenCases) {
    const GoldenCase golden = load_golden_case(name);
    if (!golden.weights.config.has_indexer()) continue;
    CAPTURE(name);
    CpuBackend backend(golden.weights, {.pages = 16});
    Selections found;
    backend.record_selections(&found);
    SequenceRun{backend, pages_from(0, 8)}.forward(golden.ids, LogitsOf::None);
    const auto k = static_cast<std::size_t>(found.k);
    ForwardTrace trace;
    std::size_t rows = 0;
    trace.selected = [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen, std::span<const float> scores) {
      const auto row = std::span(found.layers[static_cast<std::size_t>(layer)]).subspan(static_cast<std::size_t>(position) * k, k);
      const auto mine = row.first(static_cast<std::size_t>(std::count_if(row.begin(), row.end(), [](std::int32_t p) { return p >= 0; })));
      REQUIRE(mine.size() == chosen.size());
      REQUIRE(std::is_sorted(mine.begin(), mine.end()));
      float cut = INFINITY;
      for (const auto p : chosen) cut = std::min(cut, scores[static_cast<std::size_t>(p)]);
      for (const auto p : mine) REQUIRE((std::binary_search(chosen.begin(), chosen.end(), p) || std::fabs(scores[static_cast<std::size_t>(p)] - cut) <= 1e-5f));
      ++rows;
    };
    ReferenceModel::Sequence sequence;
    ReferenceModel(golden.weights, 512).forward(sequence, golden.ids, trace);
    CHECK(rows == golden.ids.size() * static_cast<std::size_t>(golden.weights.config.layers));
  }
}

TEST_CASE("greedy continuations on the CPU equal those of an independent implementation") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    CpuBackend backend(golden.weights, {.pages = 16});
    SequenceRun run{backend, pages_from(0, 16)};
    auto logits = run.forward(std::span(golden.ids).first(golden.greedy_prompt), LogitsOf::Last);
    for (const auto expected : golden.greedy) {
      const auto id = static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      REQUIRE(id == expected);
      logits = run.forward({&id, 1}, LogitsOf::Last);
    }
  }
}

TEST_CASE("a prompt in one go, in chunks and token by token gives the same bits, on any pages and any number of threads") {
  for (const auto& name : {"v32-mid", "v3-dense-attention"}) {
    CAPTURE(std::string(name));
    const GoldenCase golden = load_golden_case(name);
    CpuBackend two(golden.weights, {.threads = 2, .pages = 32}), one(golden.weights, {.threads = 1, .pages = 32});
    const auto whole = SequenceRun{two, pages_from(0, 8)}.forward(golden.ids);
    Ids shuffled = {31, 4, 17, 9, 22, 10, 11, 12};
    for (CpuBackend* backend : {&two, &one}) {
      for (const std::size_t chunk : {1UL, 7UL, 64UL, 100UL}) {
        CAPTURE(chunk);
        SequenceRun run{*backend, shuffled};
        std::vector<float> pieces;
        for (std::size_t at = 0; at < golden.ids.size(); at += chunk) {
          const auto part = run.forward(std::span(golden.ids).subspan(at, std::min(chunk, golden.ids.size() - at)));
          pieces.insert(pieces.end(), part.begin(), part.end());
        }
        REQUIRE(pieces == whole);
      }
    }
  }
}

TEST_CASE("a batch and its members alone give the same bits") {
  const GoldenCase golden = load_golden_case("v32-mid");
  CpuBackend backend(golden.weights, {.pages = 64});
  Rng rng(7);
  const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
  std::vector<Ids> prompts;
  std::vector<std::vector<float>> alone;
  for (int i = 0; i < 9; ++i) {
    Ids ids(1 + rng.below(120));
    for (auto& id : ids) id = static_cast<std::int32_t>(rng.below(vocab));
    prompts.push_back(ids);
    alone.push_back(SequenceRun{backend, pages_from(0, 2)}.forward(ids));
  }
  // Decoding and prefilling sequences share one batch.
  std::vector<SequenceRun> runs;
  for (int i = 0; i < 9; ++i) runs.push_back({backend, pages_from(2 + 2 * i, 2)});
  for (std::size_t i = 0; i < 9; i += 2) runs[i].forward(std::span(prompts[i]).first(prompts[i].size() - 1), LogitsOf::None);
  std::vector<SequenceStep> steps;
  std::vector<float> expected;
  for (std::size_t i = 0; i < 9; ++i) {
    const auto start = static_cast<std::size_t>(runs[i].length);
    steps.push_back(runs[i].step(std::span(prompts[i]).subspan(start), LogitsOf::All));
    expected.insert(expected.end(), alone[i].begin() + static_cast<std::ptrdiff_t>(start * vocab), alone[i].end());
  }
  const auto together = backend.forward(steps);
  CHECK(std::vector<float>(together.begin(), together.end()) == expected);
}

TEST_CASE("garbage in cache entries that are not selected, or not yet written, does not reach the output") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  CpuBackend backend(golden.weights, {.pages = 8});
  const auto prompt = std::span(golden.ids).first(golden.ids.size() - 1), last = std::span(golden.ids).last(1);
  SequenceRun clean{backend, pages_from(0, 2)};
  clean.forward(prompt, LogitsOf::None);
  SequenceRun spoilt{backend, pages_from(2, 2)};
  spoilt.forward(prompt, LogitsOf::None);
  Selections found;
  backend.record_selections(&found);
  const auto expected = clean.forward(last);
  backend.record_selections(nullptr);
  const auto dim = static_cast<std::size_t>(golden.weights.config.cache_dim());
  for (int layer = 0; layer < golden.weights.config.layers; ++layer) {
    const auto& chosen = found.layers[static_cast<std::size_t>(layer)];
    for (std::int32_t p = 0; p < 128; ++p) {
      const bool read = std::find(chosen.begin(), chosen.end(), p) != chosen.end() || p == static_cast<std::int32_t>(spoilt.length);
      if (!read) std::fill_n(backend.latents(layer).begin() + static_cast<std::ptrdiff_t>((2 * kPageTokens + static_cast<std::size_t>(p)) * dim), dim, NAN);
    }
  }
  CHECK(spoilt.forward(last) == expected);
}

TEST_CASE("sparse attention is dense attention for contexts up to index_topk") {
  const GoldenCase golden = load_golden_case("v32-mid");
  CpuBackend sparse(golden.weights, {.pages = 8}), dense(golden.weights, {.pages = 8, .dense_attention = true});
  const auto ids = std::span(golden.ids).first(static_cast<std::size_t>(golden.weights.config.index_topk));
  CHECK(SequenceRun{sparse, pages_from(0, 4)}.forward(ids) == SequenceRun{dense, pages_from(0, 4)}.forward(ids));
  CHECK(largest_difference(SequenceRun{sparse, pages_from(0, 8)}.forward(golden.ids), SequenceRun{dense, pages_from(0, 8)}.forward(golden.ids)) > 1e-3f);
}

TEST_CASE("a copied page carries a fork on") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  CpuBackend backend(golden.weights, {.pages = 8});
  SequenceRun first{backend, {0, 1}};
  first.forward(std::span(golden.ids).first(80), LogitsOf::None);
  backend.copy_page(1, 5);
  SequenceRun fork{backend, {0, 5}, first.length};
  const auto rest = std::span(golden.ids).subspan(80);
  CHECK(fork.forward(rest) == first.forward(rest));
}

TEST_CASE("8-bit weights stay near the exact ones") {
  const GoldenCase golden = load_golden_case("v3-dense-attention");
  CpuBackend exact(golden.weights, {.pages = 8}), small(golden.weights, {.format = WeightFormat::Int8, .pages = 8});
  const auto ids = std::span(golden.ids).first(8);
  const auto x = SequenceRun{exact, pages_from(0, 4)}.forward(ids), y = SequenceRun{small, pages_from(0, 4)}.forward(ids);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    norm += x[i] * x[i];
  }
  CHECK(std::sqrt(error / norm) < 0.05);
  CHECK(error > 0);
}

TEST_CASE("options that make no sense and batches that do not fit are refused") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  CHECK_THROWS_AS(CpuBackend(golden.weights, {.pages = 0}), Error);
  CHECK_THROWS_AS(CpuBackend(golden.weights, {.threads = -1}), Error);
  CpuBackend backend(golden.weights, {.pages = 2, .max_tokens = 8});
  const Ids nine(9, 1), wrong = {512};
  CHECK_THROWS_AS((SequenceRun{backend, {0}}.forward(nine)), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {0}}.forward(wrong)), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {2}}.forward(std::span(nine).first(1))), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {}}.forward(std::span(nine).first(1))), Error);
}

}  // namespace
}  // namespace gauntlet
