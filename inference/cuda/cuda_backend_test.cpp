#include "inference/cuda/cuda_backend.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"
#include "inference/cuda/decided_case.h"
#include "inference/cuda/kernel_case.h"
#include "inference/golden_case.h"
#include "inference/recording_listener.h"
#include "inference/reference_model.h"
#include "inference/sampling.h"

namespace gauntlet {
namespace {

using kernels::skip_without_device;

constexpr CacheFormat kFormats[] = {CacheFormat::Bf16, CacheFormat::Fp8};

/// Every golden model with either cache.
template <class Body>
void for_each_golden(Body body) {
  for (const auto& name : kGoldenCases) {
    for (const auto format : kFormats) {
      CAPTURE(name);
      CAPTURE(static_cast<int>(format));
      body(load_golden_case(name), format);
    }
  }
}

Ids random_ids(Rng& rng, std::size_t count, int vocab) {
  Ids out(count);
  for (auto& id : out) id = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab)));
  return out;
}

TEST_CASE("the CUDA backend gives the logits of the reference within bf16's rounding, given the same choices") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const auto error_of = [&](kernels::ActivationTerms terms) {
      CudaBackend backend(golden.weights, {.pages = 16, .terms = terms});
      const Decided found = decide(backend, golden.ids);
      ReferenceModel::Sequence sequence;
      return relative_difference(found.logits, ReferenceModel(golden.weights, 512).forward(sequence, golden.ids, following(found.decisions)));
    };
    const double two = error_of(kernels::ActivationTerms::Two), one = error_of(kernels::ActivationTerms::One);
    MESSAGE(name << ": relative error " << two << ", with activations in one term " << one);
    CHECK(two <= 1e-2);
    CHECK(one <= 2e-2);
    CHECK(two < one);
  }
}

TEST_CASE("the CUDA backend chooses the experts that the reference chooses, but for scores near the cut") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    CudaBackend backend(golden.weights, {.pages = 16});
    const Decided found = decide(backend, golden.ids);
    ForwardTrace trace = following(found.decisions);
    std::size_t all = 0, other = 0;
    trace.routed = [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen, std::span<const float>) {
      const Ids mine = trace.forced_experts(layer, position);
      REQUIRE(mine.size() == chosen.size());
      for (const auto e : mine) other += std::binary_search(chosen.begin(), chosen.end(), e) ? 0 : 1;
      all += mine.size();
    };
    ReferenceModel::Sequence sequence;
    ReferenceModel(golden.weights, 512).forward(sequence, golden.ids, trace);
    // Scores are sigmoids of float32 sums over a stream with an error of up to 1e-2: few experts are so near to the cut, or their groups.
    CHECK(all > 0);
    CHECK(other * 50 <= all);
  }
}

TEST_CASE("the most likely token on CUDA is the reference's wherever its lead is clear, given the same choices") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    CudaBackend backend(golden.weights, {.pages = 16});
    Ids ids(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(golden.greedy_prompt));
    ids.insert(ids.end(), golden.greedy.begin(), golden.greedy.end());
    const Decided found = decide(backend, ids);
    ReferenceModel::Sequence sequence;
    const auto expected = ReferenceModel(golden.weights, 1024).forward(sequence, ids, following(found.decisions));
    const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
    std::size_t clear = 0;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      CAPTURE(t);
      auto row = std::span(expected).subspan(t * vocab, vocab);
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      float second = -INFINITY;
      for (std::size_t v = 0; v < vocab; ++v) second = static_cast<std::ptrdiff_t>(v) == best ? second : std::max(second, row[v]);
      if (row[static_cast<std::size_t>(best)] - second <= 0.05f) continue;
      ++clear;
      const auto mine = std::span(found.logits).subspan(t * vocab, vocab);
      REQUIRE(std::max_element(mine.begin(), mine.end()) - mine.begin() == best);
    }
    CHECK(clear * 2 > ids.size());
  }
}

TEST_CASE("the CUDA backend chooses the positions that the reference chooses, but for scores near the cut") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    const GoldenCase golden = load_golden_case(name);
    if (!golden.weights.config.has_indexer()) continue;
    CAPTURE(name);
    CudaBackend backend(golden.weights, {.pages = 16});
    const Selections found = decide(backend, golden.ids).decisions;
    const auto k = static_cast<std::size_t>(found.k);
    ForwardTrace trace = following(found);
    std::size_t rows = 0, chosen_in_all = 0, missed = 0;
    trace.selected = [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen, std::span<const float> scores) {
      const auto row = std::span(found.layers[static_cast<std::size_t>(layer)]).subspan(static_cast<std::size_t>(position) * k, k);
      const auto mine = row.first(static_cast<std::size_t>(std::count_if(row.begin(), row.end(), [](std::int32_t p) { return p >= 0; })));
      REQUIRE(mine.size() == chosen.size());
      REQUIRE(std::is_sorted(mine.begin(), mine.end()));
      REQUIRE(std::adjacent_find(mine.begin(), mine.end()) == mine.end());
      REQUIRE(mine.back() <= position);
      float cut = INFINITY;
      for (const auto p : chosen) cut = std::min(cut, scores[static_cast<std::size_t>(p)]);
      // Queries and keys come out of a residual stream with an error of up to 1e-2 (the bound of the logits) and are rounded to bf16, so
      // products are off by some hundredths of the largest ones.
      const auto [low, high] = std::ranges::minmax(scores);
      const float tolerance = 0.05f * (high - low);
      for (const auto p : mine) {
        if (std::binary_search(chosen.begin(), chosen.end(), p)) continue;
        ++missed;
        REQUIRE(std::fabs(scores[static_cast<std::size_t>(p)] - cut) <= tolerance);
      }
      chosen_in_all += chosen.size();
      ++rows;
    };
    ReferenceModel::Sequence sequence;
    ReferenceModel(golden.weights, 512).forward(sequence, golden.ids, trace);
    CHECK(rows == golden.ids.size() * static_cast<std::size_t>(golden.weights.config.layers));
    CHECK(missed * 10 <= chosen_in_all);  // with errors as large as that, few scores are so near to the cut
  }
}

TEST_CASE("an FP8 cache gives the logits of the reference with the same roundings") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    CudaBackend backend(golden.weights, {.pages = 16, .cache = CacheFormat::Fp8});
    const auto ids = std::span(golden.ids).first(std::min<std::size_t>(golden.ids.size(), 200));
    const Decided found = decide(backend, ids);
    const ForwardTrace trace = following(found.decisions);
    ReferenceModel::Sequence rounded, exact;
    const auto same = ReferenceModel(golden.weights, 512, {.fp8_latent = true, .fp8_indexer = golden.weights.config.has_indexer()}).forward(rounded, ids, trace);
    const auto plain = ReferenceModel(golden.weights, 512).forward(exact, ids, trace);
    // Values near the middle of two e4m3 numbers may go either way, which costs no more than the rounding itself: 2^-4.
    const double error = relative_difference(found.logits, same);
    MESSAGE(name << ": relative error " << error);
    CHECK(error <= 0x1p-4);
    CHECK(error < relative_difference(found.logits, plain));
  }
}

TEST_CASE("a prompt in one go, in chunks and token by token gives the same bits on CUDA, on any pages") {
  if (skip_without_device()) return;
  for_each_golden([](const GoldenCase& golden, CacheFormat format) {
    CudaBackend backend(golden.weights, {.pages = 32, .cache = format, .batch_invariant = true});
    const auto whole = SequenceRun{backend, pages_from(0, 8)}.forward(golden.ids);
    const Ids shuffled = {31, 4, 17, 9, 22, 10, 11, 12};
    for (const std::size_t chunk : {1UL, 7UL, 64UL, 100UL}) {
      CAPTURE(chunk);
      SequenceRun run{backend, shuffled};
      std::vector<float> pieces;
      for (std::size_t at = 0; at < golden.ids.size(); at += chunk) {
        const auto part = run.forward(std::span(golden.ids).subspan(at, std::min(chunk, golden.ids.size() - at)));
        pieces.insert(pieces.end(), part.begin(), part.end());
      }
      REQUIRE(pieces == whole);
    }
  });
}

TEST_CASE("decoding batches of any size and their members alone give the same bits on CUDA, with graphs and without") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-mid");
  constexpr std::size_t kMost = 200;
  for (const auto format : kFormats) {
    CAPTURE(static_cast<int>(format));
    CudaBackend graphs(golden.weights, {.pages = 2 * kMost, .cache = format}), plain(golden.weights, {.pages = 2 * kMost, .cache = format, .graphs = false});
    Rng rng(7);
    std::vector<Ids> prompts;
    std::vector<std::vector<float>> alone;
    for (std::size_t i = 0; i < kMost; ++i) {
      prompts.push_back(random_ids(rng, 2 + rng.below(120), golden.weights.config.vocab));
      const auto prompt = std::span(prompts.back());
      for (CudaBackend* backend : {&graphs, &plain}) SequenceRun{*backend, pages_from(static_cast<int>(2 * i), 2)}.forward(prompt.first(prompt.size() - 1), LogitsOf::None);
      SequenceRun last{plain, pages_from(static_cast<int>(2 * i), 2), static_cast<std::int64_t>(prompt.size()) - 1};
      alone.push_back(last.forward(prompt.last(1)));
    }
    // The last token again, over the entries that it wrote before: as many sequences as the batch holds. Twice, because graphs are recorded
    // the first time and replayed the second.
    for (const std::size_t size : {1UL, 2UL, 3UL, 7UL, 33UL, 64UL, kMost}) {
      for (int time = 0; time < 2; ++time) {
        for (CudaBackend* backend : {&graphs, &plain}) {
          CAPTURE(size);
          CAPTURE(time);
          CAPTURE(backend == &graphs);
          std::vector<SequenceRun> runs;
          std::vector<SequenceStep> steps;
          std::vector<float> expected;
          for (std::size_t j = 0; j < size; ++j) {
            const std::size_t i = (j * 7 + size) % kMost;
            runs.push_back({*backend, pages_from(static_cast<int>(2 * i), 2), static_cast<std::int64_t>(prompts[i].size()) - 1});
            expected.insert(expected.end(), alone[i].begin(), alone[i].end());
          }
          for (std::size_t j = 0; j < size; ++j) steps.push_back(runs[j].step(std::span(prompts[(j * 7 + size) % kMost]).last(1), LogitsOf::Last));
          const auto together = backend->forward(steps);
          REQUIRE(std::vector<float>(together.begin(), together.end()) == expected);
        }
      }
    }
  }
}

TEST_CASE("a batch of prompts and decoding sequences and its members alone give the same bits on CUDA") {
  if (skip_without_device()) return;
  for_each_golden([](const GoldenCase& golden, CacheFormat format) {
    CudaBackend backend(golden.weights, {.pages = 64, .max_tokens = 1200, .cache = format, .batch_invariant = true});
    Rng rng(8);
    const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
    std::vector<Ids> prompts;
    std::vector<std::vector<float>> alone;
    for (int i = 0; i < 9; ++i) {
      prompts.push_back(random_ids(rng, 1 + rng.below(120), golden.weights.config.vocab));
      alone.push_back(SequenceRun{backend, pages_from(0, 2)}.forward(prompts.back()));
    }
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
  });
}

TEST_CASE("twenty runs of one pass give the same bits") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-real-dims");
  CudaBackend backend(golden.weights, {.pages = 16});
  const auto first = SequenceRun{backend, pages_from(0, 8)}.forward(golden.ids);
  for (int i = 0; i < 20; ++i) REQUIRE(SequenceRun{backend, pages_from(i % 8, 8)}.forward(golden.ids) == first);
}

TEST_CASE("NaN in pages of nobody, and in the rest of a page that is begun, does not reach the output") {
  if (skip_without_device()) return;
  for_each_golden([](const GoldenCase& golden, CacheFormat format) {
    CudaBackend clean(golden.weights, {.pages = 16, .cache = format}), spoilt(golden.weights, {.pages = 16, .cache = format});
    for (std::int32_t page = 0; page < 16; ++page) spoilt.poison_page(page);
    const auto prompt = std::span(golden.ids).first(golden.ids.size() - 7);
    SequenceRun a{clean, pages_from(3, 8)}, b{spoilt, {12, 3, 9, 1, 14, 6, 0, 11}};
    const auto expected = a.forward(prompt);
    REQUIRE(std::ranges::all_of(expected, [](float v) { return std::isfinite(v); }));
    CHECK(b.forward(prompt) == expected);
    for (const auto& id : std::span(golden.ids).last(7)) CHECK(b.forward({&id, 1}) == a.forward({&id, 1}));
  });
}

TEST_CASE("sparse attention on CUDA is dense attention for contexts up to index_topk") {
  if (skip_without_device()) return;
  for (const auto& name : kGoldenCases) {
    const GoldenCase golden = load_golden_case(name);
    if (!golden.weights.config.has_indexer()) continue;
    for (const auto format : kFormats) {
      CAPTURE(name);
      CAPTURE(static_cast<int>(format));
      CudaBackend sparse(golden.weights, {.pages = 8, .cache = format}), dense(golden.weights, {.pages = 8, .cache = format, .dense_attention = true});
      const auto ids = std::span(golden.ids).first(static_cast<std::size_t>(golden.weights.config.index_topk));
      CHECK(SequenceRun{sparse, pages_from(0, 8)}.forward(ids) == SequenceRun{dense, pages_from(0, 8)}.forward(ids));
      CHECK(relative_difference(SequenceRun{sparse, pages_from(0, 8)}.forward(golden.ids), SequenceRun{dense, pages_from(0, 8)}.forward(golden.ids)) > 1e-3);
    }
  }
}

TEST_CASE("a copied page carries a fork on, on CUDA") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-tiny");
  for (const auto format : kFormats) {
    CudaBackend backend(golden.weights, {.pages = 8, .cache = format});
    SequenceRun first{backend, {0, 1}};
    first.forward(std::span(golden.ids).first(80), LogitsOf::None);
    backend.poison_page(5);
    backend.copy_page(1, 5);
    SequenceRun fork{backend, {0, 5}, first.length};
    const auto rest = std::span(golden.ids).subspan(80);
    CHECK(fork.forward(rest) == first.forward(rest));
  }
}

TEST_CASE("tokens drawn on CUDA are those that a sampler draws from the logits, beside rows whose logits are wanted") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-mid");
  const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
  const std::vector<SamplingParameters> draws = {{.temperature = 0}, {.seed = 1}, {.temperature = 0.7, .top_p = 0.9, .seed = 2}, {.temperature = 1.3, .top_k = 5, .seed = 3}, {.min_p = 0.05, .seed = 4}};
  for (const bool graphs : {true, false}) {
    CAPTURE(graphs);
    CudaBackend backend(golden.weights, {.pages = 16, .graphs = graphs});
    std::vector<SequenceRun> runs;
    for (int i = 0; i < 6; ++i) {
      runs.push_back({backend, pages_from(2 * i, 2)});
      runs.back().forward(std::span(golden.ids).subspan(static_cast<std::size_t>(i), 40), LogitsOf::None);
    }
    for (std::uint64_t step = 0; step < 4; ++step) {
      const auto next = std::span(golden.ids).subspan(100 + step, 1);
      std::vector<SequenceStep> steps;
      for (auto& run : runs) {
        steps.push_back(run.step(next, LogitsOf::Last));
        --run.length;
      }
      const auto rows = backend.forward(steps);
      const std::vector<float> logits(rows.begin(), rows.end());
      std::vector<RowWish> wishes;
      for (const auto& parameters : draws) wishes.push_back({.draw = &parameters, .step = step});
      wishes.insert(wishes.begin() + 2, RowWish{});
      const auto drawn = backend.forward_and_draw(steps, wishes);
      REQUIRE(drawn.tokens.size() == 6);
      for (std::size_t i = 0; i < 6; ++i) {
        CAPTURE(i);
        const auto row = std::span<const float>(logits).subspan(i * vocab, vocab);
        if (wishes[i].draw == nullptr) {
          CHECK(drawn.tokens[i].id == -1);
          CHECK(std::ranges::equal(drawn.logits, row));
          continue;
        }
        const auto expected = Sampler().sample(row, *wishes[i].draw, {}, {}, step);
        CHECK(drawn.tokens[i].id == expected.id);
        CHECK(std::fabs(drawn.tokens[i].logprob - expected.logprob) < 1e-5f);
      }
      for (auto& run : runs) ++run.length;
    }
  }
}

TEST_CASE("selections and logits of a pass do not depend on who watches") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-tiny");
  CudaBackend backend(golden.weights, {.pages = 8});
  const auto unwatched = SequenceRun{backend, pages_from(0, 2)}.forward(golden.ids);
  Selections found;
  backend.record_selections(&found);
  SequenceRun run{backend, pages_from(2, 2)};
  std::vector<float> watched = run.forward(std::span(golden.ids).first(90));
  for (const auto& id : std::span(golden.ids).subspan(90)) {
    const auto row = run.forward({&id, 1});
    watched.insert(watched.end(), row.begin(), row.end());
  }
  backend.record_selections(nullptr);
  CHECK(watched == unwatched);
  REQUIRE(found.layers.size() == static_cast<std::size_t>(golden.weights.config.layers));
  for (const auto& layer : found.layers) CHECK(layer.size() == golden.ids.size() * static_cast<std::size_t>(found.k));
}

TEST_CASE("options that make no sense and batches that do not fit are refused on CUDA") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-tiny");
  CHECK_THROWS_AS(CudaBackend(golden.weights, {.pages = 0}), Error);
  CHECK_THROWS_AS(CudaBackend(golden.weights, {.max_tokens = 0}), Error);
  CudaBackend backend(golden.weights, {.pages = 2, .max_tokens = 8});
  const Ids nine(9, 1), wrong = {golden.weights.config.vocab}, negative = {-1};
  CHECK_THROWS_AS((SequenceRun{backend, {0}}.forward(nine)), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {0}}.forward(wrong)), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {0}}.forward(negative)), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {2}}.forward(std::span(nine).first(1))), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {}}.forward(std::span(nine).first(1))), Error);
  CHECK_THROWS_AS((SequenceRun{backend, {0}, 64}.forward(std::span(nine).first(1))), Error);
  CHECK(backend.forward({}).empty());
  CHECK(SequenceRun{backend, {1}}.forward(std::span(nine).first(1)).size() == static_cast<std::size_t>(golden.weights.config.vocab));
}

TEST_CASE("decoding over the sizes of graphs and of parts of lists gives the bits of plain launches and of one prefill") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-tiny");
  Rng rng(9);
  const Ids ids = random_ids(rng, 1100, golden.weights.config.vocab);
  // Dense attention has lists of several parts; pages are not a power of two.
  for (const bool dense : {false, true}) {
    CAPTURE(dense);
    CudaBackend graphs(golden.weights, {.pages = 43, .max_tokens = 1200, .dense_attention = dense}), plain(golden.weights, {.pages = 43, .max_tokens = 1200, .graphs = false, .dense_attention = dense});
    const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
    const auto whole = SequenceRun{plain, pages_from(20, 18)}.forward(ids);
    for (const std::size_t start : {500UL, 1010UL}) {
      CAPTURE(start);
      SequenceRun a{graphs, pages_from(1, 18)}, short_one{graphs, pages_from(30, 2)};
      a.forward(std::span(ids).first(start), LogitsOf::None);
      short_one.forward(std::span(ids).first(3), LogitsOf::None);
      for (std::size_t t = start; t < start + 40; ++t) {
        const std::vector<SequenceStep> steps = {a.step(std::span(ids).subspan(t, 1), LogitsOf::Last), short_one.step(std::span(ids).subspan(3 + t - start, 1), LogitsOf::Last)};
        const auto rows = graphs.forward(steps);
        REQUIRE(std::equal(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(vocab), whole.begin() + static_cast<std::ptrdiff_t>(t * vocab)));
        REQUIRE(std::equal(rows.begin() + static_cast<std::ptrdiff_t>(vocab), rows.end(), whole.begin() + static_cast<std::ptrdiff_t>((3 + t - start) * vocab)));
      }
    }
  }
}

TEST_CASE("what the scheduler samples on CUDA does not depend on company, chunks or preemption") {
  if (skip_without_device()) return;
  const GoldenCase golden = load_golden_case("v32-mid");
  Rng rng(10);
  std::vector<EngineRequest> requests(9);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt = random_ids(rng, 5 + rng.below(150), golden.weights.config.vocab);
    requests[i].sampling = {.temperature = i % 3 == 0 ? 0.0 : 1.0, .top_p = i % 2 == 0 ? 0.9 : 1.0, .presence_penalty = i == 4 ? 0.5 : 0.0, .seed = i};
    requests[i].max_tokens = 90;
    requests[i].prompt_logprobs = i == 5;
    requests[i].samples = i == 6 ? 3 : 1;
  }
  const auto copy = [](const EngineRequest& r, std::shared_ptr<EngineListener> listener) {
    return EngineRequest{.prompt = r.prompt, .sampling = r.sampling, .samples = r.samples, .max_tokens = r.max_tokens, .prompt_logprobs = r.prompt_logprobs, .listener = std::move(listener)};
  };
  std::vector<std::shared_ptr<RecordingListener>> alone;
  for (const auto& request : requests) {
    CudaBackend backend(golden.weights, {.pages = 32, .max_tokens = 256});
    Scheduler scheduler(backend, {});
    alone.push_back(std::make_shared<RecordingListener>());
    scheduler.add(1, copy(request, alone.back()));
    while (scheduler.step()) {
    }
  }
  for (const int chunk : {7, 64, 256}) {
    CAPTURE(chunk);
    CudaBackend backend(golden.weights, {.pages = 13, .max_tokens = 256});
    Scheduler scheduler(backend, {.chunk_tokens = chunk});
    std::vector<std::shared_ptr<RecordingListener>> together;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      together.push_back(std::make_shared<RecordingListener>());
      scheduler.add(i, copy(requests[i], together.back()));
    }
    while (scheduler.step()) {
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CAPTURE(i);
      for (int sample = 0; sample < requests[i].samples; ++sample) {
        CHECK(together[i]->sample(sample).ids == alone[i]->sample(sample).ids);
        CHECK(together[i]->sample(sample).logprobs == alone[i]->sample(sample).logprobs);
      }
      CHECK(together[i]->prompt() == alone[i]->prompt());
    }
  }
}

}  // namespace
}  // namespace gauntlet
