#include "inference/attention_recall.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "inference/cpu/cpu_backend.h"

namespace gauntlet {
namespace {

RecallFigures figures_of(std::vector<QueryRecall> shares) {
  if (shares.empty()) return {};
  const auto count = static_cast<double>(shares.size());
  std::sort(shares.begin(), shares.end(), [](const QueryRecall& a, const QueryRecall& b) { return a.chosen < b.chosen; });
  double chosen = 0, attainable = 0;
  for (const auto& share : shares) {
    chosen += share.chosen;
    attainable += share.attainable;
  }
  return {.queries = static_cast<std::int64_t>(shares.size()),
          .mean = chosen / count,
          .tenth = shares[shares.size() / 10].chosen,
          .least = shares.front().chosen,
          .attainable = attainable / count,
          .of_attainable = chosen / attainable};
}

}  // namespace

RecallReport measure_recall(const ModelWeights& weights, std::span<const std::vector<std::int32_t>> sequences, int threads, const std::function<void(std::size_t)>& done) {
  const ModelConfig& config = weights.config;
  require(config.has_indexer(), ErrorKind::Usage, "the model has no indexer: it attends to every position");
  std::size_t longest = 1;
  for (const auto& ids : sequences) longest = std::max(longest, ids.size());
  require(static_cast<std::int64_t>(longest) <= config.max_positions, ErrorKind::Input, fmt::format("the model has {} positions; found a sequence of {} ids", config.max_positions, longest));
  CpuBackend backend(weights, {.threads = threads, .pages = static_cast<int>(pages_for(longest))});
  std::vector<std::int32_t> pages(pages_for(longest));
  std::iota(pages.begin(), pages.end(), 0);

  RecallReport report;
  std::vector<std::vector<QueryRecall>> shares(static_cast<std::size_t>(config.layers));
  const auto first = static_cast<std::size_t>(config.index_topk);  // the first query that has to choose
  for (std::size_t number = 0; number < sequences.size(); ++number) {
    const std::span<const std::int32_t> ids = sequences[number];
    AttentionRecall recall;
    backend.record_recall(&recall);
    for (std::size_t at = 0; at < ids.size();) {
      const auto part = ids.subspan(at, std::min(ids.size() - at, static_cast<std::size_t>(backend.max_tokens())));
      const SequenceStep step{.ids = part, .start = static_cast<std::int64_t>(at), .pages = pages, .logits = LogitsOf::None};
      backend.forward({&step, 1});
      at += part.size();
    }
    backend.record_recall(nullptr);
    report.tokens += static_cast<std::int64_t>(ids.size());
    for (std::size_t i = 0; i < shares.size() && ids.size() > first; ++i) shares[i].insert(shares[i].end(), recall.layers[i].begin() + static_cast<std::ptrdiff_t>(first), recall.layers[i].end());
    if (done) done(number + 1);
  }
  std::vector<QueryRecall> all;
  for (auto& layer : shares) {
    all.insert(all.end(), layer.begin(), layer.end());
    report.layers.push_back(figures_of(std::move(layer)));
  }
  report.all = figures_of(std::move(all));
  return report;
}

}  // namespace gauntlet
