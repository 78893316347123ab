#include "inference/cuda/cache_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace gauntlet::kernels {
namespace {

void store_bf16(std::span<const float> values, std::byte* at) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Bf16 rounded = to_bf16(values[i]);
    std::memcpy(at + 2 * i, &rounded.bits, 2);
  }
}

void load_bf16(const std::byte* at, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    Bf16 stored;
    std::memcpy(&stored.bits, at + 2 * i, 2);
    values[i] = to_float(stored);
  }
}

// In blocks of kCacheBlock, the last of which may be shorter. Padding never reaches into a block of its own.
void store_fp8(std::span<const float> values, std::byte* at, std::byte* scales) {
  for (std::size_t start = 0; start < values.size(); start += kCacheBlock) {
    const auto block = values.subspan(start, std::min<std::size_t>(kCacheBlock, values.size() - start));
    float amax = 0;
    for (const float v : block) amax = std::isnan(v) ? v : std::max(amax, std::fabs(v));  // which keeps a NaN
    const float scale = fp8_block_scale(amax);
    for (std::size_t i = 0; i < block.size(); ++i) at[start + i] = static_cast<std::byte>(to_fp8(block[i] / scale).bits);
    std::memcpy(scales + start / kCacheBlock * sizeof(float), &scale, sizeof(float));
  }
}

void load_fp8(const std::byte* at, const std::byte* scales, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    float scale = 0;
    std::memcpy(&scale, scales + i / kCacheBlock * sizeof(float), sizeof(float));
    values[i] = to_float(Fp8{static_cast<std::uint8_t>(at[i])}) * scale;
  }
}

struct IndexSlot {
  std::size_t values, scales;  ///< offsets in bytes into the page
};

IndexSlot index_slot(const CacheLayout& layout, int slot) {
  const int element = layout.format == CacheFormat::Bf16 ? 2 : 1;
  return {.values = static_cast<std::size_t>(slot) * static_cast<std::size_t>(layout.index_padded() * element),
          .scales = static_cast<std::size_t>(layout.index_scales_offset_bytes()) + static_cast<std::size_t>(slot * layout.index_blocks()) * sizeof(float)};
}

std::vector<float> rotated_for_fp8(const CacheLayout& layout, std::span<const float> vector) {
  require(std::has_single_bit(static_cast<unsigned>(layout.index)), ErrorKind::Internal, "the Hadamard rotation of an FP8 indexer needs a power of two");
  std::vector<float> out(vector.begin(), vector.end());
  hadamard(out);
  return out;
}

}  // namespace

std::int64_t physical_row(const TokenBatch& batch, int sequence, int position) {
  return static_cast<std::int64_t>(batch.pages[static_cast<std::int64_t>(sequence) * batch.page_stride + position / kPageTokens]) * kPageTokens + position % kPageTokens;
}

void write_latent_row(const CacheLayout& layout, std::span<const float> latent, std::span<const float> rope, std::byte* row) {
  std::fill_n(row, layout.row_bytes(), std::byte{0});
  if (layout.format == CacheFormat::Bf16) {
    store_bf16(latent, row);
  } else {
    store_fp8(latent, row, row + layout.latent_padded());
  }
  store_bf16(rope, row + layout.rope_offset_bytes());
}

std::vector<float> read_latent_row(const CacheLayout& layout, const std::byte* row) {
  std::vector<float> out(static_cast<std::size_t>(layout.width()), 0.0f);
  const auto all = std::span(out);
  const auto latent_padded = static_cast<std::size_t>(layout.latent_padded());
  if (layout.format == CacheFormat::Bf16) {
    load_bf16(row, all.first(latent_padded));
  } else {
    load_fp8(row, row + latent_padded, all.first(latent_padded));
  }
  load_bf16(row + layout.rope_offset_bytes(), all.subspan(latent_padded));
  return out;
}

void round_index_vector(const CacheLayout& layout, std::span<float> vector) {
  if (layout.format == CacheFormat::Bf16) {
    for (float& v : vector) v = round_to_bf16(v);
    return;
  }
  const auto rotated = rotated_for_fp8(layout, vector);
  std::vector<std::byte> values(vector.size()), scales(static_cast<std::size_t>(layout.index_blocks()) * sizeof(float));
  store_fp8(rotated, values.data(), scales.data());
  load_fp8(values.data(), scales.data(), vector);
}

void write_index_key(const CacheLayout& layout, std::span<const float> key, std::byte* page, int slot) {
  const auto at = index_slot(layout, slot);
  if (layout.format == CacheFormat::Bf16) {
    std::fill_n(page + at.values, 2 * layout.index_padded(), std::byte{0});
    store_bf16(key, page + at.values);
    return;
  }
  std::fill_n(page + at.values, layout.index_padded(), std::byte{0});
  store_fp8(rotated_for_fp8(layout, key), page + at.values, page + at.scales);
}

std::vector<float> read_index_key(const CacheLayout& layout, const std::byte* page, int slot) {
  std::vector<float> out(static_cast<std::size_t>(layout.index_padded()), 0.0f);
  const auto at = index_slot(layout, slot);
  if (layout.format == CacheFormat::Bf16) {
    load_bf16(page + at.values, out);
  } else {
    load_fp8(page + at.values, page + at.scales, out);
  }
  return out;
}

void hadamard(std::span<float> values) {
  // In double, so that the result is the exact one rounded once.
  std::vector<double> x(values.begin(), values.end());
  for (std::size_t width = 1; width < x.size(); width *= 2) {
    for (std::size_t i = 0; i < x.size(); i += 2 * width) {
      for (std::size_t j = i; j < i + width; ++j) {
        const double a = x[j], b = x[j + width];
        x[j] = a + b;
        x[j + width] = a - b;
      }
    }
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) values[i] = static_cast<float>(x[i] * scale);
}

}  // namespace gauntlet::kernels
