#include "inference/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/rng.h"
#include "inference/cpu/kernels.h"
#include "inference/token_mass.h"

namespace gauntlet {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void check(bool good, const char* name, double found, const char* accepted) { require(good, ErrorKind::Usage, fmt::format("{}: found {}; accepted: {}", name, found, accepted)); }

bool allowed(TokenMask mask, std::size_t id) { return mask.empty() || (id / 64 < mask.size() && ((mask[id / 64] >> (id % 64)) & 1U) != 0); }

/// Best first; equal values by lower id.
bool better(const std::pair<float, std::int32_t>& a, const std::pair<float, std::int32_t>& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

void penalise(std::vector<float>& logits, const SamplingParameters& p, const TokenHistory& history) {
  const auto valid = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < logits.size(); };
  if (p.repetition_penalty != 1.0) {
    const auto divide = [&](std::int32_t id) {
      float& v = logits[static_cast<std::size_t>(id)];
      const auto factor = static_cast<float>(p.repetition_penalty);
      v = v > 0 ? v / factor : v * factor;
    };
    for (const auto& [id, count] : history.prompt) {
      if (valid(id)) divide(id);
    }
    for (const auto& [id, count] : history.output) {
      if (valid(id) && !history.prompt.contains(id)) divide(id);
    }
  }
  if (p.presence_penalty == 0.0 && p.frequency_penalty == 0.0) return;
  for (const auto& [id, count] : history.output) {
    if (valid(id)) logits[static_cast<std::size_t>(id)] -= static_cast<float>(p.presence_penalty + p.frequency_penalty * count);
  }
}

}  // namespace

void check_sampling(const SamplingParameters& p) {
  check(p.temperature >= 0 && p.temperature <= 100, "temperature", p.temperature, "0 to 100");
  check(p.top_p > 0 && p.top_p <= 1, "top_p", p.top_p, "above 0, to 1");
  check(p.top_k >= 0, "top_k", p.top_k, "0 (all) or more");
  check(p.min_p >= 0 && p.min_p <= 1, "min_p", p.min_p, "0 to 1");
  check(p.repetition_penalty > 0 && p.repetition_penalty <= 100, "repetition_penalty", p.repetition_penalty, "above 0, to 100");
  check(std::fabs(p.presence_penalty) <= 100, "presence_penalty", p.presence_penalty, "-100 to 100");
  check(std::fabs(p.frequency_penalty) <= 100, "frequency_penalty", p.frequency_penalty, "-100 to 100");
}

double uniform_draw(std::uint64_t seed, std::uint64_t step) { return static_cast<double>(Rng(seed).split(step).next() >> 11) * 0x1p-53; }

double log_sum_exp(std::span<const float> logits) {
  const CpuKernels& kernels = cpu_kernels(detect_isa());
  const float most = kernels.largest(logits.data(), logits.size());
  if (!std::isfinite(most)) return most;
  return static_cast<double>(most) + std::log(kernels.exponentials(logits.data(), logits.size(), most, 1.0f, nullptr, nullptr));
}

SampledToken Sampler::sample(std::span<const float> logits, const SamplingParameters& p, const TokenHistory& history, TokenMask mask, std::uint64_t step) {
  std::span<const float> values = logits;
  if (!mask.empty() || has_penalties(p)) {
    adjusted_.assign(logits.begin(), logits.end());
    penalise(adjusted_, p, history);
    for (std::size_t id = 0; id < adjusted_.size(); ++id) {
      if (!allowed(mask, id)) adjusted_[id] = kNever;
    }
    values = adjusted_;
  }
  float most = kNever;
  for (const float v : values) most = v > most ? v : most;
  require(most > kNever, ErrorKind::Internal, "sampling: no token is allowed");
  const bool greedy = static_cast<float>(p.temperature) == 0.0f;
  const std::int32_t id = greedy ? static_cast<std::int32_t>(std::find(values.begin(), values.end(), most) - values.begin()) : draw(values, most, p, step);
  return {.id = id, .logprob = own_logprob(logits, id)};
}

/// By masses, as a device that draws does it: the bits must not depend on where a token was drawn.
float Sampler::own_logprob(std::span<const float> logits, std::int32_t id) {
  const float best = cpu_kernels(detect_isa()).largest(logits.data(), logits.size());
  const double scale = mass_scale(1.0f);
  std::uint64_t total = 0;
  for (const float v : logits) total += v > kNever ? token_mass(v, best, scale) : 0;
  return mass_logprob(logits[static_cast<std::size_t>(id)], best, total);
}

std::int32_t Sampler::draw(std::span<const float> values, float most, const SamplingParameters& p, std::uint64_t step) {
  const double scale = mass_scale(static_cast<float>(p.temperature));
  masses_.resize(values.size());
  for (std::size_t id = 0; id < values.size(); ++id) masses_[id] = values[id] > kNever ? token_mass(values[id], most, scale) : 0;
  if (p.top_k > 0 || static_cast<float>(p.top_p) < 1.0f) cut(values, p);
  if (static_cast<float>(p.min_p) > 0.0f) {
    const std::uint64_t least = mass_reaching(static_cast<double>(static_cast<float>(p.min_p)), kBestMass);
    for (auto& mass : masses_) mass = mass < least ? 0 : mass;
  }
  const std::uint64_t drawn = mass_drawn(uniform_draw(p.seed, step), std::accumulate(masses_.begin(), masses_.end(), std::uint64_t{0}));
  std::size_t at = 0;
  for (std::uint64_t reached = masses_[0]; reached <= drawn; reached += masses_[at]) ++at;
  return static_cast<std::int32_t>(at);
}

/// Takes the masses of all tokens that top-k and top-p leave out. Tokens without mass cannot be drawn, so they need no place in the order.
void Sampler::cut(std::span<const float> values, const SamplingParameters& p) {
  candidates_.clear();
  for (std::size_t id = 0; id < masses_.size(); ++id) {
    if (masses_[id] > 0) candidates_.emplace_back(values[id], static_cast<std::int32_t>(id));
  }
  if (p.top_k > 0 && static_cast<std::size_t>(p.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + p.top_k, candidates_.end(), better);
    candidates_.resize(static_cast<std::size_t>(p.top_k));
  }
  const auto mass_of = [&](const std::pair<float, std::int32_t>& c) { return masses_[static_cast<std::size_t>(c.second)]; };
  kept_.assign(masses_.size(), 0);
  if (static_cast<float>(p.top_p) < 1.0f) {
    std::uint64_t total = 0, reached = 0;
    for (const auto& c : candidates_) total += mass_of(c);
    const std::uint64_t enough = mass_reaching(static_cast<double>(static_cast<float>(p.top_p)), total);
    // A heap, because only the few best are taken off it.
    const auto worse = [](const auto& a, const auto& b) { return better(b, a); };
    std::make_heap(candidates_.begin(), candidates_.end(), worse);
    for (auto end = candidates_.end(); reached < enough; --end) {
      std::pop_heap(candidates_.begin(), end, worse);
      const auto& best = *(end - 1);
      reached += mass_of(best);
      kept_[static_cast<std::size_t>(best.second)] = mass_of(best);
    }
  } else {
    for (const auto& c : candidates_) kept_[static_cast<std::size_t>(c.second)] = mass_of(c);
  }
  masses_.swap(kept_);
}

std::vector<std::pair<std::int32_t, float>> top_logprobs(std::span<const float> logits, int n) {
  std::vector<std::pair<float, std::int32_t>> all;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] == logits[id]) all.emplace_back(logits[id], static_cast<std::int32_t>(id));
  }
  const std::size_t count = std::min(all.size(), static_cast<std::size_t>(std::max(n, 0)));
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(), better);
  const double norm = log_sum_exp(logits);
  std::vector<std::pair<std::int32_t, float>> out;
  for (std::size_t i = 0; i < count; ++i) out.emplace_back(all[i].second, static_cast<float>(static_cast<double>(all[i].first) - norm));
  return out;
}

}  // namespace gauntlet
