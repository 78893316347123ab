#pragma once

// A checkpoint as token ids in, logits out: what `gauntlet model logits` and `generate` need. make_token_model is the only place that
// decides what computes it.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "inference/model_config.h"

namespace gauntlet {

struct TokenModelOptions {
  std::string folder;
  std::string device = "cpu";  ///< or cuda
  std::string dtype;           ///< f32 on cpu; bf16 or fp8 (bf16 arithmetic over an FP8 cache) on cuda. Empty: the first of these
};

/// (layer, position, the positions that its attention read, ascending); only from layers with an indexer.
using SelectionSink = std::function<void(int, std::int64_t, std::span<const std::int32_t>)>;

/// One sequence, from its start. Called from one thread; blocks.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends `ids` and returns the logits after each of them, [ids, vocab]. `selected` may be empty.
  virtual std::vector<float> forward(std::span<const std::int32_t> ids, const SelectionSink& selected) = 0;
};

/// What `dtype` comes to.
std::string resolved_dtype(const TokenModelOptions& options);

/// Throws Error(Usage) for a device or a type that does not exist here, naming what does.
void check_token_model(const TokenModelOptions& options);

/// For sequences of up to `positions` tokens. Throws Error.
std::unique_ptr<TokenModel> make_token_model(const TokenModelOptions& options, const ModelConfig& config, std::int64_t positions);

}  // namespace gauntlet
