#pragma once

// For tests: batches of tokens over a paged cache whose pages lie in a random order, and caches that hold NaN wherever nothing may be read.
// Plain C++; OnDevice copies of it are made by device_batch.h.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "core/rng.h"
#include "inference/cuda/cache_rows.h"

namespace gauntlet::kernels {

/// Tokens at positions [start, start + count) of one sequence.
struct SequencePart {
  int start = 0;
  int count = 1;
};

struct PagedBatch {
  std::vector<std::int32_t> ids, positions, sequences, pages;
  std::vector<int> lengths;  ///< [sequences]: positions that the cache holds
  int page_stride = 0;
  int page_count = 0;

  TokenBatch view() const {
    return {.tokens = tokens(), .ids = ids.data(), .positions = positions.data(), .sequences = sequences.data(), .pages = pages.data(), .page_stride = page_stride};
  }
  int tokens() const { return static_cast<int>(ids.size()); }
  int longest() const { return lengths.empty() ? 0 : *std::ranges::max_element(lengths); }
  /// One of its tokens as a batch, with the same cache.
  PagedBatch only(std::size_t token) const {
    PagedBatch out = *this;
    out.ids = {ids[token]};
    out.positions = {positions[token]};
    out.sequences = {sequences[token]};
    return out;
  }
};

/// Each part is a sequence of its own. Entries of the page table that no position needs name one last page, which nobody writes.
inline PagedBatch paged_batch(Rng& rng, const std::vector<SequencePart>& parts) {
  PagedBatch out;
  int used = 0;
  for (const auto& part : parts) {
    out.lengths.push_back(part.start + part.count);
    const int pages = pages_for(part.start + part.count);
    out.page_stride = std::max(out.page_stride, pages + 1);
    used += pages;
  }
  out.page_count = used + 1;
  std::vector<std::int32_t> order(static_cast<std::size_t>(used));
  std::iota(order.begin(), order.end(), 0);
  rng.shuffle(order);
  std::size_t next = 0;
  for (std::size_t s = 0; s < parts.size(); ++s) {
    const int pages = pages_for(out.lengths[s]);
    for (int p = 0; p < out.page_stride; ++p) out.pages.push_back(p < pages ? order[next++] : used);
    for (int i = 0; i < parts[s].count; ++i) {
      out.ids.push_back(i);
      out.positions.push_back(parts[s].start + i);
      out.sequences.push_back(static_cast<std::int32_t>(s));
    }
  }
  return out;
}

inline float uniform(Rng& rng, float low, float high) { return low + (high - low) * static_cast<float>(rng.next() >> 40) * 0x1p-24f; }

inline std::vector<float> uniforms(Rng& rng, int count, float low = -1.0f, float high = 1.0f) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (float& v : out) v = uniform(rng, low, high);
  return out;
}

/// Whether a position of a sequence may be read.
using Readable = std::function<bool(int sequence, int position)>;

/// Latent rows: uniform in [-1, 1) where readable, NaN everywhere else. The values of a position do not depend on where its page lies.
inline std::vector<std::byte> random_latents(std::uint64_t seed, const CacheLayout& layout, const PagedBatch& batch, const Readable& readable = nullptr) {
  std::vector<std::byte> out(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()), std::byte{0xff});
  for (std::size_t s = 0; s < batch.lengths.size(); ++s) {
    Rng rng(mix_seed(seed, s));
    for (int p = 0; p < batch.lengths[s]; ++p) {
      const auto latent = uniforms(rng, layout.latent), rope = uniforms(rng, layout.rope);
      if (readable && !readable(static_cast<int>(s), p)) continue;
      write_latent_row(layout, latent, rope, out.data() + physical_row(batch.view(), static_cast<int>(s), p) * layout.row_bytes());
    }
  }
  return out;
}

/// Indexer pages, likewise; every position of a sequence is readable.
inline std::vector<std::byte> random_index_keys(std::uint64_t seed, const CacheLayout& layout, const PagedBatch& batch) {
  std::vector<std::byte> out(static_cast<std::size_t>(batch.page_count) * static_cast<std::size_t>(layout.index_page_bytes()), std::byte{0xff});
  for (std::size_t s = 0; s < batch.lengths.size(); ++s) {
    Rng rng(mix_seed(seed, s));
    for (int p = 0; p < batch.lengths[s]; ++p) {
      const std::int64_t row = physical_row(batch.view(), static_cast<int>(s), p);
      write_index_key(layout, uniforms(rng, layout.index), out.data() + row / kPageTokens * layout.index_page_bytes(), static_cast<int>(row % kPageTokens));
    }
  }
  return out;
}

/// Vectors [count, padded] of bf16, uniform in [-1, 1) in the first `size` columns and 0 in the padding.
inline std::vector<Bf16> random_padded(Rng& rng, std::int64_t count, int size, int padded) {
  std::vector<Bf16> out(static_cast<std::size_t>(count * padded));
  for (std::int64_t i = 0; i < count; ++i) {
    for (int d = 0; d < size; ++d) out[static_cast<std::size_t>(i * padded + d)] = to_bf16(uniform(rng, -1.0f, 1.0f));
  }
  return out;
}

/// Queries of attention [count, layout.width()].
inline std::vector<Bf16> random_queries(Rng& rng, std::int64_t count, const CacheLayout& layout) {
  auto out = random_padded(rng, count, layout.width(), layout.width());
  for (std::int64_t i = 0; i < count; ++i) {
    Bf16* row = out.data() + i * layout.width();
    std::fill(row + layout.latent, row + layout.latent_padded(), Bf16{});
    std::fill(row + layout.latent_padded() + layout.rope, row + layout.width(), Bf16{});
  }
  return out;
}

}  // namespace gauntlet::kernels
