#pragma once

// For tests of attention over the FP8 cache of V3.2's sizes: problems with lists of every kind.

#include "inference/cuda/attention_case.h"

namespace gauntlet::kernels {

inline constexpr CacheLayout kFp8Layout = {.format = CacheFormat::Fp8, .latent = 512, .rope = 64};

enum class Fp8Lists {
  Dense,   ///< none given
  Full,    ///< as many as there are, in random order, then -1
  Packed,  ///< the same, with entries after them that must not be looked at
  Holes    ///< a third of the entries name no position of the token's past; some tokens have none at all
};

struct Fp8Problem : AttentionProblem {
  Fp8Lists lists = Fp8Lists::Dense;

  void set_lists(Fp8Lists kind) {
    lists = kind;
    listed = kind != Fp8Lists::Dense;
    form = kind == Fp8Lists::Packed ? ListForm::Packed : ListForm::Any;
  }
};

inline std::vector<std::int32_t> make_list(Rng& rng, const Fp8Problem& problem, std::size_t token) {
  const std::int32_t own = problem.batch.positions[token];
  std::vector<std::int32_t> all(static_cast<std::size_t>(own) + 1);
  std::iota(all.begin(), all.end(), 0);
  rng.shuffle(all);
  all.resize(static_cast<std::size_t>(problem.k), problem.lists == Fp8Lists::Packed ? 0 : -1);
  if (problem.lists != Fp8Lists::Holes) return all;
  const std::vector<std::int32_t> none = {-1, -2, own + 1, own + 64, INT32_MAX, INT32_MIN};
  for (auto& entry : all) {
    if (token % 7 == 3 || rng.below(3) == 0) entry = rng.pick(none);
  }
  return all;
}

/// Entries of the cache that no token may read are NaN.
inline Fp8Problem make_problem(std::uint64_t seed, int heads, int k, Fp8Lists lists, int part, const std::vector<SequencePart>& parts) {
  Rng rng(seed), values(seed + 1);
  Fp8Problem out;
  out.layout = kFp8Layout;
  out.batch = paged_batch(rng, parts);
  out.heads = heads;
  out.k = k;
  out.part = part;
  out.scale = 0.25f;
  out.set_lists(lists);
  out.queries = random_queries(values, static_cast<std::int64_t>(out.batch.tokens()) * heads, kFp8Layout);
  std::vector<std::vector<bool>> read(parts.size());
  for (std::size_t s = 0; s < parts.size(); ++s) read[s].resize(static_cast<std::size_t>(out.batch.lengths[s]), lists == Fp8Lists::Dense);
  for (std::size_t t = 0; t < out.batch.ids.size() && lists != Fp8Lists::Dense; ++t) {
    const auto list = make_list(values, out, t);
    out.chosen.insert(out.chosen.end(), list.begin(), list.end());
    const std::size_t looked_at = lists == Fp8Lists::Packed ? std::min(list.size(), static_cast<std::size_t>(out.batch.positions[t]) + 1) : list.size();
    for (std::size_t i = 0; i < looked_at; ++i) {
      if (list[i] >= 0 && list[i] <= out.batch.positions[t]) read[static_cast<std::size_t>(out.batch.sequences[t])][static_cast<std::size_t>(list[i])] = true;
    }
  }
  out.rows = random_latents(seed + 2, kFp8Layout, out.batch, [&](int s, int p) { return read[static_cast<std::size_t>(s)][static_cast<std::size_t>(p)]; });
  return out;
}

}  // namespace gauntlet::kernels
