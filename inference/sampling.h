#pragma once

// From logits to a token: deterministic given the request's seed and the number of tokens sampled so far, whatever else is in the batch.
// Order of operations: bias by mask, repetition, presence and frequency penalties, temperature, top-k, top-p, min-p, draw. With temperature 0
// the best token is taken (lowest id among equals).
//
// What is cut is decided best first, equal tokens by lower id; what is left is drawn from in the order of ids. Temperature, top_p and min_p
// are rounded to float32, and probabilities are the exact integers of token_mass.h: so a backend that samples on its device takes the same
// tokens.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace gauntlet {

struct SamplingParameters {
  double temperature = 1.0;         ///< 0: greedy
  double top_p = 1.0;               ///< smallest set of best tokens whose probabilities reach this; above 0, to 1
  int top_k = 0;                    ///< 0: all
  double min_p = 0.0;               ///< tokens below this share of the best one's probability are out; 0 to 1
  double repetition_penalty = 1.0;  ///< of tokens in prompt or output (Keskar et al. 2019); above 0
  double presence_penalty = 0.0;    ///< of tokens in the output, once
  double frequency_penalty = 0.0;   ///< of tokens in the output, for each time
  std::uint64_t seed = 0;
};

/// Whether what came before changes the logits.
inline bool has_penalties(const SamplingParameters& p) { return p.repetition_penalty != 1.0 || p.presence_penalty != 0.0 || p.frequency_penalty != 0.0; }

/// Throws Error(Usage) naming the parameter, what was found and what is accepted.
void check_sampling(const SamplingParameters& parameters);

/// The draw in [0, 1) of a request's step, with 53 random bits.
double uniform_draw(std::uint64_t seed, std::uint64_t step);

/// What penalties look at.
struct TokenHistory {
  std::map<std::int32_t, int> prompt;   ///< id to count; filled only when a penalty needs it
  std::map<std::int32_t, int> output;
};

struct SampledToken {
  std::int32_t id = -1;
  float logprob = 0;                ///< natural log of the model's own probability: no mask, penalty or temperature applied
};

/// One bit for each token that may be chosen, lowest bit first; empty: all. At least one bit must be set.
using TokenMask = std::span<const std::uint64_t>;

class Sampler {
 public:
  /// `step`: how many tokens the request has sampled before. NaN logits are never chosen. Throws Error(Internal) when the mask allows nothing
  /// or no allowed logit is finite.
  SampledToken sample(std::span<const float> logits, const SamplingParameters& parameters, const TokenHistory& history, TokenMask mask, std::uint64_t step);

 private:
  std::int32_t draw(std::span<const float> values, float most, const SamplingParameters& p, std::uint64_t step);
  void cut(std::span<const float> values, const SamplingParameters& p);
  static float own_logprob(std::span<const float> logits, std::int32_t id);

  std::vector<float> adjusted_;
  std::vector<std::uint64_t> masses_, kept_;  ///< [vocab]
  std::vector<std::pair<float, std::int32_t>> candidates_;
};

/// log Σ exp, in float64.
double log_sum_exp(std::span<const float> logits);

/// The n most probable tokens with their log-probabilities, best first, ties by lower id.
std::vector<std::pair<std::int32_t, float>> top_logprobs(std::span<const float> logits, int n);

}  // namespace gauntlet
