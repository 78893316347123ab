#pragma once

// gauntlet model info|logits|generate: look into a checkpoint and at what it computes.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/token_model.h"
#include "core/json.h"

namespace gauntlet {

struct ModelLogitsOptions {
  TokenModelOptions model;
  std::string ids, out;
  bool overwrite = false;
};

struct ModelGenerateOptions {
  TokenModelOptions model;
  std::string ids;
  std::int64_t max_new = 64;
  double temperature = 0.0;
  bool ignore_eos = false;
};

/// What `gauntlet model info --json` prints. Sizes are in bytes. Throws Error.
Json describe_model(const std::string& folder);

/// The JSON array of token ids in a file, each in the vocabulary. Throws Error(Input) naming the file and the place.
std::vector<std::int32_t> read_token_ids(const std::string& path, const ModelConfig& config);

/// Writes `logits` [tokens, vocab] float32 and, for each layer with an indexer, `selected.{layer}` [tokens, index_topk] int32: ascending,
/// then -1. Throws Error(Usage) if the file is there and may not be replaced, or is the one with the ids.
void run_model_logits(const ModelLogitsOptions& options);

/// The ids that follow, the most likely each time (of equal ones the lowest); ends after an end-of-text id or max_new.
std::vector<std::int32_t> generate_ids(const ModelGenerateOptions& options);

}  // namespace gauntlet
