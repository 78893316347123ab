#pragma once

// How well the indexer's choice covers attention: along the sparse model's own way through a text, the share of what each query would pay to
// all positions that falls on those chosen for it, beside the largest share that a set of as many positions has.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "inference/weights.h"

namespace gauntlet {

/// Over queries that have more positions before them than are chosen; all 0 where there is none.
struct RecallFigures {
  std::int64_t queries = 0;
  double mean = 0.0, tenth = 0.0, least = 0.0;  ///< of the chosen positions; `tenth`: a tenth of the queries has less
  double attainable = 0.0;                      ///< mean of what each query's best positions have
  double of_attainable = 0.0;                   ///< mean / attainable
};

struct RecallReport {
  std::int64_t tokens = 0;
  RecallFigures all;                     ///< queries of all layers together
  std::vector<RecallFigures> layers;
};

/// On the CPU in float32. Each sequence stands for itself; `done` is told how many are through. Throws Error(Usage) for a model without an
/// indexer, Error(Input) for a sequence that is longer than the model's positions.
RecallReport measure_recall(const ModelWeights& weights, std::span<const std::vector<std::int32_t>> sequences, int threads, const std::function<void(std::size_t)>& done = {});

}  // namespace gauntlet
