#include "inference/reference_model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/rng.h"
#include "inference/backend_case.h"
#include "inference/golden_case.h"

namespace gauntlet {
namespace {

/// The scores of positions that one side chose and the other did not, all within this of the cut.
constexpr float kCutGap = 1e-5f;

std::size_t best(std::span<const float> row) { return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin()); }

/// Swaps between the two sets may only concern positions whose scores are at the cut.
void check_selection(std::span<const std::int32_t> ours, const std::int32_t* theirs, std::size_t k, std::span<const float> scores, std::size_t& compared) {
  std::set<std::int32_t> expected;
  for (std::size_t i = 0; i < k; ++i) {
    if (theirs[i] >= 0 && static_cast<std::size_t>(theirs[i]) < scores.size()) expected.insert(theirs[i]);
  }
  REQUIRE(expected.size() == ours.size());
  float cut = INFINITY;
  for (const auto p : ours) cut = std::min(cut, scores[static_cast<std::size_t>(p)]);
  for (const auto p : ours) CHECK((expected.contains(p) || std::fabs(scores[static_cast<std::size_t>(p)] - cut) <= kCutGap));
  for (const auto p : expected) CHECK((std::binary_search(ours.begin(), ours.end(), p) || std::fabs(scores[static_cast<std::size_t>(p)] - cut) <= kCutGap));
  ++compared;
}

TEST_CASE("logits, hidden states and selections equal those of an independent implementation") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const ReferenceModel model(golden.weights, static_cast<std::int64_t>(golden.ids.size()));
    const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab), dim = static_cast<std::size_t>(golden.weights.config.dim);
    const auto k = static_cast<std::size_t>(golden.weights.config.index_topk);
    std::vector<std::vector<std::int32_t>> selected;
    std::vector<std::vector<float>> hidden;
    for (int i = 0; i < golden.weights.config.layers; ++i) {
      if (golden.weights.config.has_indexer()) selected.push_back(golden.integers("selected." + std::to_string(i)));
      hidden.push_back(golden.floats("hidden." + std::to_string(i)));
    }
    std::size_t compared = 0;
    float hidden_difference = 0;
    ForwardTrace trace;
    trace.selected = [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen, std::span<const float> scores) {
      check_selection(chosen, selected[static_cast<std::size_t>(layer)].data() + static_cast<std::size_t>(position) * k, k, scores, compared);
    };
    const std::size_t first_hidden = golden.ids.size() - hidden.front().size() / dim;
    trace.hidden = [&](int layer, std::int64_t position, std::span<const float> row) {
      if (static_cast<std::size_t>(position) < first_hidden) return;
      const float* theirs = hidden[static_cast<std::size_t>(layer)].data() + (static_cast<std::size_t>(position) - first_hidden) * dim;
      hidden_difference = std::max(hidden_difference, largest_difference(row, {theirs, dim}));
    };
    ReferenceModel::Sequence sequence;
    const auto logits = model.forward(sequence, golden.ids, trace);
    const auto last = golden.floats("logits"), first = golden.floats("logits_first");
    CHECK(largest_difference(std::span(logits).last(last.size()), last) < 2e-4f);
    CHECK(largest_difference(std::span(logits).first(first.size()), first) < 2e-4f);
    CHECK(hidden_difference < 2e-4f);
    CHECK(logits.size() == golden.ids.size() * vocab);
    if (golden.weights.config.has_indexer()) CHECK(compared == golden.ids.size() * static_cast<std::size_t>(golden.weights.config.layers));
  }
}

TEST_CASE("greedy continuations equal those of an independent implementation, and the cache carries the prompt") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const ReferenceModel model(golden.weights, 1024);
    const auto vocab = static_cast<std::size_t>(golden.weights.config.vocab);
    ReferenceModel::Sequence sequence;
    auto logits = model.forward(sequence, std::span(golden.ids).first(golden.greedy_prompt));
    for (std::size_t i = 0; i < golden.greedy.size(); ++i) {
      const auto id = static_cast<std::int32_t>(best(std::span(logits).last(vocab)));
      REQUIRE(id == golden.greedy[i]);
      logits = model.forward(sequence, {&id, 1});
    }
  }
}

TEST_CASE("up to index_topk positions sparse attention is dense attention, and beyond it is not") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  const ReferenceModel sparse(golden.weights, 256), dense(golden.weights, 256, {.dense_attention = true});
  const auto k = static_cast<std::size_t>(golden.weights.config.index_topk), vocab = static_cast<std::size_t>(golden.weights.config.vocab);
  ReferenceModel::Sequence a, b;
  const auto x = sparse.forward(a, golden.ids), y = dense.forward(b, golden.ids);
  CHECK(largest_difference(std::span(x).first(k * vocab), std::span(y).first(k * vocab)) == 0.0f);
  CHECK(largest_difference(x, y) > 1e-3f);
}

TEST_CASE("NaN in a cached entry that is not selected does not reach the output") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  const ReferenceModel model(golden.weights, 256);
  const auto heads_qk = static_cast<std::size_t>(golden.weights.config.heads * golden.weights.config.qk_dim());
  const auto heads_v = static_cast<std::size_t>(golden.weights.config.heads * golden.weights.config.v_dim);
  ReferenceModel::Sequence clean;
  const auto prompt = std::span(golden.ids).first(golden.ids.size() - 1);
  model.forward(clean, prompt);
  ReferenceModel::Sequence copy = clean;
  std::vector<std::vector<std::int32_t>> chosen(static_cast<std::size_t>(golden.weights.config.layers));
  ForwardTrace trace;
  trace.selected = [&](int layer, std::int64_t, std::span<const std::int32_t> positions, std::span<const float>) { chosen[static_cast<std::size_t>(layer)].assign(positions.begin(), positions.end()); };
  const auto last = std::span(golden.ids).last(1);
  const auto expected = model.forward(clean, last, trace);
  for (std::size_t layer = 0; layer < chosen.size(); ++layer) {
    for (std::int32_t p = 0; p < copy.length; ++p) {
      if (std::binary_search(chosen[layer].begin(), chosen[layer].end(), p)) continue;
      std::fill_n(copy.layers[layer].keys.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(p) * heads_qk), heads_qk, NAN);
      std::fill_n(copy.layers[layer].values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(p) * heads_v), heads_v, NAN);
    }
  }
  CHECK(model.forward(copy, last) == expected);
}

TEST_CASE("the switches of the FP8 deployment change the result by no more than the rounding they stand for") {
  const GoldenCase golden = load_golden_case("v32-real-dims");
  const ReferenceModel exact(golden.weights, 512), rounded(golden.weights, 512, {.fp8_latent = true, .fp8_indexer = true});
  const auto first_layer = [](const ReferenceModel& model, std::span<const std::int32_t> ids) {
    std::vector<float> out;
    ForwardTrace trace;
    trace.hidden = [&](int layer, std::int64_t, std::span<const float> row) {
      if (layer == 0) out.insert(out.end(), row.begin(), row.end());
    };
    ReferenceModel::Sequence sequence;
    model.forward(sequence, ids, trace);
    return out;
  };
  // Fewer than index_topk: only the latent's rounding shows, half a step of e4m3's three bits (1/16) at the most.
  const auto ids = std::span(golden.ids).first(100);
  const auto x = first_layer(exact, ids), y = first_layer(rounded, ids);
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    norm += x[i] * x[i];
  }
  CHECK(std::sqrt(error / norm) > 1e-5);
  CHECK(std::sqrt(error / norm) < 1.0 / 16);
}

TEST_CASE("ids outside the vocabulary and overlong sequences are refused") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  const ReferenceModel model(golden.weights, 4);
  ReferenceModel::Sequence sequence;
  const std::vector<std::int32_t> wrong = {512}, negative = {-1}, five = {1, 2, 3, 4, 5};
  CHECK_THROWS_WITH_AS(model.forward(sequence, wrong), "found the token id 512; accepted: 0 to 511", Error);
  CHECK_THROWS_AS(model.forward(sequence, negative), Error);
  CHECK_THROWS_WITH_AS(model.forward(sequence, five), "the sequence grew past the 4 positions that were prepared", Error);
}

}  // namespace
}  // namespace gauntlet
