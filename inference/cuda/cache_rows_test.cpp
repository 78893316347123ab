#include "inference/cuda/cache_rows.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "inference/cuda/latents.h"
#include "inference/cuda/paged_case.h"
#include "inference/rope.h"

namespace gauntlet::kernels {
namespace {

constexpr CacheLayout layout_of(CacheFormat format, int latent, int rope, int index) { return {.format = format, .latent = latent, .rope = rope, .index = index}; }

TEST_CASE("the sizes of V3.2's cache are those of its published kernels") {
  constexpr auto fp8 = layout_of(CacheFormat::Fp8, 512, 64, 128), bf16 = layout_of(CacheFormat::Bf16, 512, 64, 128);
  CHECK(fp8.row_bytes() == 656);
  CHECK(fp8.rope_offset_bytes() == 528);
  CHECK(fp8.index_page_bytes() == 64 * 132);
  CHECK(bf16.row_bytes() == 1152);
  CHECK(bf16.index_page_bytes() == 64 * 256);
  CHECK(layout_of(CacheFormat::Fp8, 40, 10, 32).row_bytes() == 64 + 32);  // 48 of latent, 4 of scale, 12 of nothing, 16 rotary
}

TEST_CASE("a latent row in bf16 is its values rounded, then zeros up to the padded sizes") {
  constexpr auto layout = layout_of(CacheFormat::Bf16, 20, 6, 0);
  Rng rng(1);
  const auto latent = uniforms(rng, 20), rope = uniforms(rng, 6);
  std::vector<std::byte> row(static_cast<std::size_t>(layout.row_bytes()), std::byte{0xff});
  write_latent_row(layout, latent, rope, row.data());
  const auto read = read_latent_row(layout, row.data());
  REQUIRE(read.size() == 32 + 16);
  for (std::size_t i = 0; i < 48; ++i) {
    CAPTURE(i);
    if (i < 20) {
      CHECK(read[i] == round_to_bf16(latent[i]));
    } else if (i >= 32 && i < 38) {
      CHECK(read[i] == round_to_bf16(rope[i - 32]));
    } else {
      CHECK(read[i] == 0.0f);
    }
  }
}

TEST_CASE("a latent row in FP8 keeps each block within half a step of e4m3, with a power of two as its scale") {
  for (const int latent : {64, 128, 129, 200, 512}) {
    CAPTURE(latent);
    const auto layout = layout_of(CacheFormat::Fp8, latent, 16, 0);
    Rng rng(2);
    auto values = uniforms(rng, latent);
    // Blocks of different size: the scale is of the block, not of the row.
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= std::ldexp(1.0f, static_cast<int>(i / kCacheBlock) * 5 - 3);
    const auto rope = uniforms(rng, 16);
    std::vector<std::byte> row(static_cast<std::size_t>(layout.row_bytes()), std::byte{0xff});
    write_latent_row(layout, values, rope, row.data());
    const auto read = read_latent_row(layout, row.data());
    for (int block = 0; block < layout.latent_blocks(); ++block) {
      float scale = 0, amax = 0;
      std::memcpy(&scale, row.data() + layout.latent_padded() + 4 * block, 4);
      const std::size_t first = static_cast<std::size_t>(block) * kCacheBlock, last = std::min(values.size(), first + kCacheBlock);
      for (std::size_t i = first; i < last; ++i) amax = std::max(amax, std::fabs(values[i]));
      int exponent = 0;
      CHECK(std::frexp(scale, &exponent) == 0.5f);
      CHECK(amax <= 448 * scale);
      CHECK(amax > 224 * scale);
      // e4m3 has 3 bits after the first one (half a step: 2^-4 of the value) and steps of 2^-9 below 2^-6.
      for (std::size_t i = first; i < last; ++i) REQUIRE(std::fabs(read[i] - values[i]) <= std::max(std::fabs(values[i]) * 0x1p-4f, scale * 0x1p-10f));
      for (std::size_t i = first; i < last; ++i) REQUIRE(round_to_bf16(read[i]) == read[i]);
    }
    for (std::size_t i = values.size(); i < static_cast<std::size_t>(layout.latent_padded()); ++i) CHECK(read[i] == 0.0f);
    for (std::size_t i = 0; i < 16; ++i) CHECK(read[static_cast<std::size_t>(layout.latent_padded()) + i] == round_to_bf16(rope[i]));
    std::vector<std::byte> again(row.size());
    write_latent_row(layout, std::span(read).first(values.size()), rope, again.data());
    CHECK(again == row);  // what was rounded once stays as it is
  }
}

TEST_CASE("zeros and what lies below the scale's floor survive FP8") {
  constexpr auto layout = layout_of(CacheFormat::Fp8, 128, 2, 0);
  std::vector<float> values(128, 0.0f);
  values[5] = 1e-5f;
  std::vector<std::byte> row(static_cast<std::size_t>(layout.row_bytes()));
  write_latent_row(layout, values, std::vector<float>{0.0f, 0.0f}, row.data());
  const auto read = read_latent_row(layout, row.data());
  CHECK(read[4] == 0.0f);
  CHECK(read[5] == doctest::Approx(1e-5f).epsilon(0x1p-4));
}

TEST_CASE("of an FP8 row, a block with a NaN has the scale NaN, and the others are as they were") {
  constexpr auto layout = layout_of(CacheFormat::Fp8, 512, 64, 0);
  Rng rng(4);
  auto latent = uniforms(rng, 512);
  const auto rope = uniforms(rng, 64);
  std::vector<std::byte> whole(static_cast<std::size_t>(layout.row_bytes())), broken(whole.size());
  write_latent_row(layout, latent, rope, whole.data());
  for (const std::size_t at : {128UL, 200UL, 255UL}) {
    CAPTURE(at);
    auto values = latent;
    values[at] = std::numeric_limits<float>::quiet_NaN();
    write_latent_row(layout, values, rope, broken.data());
    const auto read = read_latent_row(layout, broken.data()), expected = read_latent_row(layout, whole.data());
    for (std::size_t i = 0; i < read.size(); ++i) {
      if (i / 128 == 1) {
        REQUIRE(std::isnan(read[i]));
      } else {
        REQUIRE(read[i] == expected[i]);
      }
    }
  }
}

TEST_CASE("the Hadamard transform is its own inverse, keeps lengths, and spreads one value over all") {
  Rng rng(3);
  for (const int size : {1, 2, 32, 128, 256}) {
    CAPTURE(size);
    const auto values = uniforms(rng, size);
    auto twice = values;
    hadamard(twice);
    double before = 0, after = 0;
    for (const float v : values) before += static_cast<double>(v) * v;
    for (const float v : twice) after += static_cast<double>(v) * v;
    CHECK(after == doctest::Approx(before).epsilon(1e-6));
    hadamard(twice);
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(std::fabs(twice[i] - values[i]) < 1e-6f);
    std::vector<float> one(static_cast<std::size_t>(size), 0.0f);
    one[0] = 1.0f;
    hadamard(one);
    for (const float v : one) CHECK(v == doctest::Approx(1 / std::sqrt(static_cast<double>(size))));
  }
}

TEST_CASE("an indexer key reads back as what a query of the same values is rounded to, in every slot") {
  for (const auto& layout : {layout_of(CacheFormat::Bf16, 16, 2, 40), layout_of(CacheFormat::Bf16, 16, 2, 128), layout_of(CacheFormat::Fp8, 16, 2, 32), layout_of(CacheFormat::Fp8, 16, 2, 128),
                             layout_of(CacheFormat::Fp8, 16, 2, 256), layout_of(CacheFormat::Fp8, 16, 2, 8)}) {
    CAPTURE(layout.index);
    Rng rng(4);
    std::vector<std::byte> page(static_cast<std::size_t>(layout.index_page_bytes()), std::byte{0xff});
    std::vector<std::vector<float>> keys;
    for (int slot = 0; slot < kPageTokens; ++slot) {
      keys.push_back(uniforms(rng, layout.index));
      write_index_key(layout, keys.back(), page.data(), slot);
    }
    for (int slot = 0; slot < kPageTokens; ++slot) {
      auto expected = keys[static_cast<std::size_t>(slot)];
      round_index_vector(layout, expected);
      expected.resize(static_cast<std::size_t>(layout.index_padded()), 0.0f);
      REQUIRE(read_index_key(layout, page.data(), slot) == expected);
    }
  }
}

TEST_CASE("products of indexer vectors survive the Hadamard rotation, and FP8 within its rounding") {
  constexpr auto layout = layout_of(CacheFormat::Fp8, 16, 2, 128);
  Rng rng(5);
  for (int i = 0; i < 20; ++i) {
    auto q = uniforms(rng, 128), k = uniforms(rng, 128);
    double exact = 0, sizes_q = 0, sizes_k = 0, rounded = 0;
    for (std::size_t d = 0; d < 128; ++d) exact += static_cast<double>(q[d]) * k[d], sizes_q += static_cast<double>(q[d]) * q[d], sizes_k += static_cast<double>(k[d]) * k[d];
    round_index_vector(layout, q);
    round_index_vector(layout, k);
    for (std::size_t d = 0; d < 128; ++d) rounded += static_cast<double>(q[d]) * k[d];
    // Each vector moves by at most 2^-4 of its length, and a little where values are subnormal (Cauchy-Schwarz).
    CHECK(std::fabs(rounded - exact) <= (2 * 0x1p-4 + 0x1p-7) * std::sqrt(sizes_q * sizes_k));
    CHECK(rounded != exact);
  }
}

TEST_CASE("an FP8 indexer whose size is no power of two is refused") {
  std::vector<float> vector(40, 1.0f);
  CHECK_THROWS(round_index_vector(layout_of(CacheFormat::Fp8, 16, 2, 40), vector));
}

TEST_CASE("the reference writes latents where the page table says, normed and rotated as the formulas have it") {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const auto layout = layout_of(format, 16, 4, 8);
    Rng rng(6);
    const auto batch = paged_batch(rng, {{.start = 63, .count = 3}, {.start = 0, .count = 2}});
    ModelConfig config;
    config.rope_dim = 4;
    const RopeTable rope(config, 70);
    const int stride = 6 + 3 + 16 + 4 + 8 + 1, q_rank = 6, offset = 9;
    const auto input = uniforms(rng, batch.tokens() * stride), q_norm = uniforms(rng, q_rank), kv_norm = uniforms(rng, 16), weight = uniforms(rng, 8), bias = uniforms(rng, 8);
    std::vector<Bf16> q_latent(static_cast<std::size_t>(batch.tokens() * q_rank));
    std::vector<std::byte> rows(static_cast<std::size_t>(batch.page_count * kPageTokens * layout.row_bytes()), std::byte{0xff});
    std::vector<std::byte> pages(static_cast<std::size_t>(batch.page_count * layout.index_page_bytes()), std::byte{0xff});
    write_latents_ref({.batch = batch.view(), .layout = layout, .q_rank = q_rank, .input_stride = stride, .kv_offset = offset, .input = input.data(), .q_norm = q_norm.data(), .kv_norm = kv_norm.data(),
                       .index_norm = weight.data(), .index_norm_bias = bias.data(), .cosines = rope.cosines(0), .sines = rope.sines(0), .q_latent = q_latent.data(), .latent_rows = rows.data(),
                       .index_pages = pages.data()});
    for (std::size_t t = 0; t < static_cast<std::size_t>(batch.tokens()); ++t) {
      CAPTURE(t);
      const float* x = input.data() + t * static_cast<std::size_t>(stride);
      const int position = batch.positions[t];
      const auto mean_square = [](const float* at, int size) {
        double sum = 0;
        for (int i = 0; i < size; ++i) sum += static_cast<double>(at[i]) * at[i];
        return sum / size;
      };
      for (std::size_t i = 0; i < 6; ++i) CHECK(to_float(q_latent[t * 6 + i]) == doctest::Approx(x[i] / std::sqrt(mean_square(x, 6) + 1e-6) * q_norm[i]).epsilon(0x1p-8));

      std::vector<float> latent(x + offset, x + offset + 16), rotary(x + offset + 16, x + offset + 20);
      for (std::size_t i = 0; i < 16; ++i) latent[i] = static_cast<float>(latent[i] / std::sqrt(mean_square(x + offset, 16) + 1e-6) * kv_norm[i]);
      rope.rotate(rotary.data(), position, RopeLayout::Interleaved);
      const std::int64_t row = physical_row(batch.view(), batch.sequences[t], position);
      const auto read = read_latent_row(layout, rows.data() + row * layout.row_bytes());
      const double step = format == CacheFormat::Bf16 ? 0x1p-8 : 0x1p-4;
      for (std::size_t i = 0; i < 16; ++i) CHECK(std::fabs(read[i] - latent[i]) <= std::fabs(latent[i]) * step + 1e-4);
      for (std::size_t i = 0; i < 4; ++i) CHECK(std::fabs(read[16 + i] - rotary[i]) <= std::fabs(rotary[i]) * 0x1p-8 + 1e-6);

      std::vector<float> key(x + offset + 20, x + offset + 28);
      double mean = 0, variance = 0;
      for (const float v : key) mean += v / 8.0;
      for (const float v : key) variance += (v - mean) * (v - mean) / 8.0;
      for (std::size_t i = 0; i < 8; ++i) key[i] = static_cast<float>((key[i] - mean) / std::sqrt(variance + 1e-6) * weight[i] + bias[i]);
      rope.rotate(key.data(), position, RopeLayout::HalfSplit);
      const auto index = read_index_key(layout, pages.data() + row / kPageTokens * layout.index_page_bytes(), static_cast<int>(row % kPageTokens));
      if (format == CacheFormat::Fp8) hadamard(key);
      for (std::size_t i = 0; i < 8; ++i) CHECK(std::fabs(index[i] - key[i]) <= std::fabs(key[i]) * step + 2e-3);
    }
    // Nothing else was touched.
    std::vector<bool> written(static_cast<std::size_t>(batch.page_count * kPageTokens));
    for (std::size_t t = 0; t < batch.ids.size(); ++t) written[static_cast<std::size_t>(physical_row(batch.view(), batch.sequences[t], batch.positions[t]))] = true;
    for (std::size_t row = 0; row < written.size(); ++row) {
      const auto* at = rows.data() + row * static_cast<std::size_t>(layout.row_bytes());
      CHECK(std::all_of(at, at + layout.row_bytes(), [](std::byte b) { return b == std::byte{0xff}; }) == !written[row]);
    }
  }
}

TEST_CASE("the reference splits queries: content as it is, the rotary part beside the latent's place, indexer heads rotated in halves") {
  constexpr auto layout = layout_of(CacheFormat::Bf16, 20, 6, 10);
  Rng rng(7);
  const auto batch = paged_batch(rng, {{.start = 5, .count = 2}});
  ModelConfig config;
  config.rope_dim = 6;
  const RopeTable rope(config, 16);
  const int heads = 3, nope = 5, index_heads = 2, stride = heads * (nope + 6) + index_heads * 10 + 4;
  const auto query = uniforms(rng, 2 * stride);
  std::vector<Bf16> content(2 * 3 * 5), absorbed(static_cast<std::size_t>(2 * 3 * layout.width()), Bf16{0x7fc1}), index(static_cast<std::size_t>(2 * 2 * layout.index_padded()), Bf16{0x7fc1});
  split_queries_ref({.batch = batch.view(), .layout = layout, .heads = heads, .nope = nope, .index_heads = index_heads, .query_stride = stride, .query = query.data(), .cosines = rope.cosines(0),
                     .sines = rope.sines(0), .content = content.data(), .absorbed = absorbed.data(), .index_queries = index.data()});
  for (std::size_t t = 0; t < 2; ++t) {
    const float* x = query.data() + t * static_cast<std::size_t>(stride);
    for (std::size_t h = 0; h < 3; ++h) {
      const float* head = x + h * 11;
      std::vector<float> rotary(head + 5, head + 11);
      rope.rotate(rotary.data(), batch.positions[t], RopeLayout::Interleaved);
      for (std::size_t i = 0; i < 5; ++i) CHECK(content[(t * 3 + h) * 5 + i].bits == to_bf16(head[i]).bits);
      const Bf16* row = absorbed.data() + (t * 3 + h) * 48;
      for (std::size_t i = 0; i < 32; ++i) CHECK(row[i].bits == 0x7fc1);  // the product with W_UK goes there
      for (std::size_t i = 0; i < 16; ++i) CHECK(std::fabs(to_float(row[32 + i]) - (i < 6 ? rotary[i] : 0.0f)) <= 0x1p-8f);
      for (std::size_t i = 6; i < 16; ++i) CHECK(row[32 + i].bits == 0);
    }
    for (std::size_t h = 0; h < 2; ++h) {
      std::vector<float> vector(x + 33 + h * 10, x + 43 + h * 10);
      rope.rotate(vector.data(), batch.positions[t], RopeLayout::HalfSplit);
      const Bf16* row = index.data() + (t * 2 + h) * 16;
      for (std::size_t i = 0; i < 10; ++i) CHECK(std::fabs(to_float(row[i]) - vector[i]) <= 0x1p-8f);
      for (std::size_t i = 10; i < 16; ++i) CHECK(row[i].bits == 0);
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
