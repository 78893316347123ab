#include "inference/attention_recall.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/error.h"
#include "inference/backend_case.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/golden_case.h"
#include "inference/reference_model.h"

namespace gauntlet {

TEST_CASE("recall and attainable are 1 while all positions are chosen, then what a direct computation of dense attention and a sort of it give") {
  for (const char* name : {"v32-tiny", "v32-mid"}) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const auto topk = static_cast<std::size_t>(golden.weights.config.index_topk), layers = static_cast<std::size_t>(golden.weights.config.layers);
    REQUIRE(golden.ids.size() > topk);
    for (const std::size_t chunk : {golden.ids.size(), std::size_t{1}}) {  // tokens by threads, and heads by threads
      CAPTURE(chunk);
      CpuBackend backend(golden.weights, {.threads = 2, .pages = 8});
      Selections chosen;
      AttentionRecall recall;
      backend.record_selections(&chosen);
      backend.record_recall(&recall);
      SequenceRun run{backend, pages_from(0, 8)};
      for (std::size_t at = 0; at < golden.ids.size(); at += chunk) run.forward(std::span(golden.ids).subspan(at, std::min(chunk, golden.ids.size() - at)), LogitsOf::None);

      const ReferenceModel reference(golden.weights, static_cast<std::int64_t>(golden.ids.size()));
      const auto positions = [&](int layer, std::int64_t position) {
        const auto row = std::span(chosen.layers[static_cast<std::size_t>(layer)]).subspan(static_cast<std::size_t>(position) * topk, topk);
        return std::vector<std::int32_t>(row.begin(), std::find(row.begin(), row.end(), -1));
      };
      std::size_t compared = 0, partial = 0, below_best = 0;
      float worst = 0, worst_best = 0;
      ReferenceModel::Sequence sequence;
      reference.forward(sequence, golden.ids, {.dense_attention = [&](int layer, std::int64_t position, std::span<const float> paid) {
                          const auto [found, attainable] = recall.layers[static_cast<std::size_t>(layer)][static_cast<std::size_t>(position)];
                          float expected = 0;
                          for (const auto s : positions(layer, position)) expected += paid[static_cast<std::size_t>(s)];
                          worst = std::max(worst, std::fabs(found - expected));
                          std::vector<float> sorted(paid.begin(), paid.end());
                          std::sort(sorted.begin(), sorted.end(), std::greater<>());
                          float best = 0;
                          for (std::size_t i = 0; i < std::min(topk, sorted.size()); ++i) best += sorted[i];
                          worst_best = std::max(worst_best, std::fabs(attainable - best));
                          CHECK(attainable >= found);
                          CHECK(attainable <= 1.0f);
                          below_best += found < attainable;
                          if (position < static_cast<std::int64_t>(topk)) {
                            CHECK(found == 1.0f);
                            CHECK(attainable == 1.0f);
                          }
                          partial += found > 0.0f && found < 1.0f;
                          ++compared;
                        },
                        .forced_positions = positions});
      CHECK(compared == layers * golden.ids.size());
      CHECK(partial == layers * (golden.ids.size() - topk));
      CHECK(worst < 1e-3f);
      CHECK(worst_best < 1e-3f);
      CHECK(below_best > 0);
    }
  }
}

TEST_CASE("a report counts the queries that had to choose, of each layer and of all") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  const auto topk = static_cast<std::size_t>(golden.weights.config.index_topk);
  const std::vector<std::int32_t> few(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(topk)), more(golden.ids.begin(), golden.ids.begin() + static_cast<std::ptrdiff_t>(topk + 5));
  const std::vector<std::vector<std::int32_t>> sequences = {few, more, more};
  std::size_t told = 0;
  const RecallReport report = measure_recall(golden.weights, sequences, 1, [&](std::size_t number) { CHECK(number == ++told); });
  CHECK(told == 3);
  CHECK(report.tokens == static_cast<std::int64_t>(3 * topk + 10));
  REQUIRE(report.layers.size() == static_cast<std::size_t>(golden.weights.config.layers));
  double mean = 0, attainable = 0;
  for (const auto& layer : report.layers) {
    CHECK(layer.queries == 10);
    CHECK((0 < layer.least && layer.least <= layer.tenth && layer.tenth <= 1 && layer.least <= layer.mean && layer.mean < 1));
    CHECK((layer.mean < layer.attainable && layer.attainable < 1));
    CHECK(layer.of_attainable < 1);
    CHECK(layer.of_attainable == doctest::Approx(layer.mean / layer.attainable));
    attainable += layer.attainable / static_cast<double>(report.layers.size());
    mean += layer.mean / static_cast<double>(report.layers.size());
  }
  CHECK(report.all.queries == static_cast<std::int64_t>(10 * report.layers.size()));
  CHECK(report.all.mean == doctest::Approx(mean));
  CHECK(report.all.attainable == doctest::Approx(attainable));
  CHECK(report.all.of_attainable == doctest::Approx(mean / attainable));
  const RecallReport none = measure_recall(golden.weights, std::span(sequences).first(1), 1);
  CHECK(none.all.queries == 0);
  CHECK((none.all.attainable == 0 && none.all.of_attainable == 0));
}

TEST_CASE("models without an indexer and sequences that are too long have no recall") {
  const GoldenCase dense = load_golden_case("v3-dense-attention"), tiny = load_golden_case("v32-tiny");
  const std::vector<std::vector<std::int32_t>> one = {{1, 2}}, longer = {std::vector<std::int32_t>(static_cast<std::size_t>(tiny.weights.config.max_positions) + 1, 1)};
  CHECK_THROWS_WITH_AS(measure_recall(dense.weights, one, 1), "the model has no indexer: it attends to every position", Error);
  CHECK_THROWS_WITH_AS(measure_recall(tiny.weights, longer, 1), "the model has 4096 positions; found a sequence of 4097 ids", Error);
}

}  // namespace gauntlet
