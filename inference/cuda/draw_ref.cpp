#include <algorithm>
#include <cmath>
#include <vector>

#include "inference/cuda/draw.h"
#include "inference/token_mass.h"

namespace gauntlet::kernels {
namespace {

struct Candidate {
  float value = 0;
  std::int32_t id = 0;
  std::uint64_t mass = 0;
};

std::uint64_t total_mass(const std::vector<Candidate>& candidates) {
  std::uint64_t total = 0;
  for (const auto& c : candidates) total += c.mass;
  return total;
}

DrawnRow draw_row(const DrawRow& p, const float* logits, int vocab) {
  std::vector<Candidate> candidates;
  for (int id = 0; id < vocab; ++id) {
    if (logits[id] > -INFINITY) candidates.push_back({.value = logits[id], .id = id});
  }
  if (candidates.empty()) return {};
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.value > b.value; });
  const float best = candidates[0].value;
  std::uint64_t total = 0;
  for (const auto& c : candidates) total += token_mass(c.value, best, mass_scale(1.0f));
  const auto token = [&](const Candidate& c) { return DrawnRow{.id = c.id, .value = c.value, .best = best, .total = total}; };
  if (p.temperature == 0.0f) return token(candidates[0]);

  for (auto& c : candidates) c.mass = token_mass(c.value, best, mass_scale(p.temperature));
  if (p.top_k > 0 && static_cast<std::size_t>(p.top_k) < candidates.size()) candidates.resize(static_cast<std::size_t>(p.top_k));
  if (p.top_p < 1.0f) {
    const std::uint64_t enough = mass_reaching(static_cast<double>(p.top_p), total_mass(candidates));
    std::size_t kept = 0;
    for (std::uint64_t reached = 0; reached < enough; ++kept) reached += candidates[kept].mass;
    candidates.resize(kept);
  }
  if (p.min_p > 0.0f) std::erase_if(candidates, [&](const auto& c) { return c.mass < mass_reaching(static_cast<double>(p.min_p), kBestMass); });
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const std::uint64_t drawn = mass_drawn(p.uniform, total_mass(candidates));
  std::uint64_t reached = 0;
  for (const auto& c : candidates) {
    reached += c.mass;
    if (reached > drawn) return token(c);
  }
  return {};
}

}  // namespace

void draw_ref(const DrawArgs& args) {
  for (int row = 0; row < args.rows; ++row) args.out[row] = draw_row(args.parameters[row], args.logits + static_cast<std::ptrdiff_t>(row) * args.vocab, args.vocab);
}

}  // namespace gauntlet::kernels
