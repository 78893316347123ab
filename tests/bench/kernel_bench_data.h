#pragma once

// Inputs of timed kernels: caches too large to be made of random numbers alone, and shapes of passes.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "inference/cuda/device_batch.h"
#include "tests/bench/kernel_bench.h"

namespace gauntlet::bench {

/// Launches that follow each other read different memory until this much has passed: more than the second-level cache of any device holds.
inline constexpr double kRotatedBytes = 256e6;

inline const char* name_of(CacheFormat format) { return format == CacheFormat::Bf16 ? "bf16" : "fp8"; }

/// How many sets of inputs of so many bytes are used in turn.
inline int variants_of(double bytes, bool quick) { return quick ? 1 : std::max(1, static_cast<int>(std::ceil(kRotatedBytes / bytes))); }

/// `bytes` of device memory that repeat `unit`. Random numbers for gigabytes would take longer than the measurement.
DeviceBuffer<std::byte> repeated(std::span<const std::byte> unit, std::size_t bytes);
DeviceBuffer<std::byte> latent_rows(const kernels::CacheLayout& layout, int pages);
DeviceBuffer<std::byte> index_pages(const kernels::CacheLayout& layout, int pages);

/// `rows` tokens in one launch: of as many sequences (decoding), or of one (prefill).
struct Shape {
  int rows = 0;
  int context = 0;
  bool prefill = false;

  std::string name() const { return fmt::format("{}.{}x{}k", prefill ? "prefill" : "decode", rows, context / 1000); }
  /// All variants' sequences, one after the other.
  std::vector<kernels::SequencePart> parts(int variants) const {
    if (prefill) return {kernels::SequencePart{.start = context - rows, .count = rows}};
    return std::vector<kernels::SequencePart>(static_cast<std::size_t>(rows * variants), kernels::SequencePart{.start = context - 1, .count = 1});
  }
  /// (token, position) pairs of one launch.
  double pairs() const { return prefill ? rows * (context - (rows - 1) / 2.0) : static_cast<double>(rows) * context; }
};

/// A few entries of a device's cache as a cache of their own, which a kernel's reference can read: entry i is position i of sequence 0.
struct CopiedEntries {
  std::vector<std::byte> bytes;
  std::vector<std::int32_t> ids, positions, sequences, pages;

  /// One token, at the last position.
  kernels::TokenBatch view() const {
    return {.tokens = 1, .ids = ids.data(), .positions = positions.data(), .sequences = sequences.data(), .pages = pages.data(), .page_stride = static_cast<int>(pages.size())};
  }
};
/// Latent rows of the positions that a token chose.
CopiedEntries copy_latents(const kernels::CacheLayout& layout, const DeviceBuffer<std::byte>& rows, const kernels::PagedBatch& batch, int token, std::span<const std::int32_t> chosen);
/// The indexer's keys of a token's first `count` positions.
CopiedEntries copy_index_keys(const kernels::CacheLayout& layout, const DeviceBuffer<std::byte>& pages, const kernels::PagedBatch& batch, int token, int count);

}  // namespace gauntlet::bench
