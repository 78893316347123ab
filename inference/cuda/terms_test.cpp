// Activations in two bf16 terms, through every kernel that takes or makes them.

#include <cmath>

#include "inference/cuda/cache_rows.h"
#include "inference/cuda/device_batch.h"
#include "inference/cuda/kernel_case.h"
#include "inference/cuda/latents.h"
#include "inference/cuda/norm.h"
#include "inference/cuda/sparse_attention.h"
#include "inference/rope.h"

namespace gauntlet::kernels {
namespace {

const std::vector<SequencePart> kParts = {{0, 3}, {61, 5}, {510, 4}, {1023, 2}};

std::vector<float> sum_of_terms(const std::vector<Bf16>& high, const std::vector<Bf16>& low) {
  std::vector<float> out = to_floats(high);
  const std::vector<float> rest = to_floats(low);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += rest[i];
  return out;
}

/// Two terms hold 8 bits each; the arithmetic before them is float32's. Against terms of the double's rounding.
void check_terms(const std::vector<float>& found, const std::vector<float>& expected) {
  std::vector<double> bound(expected.size());
  for (std::size_t i = 0; i < bound.size(); ++i) bound[i] = 0x1p-15 * std::fabs(static_cast<double>(expected[i])) + 1e-30;
  CHECK(error_over_bound(found, expected, bound) <= 1);
}

/// x as a sum whose float32 addition gives x again.
std::pair<std::vector<float>, std::vector<float>> halves(Rng& rng, const std::vector<float>& x) {
  std::vector<float> high = x, low(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    low[i] = rng.below(4) == 0 ? 0.0f : 0.5f * x[i];
    high[i] = x[i] - low[i];  // exact: a half or the whole
  }
  return {high, low};
}

TEST_CASE("norm, gated activation and sums come in two terms that hold what bf16 loses") {
  if (skip_without_device()) return;
  Rng rng(1);
  const Stream stream;
  for (const auto& [rows, dim] : {std::pair{1, 384}, {65, 48}, {7, 130}, {64, 2048}, {3, 7168}}) {
    CAPTURE(rows);
    CAPTURE(dim);
    const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(dim);
    const auto x = random_floats(rng, count, -3, 3), weight = random_floats(rng, static_cast<std::size_t>(dim));
    const OnDevice<float> device_x(x), device_weight(weight);
    {
      std::vector<Bf16> high(count), low(count);
      rms_norm_ref({.rows = rows, .dim = dim, .x = x.data(), .weight = weight.data(), .y = high.data(), .y_low = low.data()});
      const auto y = poisoned_on_device<Bf16>(count), y_low = poisoned_on_device<Bf16>(count),
                 plain = poisoned_on_device<Bf16>(count);
      rms_norm({.rows = rows,
                .dim = dim,
                .x = device_x.data(),
                .weight = device_weight.data(),
                .y = y.data(),
                .y_low = y_low.data()},
               stream.get());
      rms_norm({.rows = rows, .dim = dim, .x = device_x.data(), .weight = device_weight.data(), .y = plain.data()},
               stream.get());
      check_terms(sum_of_terms(y.get(), y_low.get()), sum_of_terms(high, low));
      CHECK(same_bits(y.get(), plain.get()));
    }
    const auto gate_up = random_floats(rng, 2 * count, -6, 6);
    const auto [gate_up_high, gate_up_low] = halves(rng, gate_up);
    const OnDevice<float> device_high(gate_up_high), device_low(gate_up_low), device_whole(gate_up);
    {
      std::vector<Bf16> high(count), low(count);
      silu_multiply_ref({.rows = rows,
                         .width = dim,
                         .gate_up = gate_up_high.data(),
                         .gate_up_low = gate_up_low.data(),
                         .y = high.data(),
                         .y_low = low.data()});
      const auto y = poisoned_on_device<Bf16>(count), y_low = poisoned_on_device<Bf16>(count),
                 plain = poisoned_on_device<Bf16>(count);
      silu_multiply({.rows = rows,
                     .width = dim,
                     .gate_up = device_high.data(),
                     .gate_up_low = device_low.data(),
                     .y = y.data(),
                     .y_low = y_low.data()},
                    stream.get());
      silu_multiply({.rows = rows, .width = dim, .gate_up = device_whole.data(), .y = plain.data()}, stream.get());
      check_terms(sum_of_terms(y.get(), y_low.get()), sum_of_terms(high, low));
      CHECK(same_bits(y.get(), plain.get()));
    }
    {
      const std::int64_t stride = dim + 6;
      const auto room = static_cast<std::size_t>(rows * stride);
      auto high = poisoned<Bf16>(room), low = poisoned<Bf16>(room);
      split_terms_ref({.rows = rows,
                       .columns = dim,
                       .x = gate_up_high.data(),
                       .x_low = gate_up_low.data(),
                       .y = high.data(),
                       .y_low = low.data(),
                       .y_stride = stride});
      const auto y = poisoned_on_device<Bf16>(room), y_low = poisoned_on_device<Bf16>(room);
      split_terms({.rows = rows,
                   .columns = dim,
                   .x = device_high.data(),
                   .x_low = device_low.data(),
                   .y = y.data(),
                   .y_low = y_low.data(),
                   .y_stride = stride},
                  stream.get());
      CHECK(same_bits(y.get(), high));  // the gaps, too, are as they were
      CHECK(same_bits(y_low.get(), low));
    }
  }
}

TEST_CASE("latents and queries from two terms have the bits of their sum, and leave as two terms") {
  if (skip_without_device()) return;
  constexpr int kHeads = 5, kNope = 24, kIndexHeads = 3, kQRank = 40;
  Rng rng(2);
  const Stream stream;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const CacheLayout layout{.format = format, .latent = 72, .rope = 16, .index = 32};
    const PagedBatch batch = paged_batch(rng, kParts);
    const DeviceBatch device(batch);
    const int input_stride = kQRank + layout.latent + layout.rope + layout.index,
              query_stride = kHeads * (kNope + layout.rope) + kIndexHeads * layout.index;
    const auto tokens = static_cast<std::size_t>(batch.tokens());
    const auto input = random_floats(rng, tokens * static_cast<std::size_t>(input_stride), -2, 2),
               query = random_floats(rng, tokens * static_cast<std::size_t>(query_stride), -2, 2);
    const auto [input_high, input_low] = halves(rng, input);
    const auto [query_high, query_low] = halves(rng, query);
    const OnDevice<float> d_input(input), d_input_high(input_high), d_input_low(input_low), d_query(query),
        d_query_high(query_high), d_query_low(query_low);
    const OnDevice<float> q_norm(uniforms(rng, kQRank, 0.5f, 1.5f)), kv_norm(uniforms(rng, layout.latent, 0.5f, 1.5f)),
        index_norm(uniforms(rng, layout.index)), index_bias(uniforms(rng, layout.index));
    const OnDevice<float> cosines(uniforms(rng, batch.longest() * layout.rope / 2)),
        sines(uniforms(rng, batch.longest() * layout.rope / 2));
    const auto row_bytes =
                   static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()),
               page_bytes = static_cast<std::size_t>(batch.page_count * layout.index_page_bytes());

    LatentsArgs latents{.batch = device.view(),
                        .layout = layout,
                        .q_rank = kQRank,
                        .input_stride = input_stride,
                        .kv_offset = kQRank,
                        .input = d_input.data(),
                        .q_norm = q_norm.data(),
                        .kv_norm = kv_norm.data(),
                        .index_norm = index_norm.data(),
                        .index_norm_bias = index_bias.data(),
                        .cosines = cosines.data(),
                        .sines = sines.data()};
    std::vector<std::vector<Bf16>> q(2);
    std::vector<std::vector<std::byte>> rows(2), pages(2);
    const auto low = poisoned_on_device<Bf16>(tokens * kQRank);
    for (const std::size_t two : {0UL, 1UL}) {
      const auto q_latent = poisoned_on_device<Bf16>(tokens * kQRank);
      const auto latent_rows = poisoned_on_device<std::byte>(row_bytes),
                 index_pages = poisoned_on_device<std::byte>(page_bytes);
      latents.q_latent = q_latent.data();
      latents.latent_rows = latent_rows.data();
      latents.index_pages = index_pages.data();
      if (two == 1) {
        latents.input = d_input_high.data();
        latents.input_low = d_input_low.data();
        latents.q_latent_low = low.data();
      }
      write_latents(latents, stream.get());
      q[two] = q_latent.get();
      rows[two] = latent_rows.get();
      pages[two] = index_pages.get();
    }
    CHECK(same_bits(q[0], q[1]));
    CHECK(rows[0] == rows[1]);
    CHECK(pages[0] == pages[1]);
    double rest = 0;
    for (std::size_t i = 0; i < q[1].size(); ++i)
      rest =
          std::max(rest, std::fabs(to_float(low.get()[i])) / std::max(1e-6, std::fabs(static_cast<double>(to_float(q[1][i])))));
    CHECK(rest <= 0x1p-8);
    CHECK(rest >= 0x1p-10);

    QueriesArgs split{.batch = device.view(),
                      .layout = layout,
                      .heads = kHeads,
                      .nope = kNope,
                      .index_heads = kIndexHeads,
                      .query_stride = query_stride,
                      .query = d_query.data(),
                      .cosines = cosines.data(),
                      .sines = sines.data()};
    const std::size_t content_size = tokens * kHeads * kNope,
                      absorbed_size = tokens * kHeads * static_cast<std::size_t>(layout.width()),
                      index_size = tokens * kIndexHeads * static_cast<std::size_t>(layout.index_padded());
    std::vector<std::vector<Bf16>> content(2), absorbed(2), index(2);
    const auto content_low = poisoned_on_device<Bf16>(content_size);
    const OnDevice<Bf16> absorbed_low(std::vector<Bf16>(absorbed_size, Bf16{}));
    for (const std::size_t two : {0UL, 1UL}) {
      const auto a = poisoned_on_device<Bf16>(content_size), c = poisoned_on_device<Bf16>(index_size);
      const OnDevice<Bf16> b(std::vector<Bf16>(absorbed_size, Bf16{}));
      split.content = a.data();
      split.absorbed = b.data();
      split.index_queries = c.data();
      if (two == 1) {
        split.query = d_query_high.data();
        split.query_low = d_query_low.data();
        split.content_low = content_low.data();
        split.absorbed_low = absorbed_low.data();
      }
      split_queries(split, stream.get());
      content[two] = a.get();
      absorbed[two] = b.get();
      index[two] = c.get();
    }
    CHECK(same_bits(content[0], content[1]));
    CHECK(same_bits(absorbed[0], absorbed[1]));
    CHECK(same_bits(index[0], index[1]));
    // Content is copied: with its second term it is the input to 16 bits.
    const auto whole = sum_of_terms(content[1], content_low.get());
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t h = 0; h < kHeads; ++h) {
        for (std::size_t i = 0; i < kNope; ++i) {
          const float wanted =
              query[t * static_cast<std::size_t>(query_stride) + h * static_cast<std::size_t>(kNope + layout.rope) + i];
          REQUIRE(std::fabs(whole[(t * kHeads + h) * kNope + i] - wanted) <= 0x1p-16f * std::fabs(wanted));
        }
      }
    }
    CHECK(relative_error(sum_of_terms(absorbed[1], absorbed_low.get()), to_floats(absorbed[1])) > 0x1p-12);
  }
}

TEST_CASE("attention with queries in two terms is the reference's, nearer to the whole queries than with one") {
  if (skip_without_device()) return;
  Rng rng(3);
  const Stream stream;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    for (const auto& [heads, latent, rope] : {std::tuple{8, 128, 16}, {17, 72, 10}, {128, 512, 64}}) {
      const CacheLayout layout{.format = format, .latent = latent, .rope = rope};
      const PagedBatch batch = paged_batch(rng, kParts);
      const DeviceBatch device(batch);
      const auto tokens = static_cast<std::size_t>(batch.tokens()), queries = tokens * static_cast<std::size_t>(heads);
      const auto high = random_queries(rng, static_cast<std::int64_t>(queries), layout);
      auto low = high;
      for (auto& v : low) v = to_bf16(to_float(v) * 0x1p-8f * uniform(rng, -1.0f, 1.0f));
      const auto rows = random_latents(4, layout, batch);
      const std::size_t out_size = queries * static_cast<std::size_t>(latent);
      std::vector<Bf16> out(out_size), out_low(out_size);
      std::vector<float> lse(queries);
      SparseAttentionArgs args{.batch = batch.view(),
                               .layout = layout,
                               .rows = batch.tokens(),
                               .heads = heads,
                               .longest = batch.longest(),
                               .scale = 4.0f / std::sqrt(static_cast<float>(latent + rope)),
                               .queries = high.data(),
                               .queries_low = low.data(),
                               .latent_rows = rows.data(),
                               .out = out.data(),
                               .out_low = out_low.data(),
                               .lse = lse.data()};
      sparse_attention_ref(args);

      const OnDevice<Bf16> d_high(high), d_low(low);
      const OnDevice<std::byte> d_rows(rows);
      const auto d_out = poisoned_on_device<Bf16>(out_size), d_out_low = poisoned_on_device<Bf16>(out_size);
      const auto d_lse = poisoned_on_device<float>(queries);
      const auto parts = static_cast<std::size_t>(args.parts());
      const auto part_out = poisoned_on_device<float>(queries * parts * static_cast<std::size_t>(layout.latent_padded())),
                 part_stats = poisoned_on_device<float>(queries * parts * 2);
      args.batch = device.view();
      args.latent_rows = d_rows.data();
      args.queries = d_high.data();
      args.queries_low = d_low.data();
      args.part_out = part_out.data();
      args.part_stats = part_stats.data();
      args.out = d_out.data();
      args.out_low = d_out_low.data();
      args.lse = d_lse.data();
      sparse_attention(args, stream.get());
      const double two = relative_error(d_lse.get(), lse),
                   out_error = relative_error(sum_of_terms(d_out.get(), d_out_low.get()), sum_of_terms(out, out_low));
      args.queries_low = nullptr;
      args.out_low = nullptr;
      sparse_attention(args, stream.get());
      const double one = relative_error(d_lse.get(), lse);
      // Sums of some hundred float32 products; weights in bf16 (2^-8 each, of random sign) are what the output keeps of
      // rounding.
      CHECK(two <= 2e-5);
      CHECK(one >= 2 * two);
      CHECK(out_error <= 0x1p-8);
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
