// The references of index_scores.h, top_positions.h, sparse_attention.h, masked_attention.h and term_product.h against their formulas written out, with
// no device: kernels are compared with them elsewhere.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "inference/cuda/hopper/masked_attention.h"
#include "inference/cuda/index_scores.h"
#include "inference/cuda/paged_case.h"
#include "inference/cuda/sparse_attention.h"
#include "inference/cuda/term_product.h"
#include "inference/cuda/top_positions.h"
#include "inference/selection.h"

namespace gauntlet::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Attention {
  CacheLayout layout;
  PagedBatch batch;
  std::vector<Bf16> queries;
  std::vector<std::byte> rows;
  int heads = 2;

  Attention(CacheFormat format, const std::vector<SequencePart>& parts, const Readable& readable = nullptr) : layout{.format = format, .latent = 20, .rope = 6} {
    Rng rng(11);
    batch = paged_batch(rng, parts);
    queries = random_queries(rng, static_cast<std::int64_t>(batch.tokens()) * heads, layout);
    rows = random_latents(12, layout, batch, readable);
  }
  struct Result {
    std::vector<float> out, lse;
  };
  /// `chosen` [tokens, k]; empty: dense.
  Result run(const std::vector<std::int32_t>& chosen) const {
    const auto tokens = static_cast<std::size_t>(batch.tokens()), all_heads = static_cast<std::size_t>(heads);
    std::vector<Bf16> out(tokens * all_heads * 20, Bf16{0x7fc1});
    Result result{.out = {}, .lse = std::vector<float>(tokens * all_heads, NAN)};
    sparse_attention_ref({.batch = batch.view(), .layout = layout, .rows = batch.tokens(), .heads = heads, .longest = batch.longest(), .scale = 0.75f, .queries = queries.data(),
                          .chosen = chosen.empty() ? nullptr : chosen.data(), .k = static_cast<int>(chosen.size() / tokens), .latent_rows = rows.data(), .out = out.data(), .lse = result.lse.data()});
    for (const auto v : out) result.out.push_back(to_float(v));
    return result;
  }
};

TEST_CASE("attention over every position is a softmax written out") {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const Attention a(format, {{.start = 66, .count = 2}, {.start = 0, .count = 1}});
    const auto result = a.run({});
    for (std::size_t t = 0; t < 3; ++t) {
      for (std::size_t h = 0; h < 2; ++h) {
        double total = 0;
        std::vector<double> mixed(20);
        for (int s = 0; s <= a.batch.positions[t]; ++s) {
          const auto key = read_latent_row(a.layout, a.rows.data() + physical_row(a.batch.view(), a.batch.sequences[t], s) * a.layout.row_bytes());
          double dot = 0;
          for (std::size_t d = 0; d < key.size(); ++d) dot += to_float(a.queries[(t * 2 + h) * key.size() + d]) * key[d];
          total += std::exp(0.75 * dot);
          for (std::size_t d = 0; d < 20; ++d) mixed[d] += std::exp(0.75 * dot) * key[d];
        }
        CHECK(result.lse[t * 2 + h] == doctest::Approx(std::log(total)).epsilon(1e-6));
        for (std::size_t d = 0; d < 20; ++d) CHECK(std::fabs(result.out[(t * 2 + h) * 20 + d] - mixed[d] / total) <= std::fabs(mixed[d] / total) * 0x1p-8 + 1e-6);
      }
    }
  }
}

TEST_CASE("attention over a list of all positions is dense attention") {
  const Attention a(CacheFormat::Bf16, {{.start = 66, .count = 2}, {.start = 0, .count = 1}});
  std::vector<std::int32_t> chosen(3 * 70, -1);
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::int32_t s = 0; s <= a.batch.positions[t]; ++s) chosen[t * 70 + static_cast<std::size_t>(s)] = s;
  }
  const auto sparse = a.run(chosen), dense = a.run({});
  CHECK(sparse.out == dense.out);
  CHECK(sparse.lse == dense.lse);
}

TEST_CASE("entries outside the token's own past count as none, and NaN in what is not chosen does not reach the output") {
  const Attention a(CacheFormat::Bf16, {{.start = 9, .count = 2}}, [](int, int position) { return position == 3 || position == 7; });
  const auto noisy = a.run({-1, 3, 10, 7, INT32_MAX, INT32_MIN, 7, 3, 11, -1, -1, -1}), clean = a.run({3, 7, -1, -1, -1, -1, 3, 7, -1, -1, -1, -1});
  for (const float v : noisy.out) CHECK(std::isfinite(v));
  CHECK(noisy.lse[0] == clean.lse[0]);
  for (std::size_t i = 0; i < noisy.out.size(); ++i) CHECK(std::fabs(noisy.out[i] - clean.out[i]) <= 0x1p-8f);
}

TEST_CASE("a token whose list is empty has an output of 0 and an lse of +inf") {
  const Attention a(CacheFormat::Fp8, {{.start = 3, .count = 1}});
  const auto result = a.run({-1, 4, INT32_MAX});
  for (const float v : result.out) CHECK(v == 0.0f);
  for (const float v : result.lse) CHECK(v == kInfinity);
}

TEST_CASE("logits of any size give a softmax") {
  const Attention a(CacheFormat::Bf16, {{.start = 40, .count = 1}});
  Attention large = a;
  for (auto& q : large.queries) q = to_bf16(to_float(q) * 1e6f);
  const auto result = large.run({});
  for (const float v : result.out) CHECK(std::fabs(v) <= 1.0f);
  for (const float v : result.lse) CHECK(std::isfinite(v));
}

TEST_CASE("indexer scores are the formula's, and nothing beyond a token's own position is written") {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const CacheLayout layout{.format = format, .latent = 16, .rope = 2, .index = 8};
    Rng rng(21);
    const auto batch = paged_batch(rng, {{.start = 63, .count = 3}, {.start = 1, .count = 1}});
    const int heads = 3, stride = 72;
    const auto pages = random_index_keys(22, layout, batch);
    auto plain = random_padded(rng, 4 * heads, 8, 16);
    const auto weights = uniforms(rng, 4 * heads);
    std::vector<float> scores(4 * static_cast<std::size_t>(stride), -7.0f);
    index_scores_ref({.batch = batch.view(), .layout = layout, .rows = 4, .heads = heads, .longest = 66, .queries = plain.data(), .weights = weights.data(), .index_pages = pages.data(), .scores = scores.data(), .score_stride = stride});
    for (std::size_t t = 0; t < 4; ++t) {
      Rng keys(mix_seed(22, static_cast<std::uint64_t>(batch.sequences[t])));
      for (int s = 0; s < stride; ++s) {
        const float found = scores[t * static_cast<std::size_t>(stride) + static_cast<std::size_t>(s)];
        if (s > batch.positions[t]) {
          REQUIRE(found == -7.0f);
          continue;
        }
        auto key = uniforms(keys, 8);
        round_index_vector(layout, key);
        double expected = 0;
        for (std::size_t h = 0; h < 3; ++h) {
          double dot = 0;
          for (std::size_t d = 0; d < 8; ++d) dot += to_float(plain[(t * 3 + h) * 16 + d]) * key[d];
          if (dot > 0) expected += dot * weights[t * 3 + h];
        }
        REQUIRE(std::fabs(found - expected) < 1e-6);
      }
    }
  }
}

TEST_CASE("tokens with few enough positions get no scores, and a range of rows gets its own") {
  const CacheLayout layout{.latent = 16, .rope = 2, .index = 16};
  Rng rng(23);
  const auto batch = paged_batch(rng, {{.start = 0, .count = 8}});
  const auto pages = random_index_keys(24, layout, batch);
  const auto queries = random_padded(rng, 8, 16, 16);
  const auto weights = uniforms(rng, 8);
  std::vector<float> whole(64, -7.0f), part(16, -7.0f);
  IndexScoresArgs args{.batch = batch.view(), .layout = layout, .rows = 8, .heads = 1, .longest = 8, .skip_up_to = 4, .queries = queries.data(), .weights = weights.data(), .index_pages = pages.data(), .scores = whole.data(), .score_stride = 8};
  index_scores_ref(args);
  for (std::size_t i = 0; i < 32; ++i) CHECK(whole[i] == -7.0f);
  for (std::size_t i = 32; i < 37; ++i) CHECK(whole[i] != -7.0f);
  args.first = 5;
  args.rows = 2;
  args.scores = part.data();
  index_scores_ref(args);
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 40));
}

TEST_CASE("the best positions come in ascending order, the rest of the row is -1, and scores beyond the last candidate are not looked at") {
  const std::vector<float> scores = {1, 5, 5, 2, 9, NAN, -0.0f, 0.0f, -1, 0.0f, kInfinity, kInfinity, kInfinity, kInfinity, kInfinity, kInfinity};
  const std::vector<std::int32_t> last = {4, 4};
  std::vector<std::int32_t> chosen(6);
  top_positions_ref({.rows = 2, .k = 3, .last = last.data(), .scores = scores.data(), .score_stride = 5, .chosen = chosen.data()});
  CHECK(chosen == std::vector<std::int32_t>{1, 2, 4, 1, 2, 4});  // of NaN, -0, 0, -1, 0: zeros are equal and NaN is last
  const std::vector<std::int32_t> short_rows = {1, -1};
  top_positions_ref({.rows = 2, .k = 3, .last = short_rows.data(), .scores = nullptr, .score_stride = 5, .chosen = chosen.data()});
  CHECK(chosen == std::vector<std::int32_t>{0, 1, -1, -1, -1, -1});
}

TEST_CASE("attention over keys and values made of the latents is attention over the latents") {
  // Whole sequences of 5 and 3 tokens, 2 heads; the latent has 24 numbers, the up-projections are random.
  constexpr std::size_t kHeads = 2, kTokens = 8, kSize = 24;
  Rng rng(31);
  const CacheLayout layout{.format = CacheFormat::Bf16, .latent = kSize, .rope = kMaskedRotary};
  const auto batch = paged_batch(rng, {{.start = 0, .count = 5}, {.start = 0, .count = 3}});
  const auto random = [&](std::size_t count, float size) {
    std::vector<float> out = uniforms(rng, static_cast<int>(count));
    for (float& v : out) v = round_to_bf16(v * size);
    return out;
  };
  const auto latents = random(kTokens * kSize, 1), rotary = random(kTokens * kMaskedRotary, 1), content = random(kTokens * kHeads * kMaskedContent, 0.3f), turned = random(kTokens * kHeads * kMaskedRotary, 0.3f);
  const auto key_up = random(kHeads * kMaskedContent * kSize, 0.3f), value_up = random(kHeads * kMaskedValue * kSize, 0.3f);

  // Keys and values of every head, and queries as they are.
  std::vector<Bf16> queries, keys_values(kTokens * kHeads * (kMaskedContent + kMaskedValue)), rotary_keys;
  // Queries taken into the latents' space, and the latents in a cache.
  std::vector<Bf16> absorbed(kTokens * kHeads * static_cast<std::size_t>(layout.width()));
  std::vector<std::byte> rows(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()));
  for (const float v : rotary) rotary_keys.push_back(to_bf16(v));
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::span latent = std::span(latents).subspan(t * kSize, kSize);
    write_latent_row(layout, latent, std::span(rotary).subspan(t * kMaskedRotary, kMaskedRotary), rows.data() + physical_row(batch.view(), batch.sequences[t], batch.positions[t]) * layout.row_bytes());
    for (std::size_t h = 0; h < kHeads; ++h) {
      const std::size_t head = t * kHeads + h;
      for (std::size_t i = 0; i < kMaskedContent; ++i) queries.push_back(to_bf16(content[head * kMaskedContent + i]));
      for (std::size_t i = 0; i < kMaskedRotary; ++i) queries.push_back(to_bf16(turned[head * kMaskedRotary + i]));
      for (std::size_t i = 0; i < kMaskedContent + kMaskedValue; ++i) {
        const float* weights = i < kMaskedContent ? key_up.data() + (h * kMaskedContent + i) * kSize : value_up.data() + (h * kMaskedValue + i - kMaskedContent) * kSize;
        float sum = 0;
        for (std::size_t l = 0; l < kSize; ++l) sum += weights[l] * latent[l];
        keys_values[head * (kMaskedContent + kMaskedValue) + i] = to_bf16(sum);
      }
      Bf16* into = absorbed.data() + head * static_cast<std::size_t>(layout.width());
      for (std::size_t l = 0; l < kSize; ++l) {
        float sum = 0;
        for (std::size_t i = 0; i < kMaskedContent; ++i) sum += content[head * kMaskedContent + i] * key_up[(h * kMaskedContent + i) * kSize + l];
        into[l] = to_bf16(sum);
      }
      for (std::size_t i = 0; i < kMaskedRotary; ++i) into[static_cast<std::size_t>(layout.latent_padded()) + i] = to_bf16(turned[head * kMaskedRotary + i]);
    }
  }

  std::vector<Bf16> masked(kTokens * kHeads * kMaskedValue), attended(kTokens * kHeads * kSize);
  std::vector<float> masked_lse(kTokens * kHeads), lse(kTokens * kHeads);
  masked_attention_ref({.batch = batch.view(), .first = 0, .rows = static_cast<int>(kTokens), .heads = static_cast<int>(kHeads), .scale = 0.5f, .queries = queries.data(), .keys_values = keys_values.data(),
                        .rotary_keys = rotary_keys.data(), .out = masked.data(), .lse = masked_lse.data()});
  sparse_attention_ref({.batch = batch.view(), .layout = layout, .rows = static_cast<int>(kTokens), .heads = static_cast<int>(kHeads), .longest = 5, .scale = 0.5f, .queries = absorbed.data(), .latent_rows = rows.data(),
                        .out = attended.data(), .lse = lse.data()});
  // Logits of about 2 are sums of numbers rounded to 8 bits; so are the values.
  for (std::size_t i = 0; i < lse.size(); ++i) CHECK(masked_lse[i] == doctest::Approx(lse[i]).epsilon(0.02));
  for (std::size_t i = 0; i < masked.size(); ++i) {
    const std::size_t head = i / kMaskedValue;
    float value = 0;
    for (std::size_t l = 0; l < kSize; ++l) value += to_float(attended[head * kSize + l]) * value_up[(head % kHeads * kMaskedValue + i % kMaskedValue) * kSize + l];
    CHECK(std::fabs(to_float(masked[i]) - value) <= 0.02f);
  }
}

TEST_CASE("a fused product's reference norms, multiplies, adds, gates and rounds") {
  const std::vector<float> x = {3, 4, 1, 0}, norm_weight = {1, 2};
  std::vector<Bf16> weights;
  for (const float w : {1.0f, 1.0f, 2.0f, -1.0f}) weights.push_back(to_bf16(w));
  const TermProductArgs base{.rows = 2, .outputs = 2, .inner = 2, .weights = weights.data(), .eps = 0, .x = x.data(), .x_stride = 2, .y_stride = 2};
  std::vector<float> y = {10, 10, 10, 10}, normed(4);

  TermProductArgs args = base;
  args.y = y.data();
  term_product_ref(args);
  CHECK(y == std::vector<float>{7, 2, 1, 2});
  args.output = TermOutput::AddFloat;
  term_product_ref(args);
  CHECK(y == std::vector<float>{14, 4, 2, 4});

  // Root mean squares sqrt(12.5) and sqrt(0.5).
  args.output = TermOutput::Float;
  args.norm_weight = norm_weight.data();
  args.normed = normed.data();
  term_product_ref(args);
  const double first = std::sqrt(12.5), second = std::sqrt(0.5);
  for (const auto& [found, expected] : {std::pair{normed[0], 3 / first}, {normed[1], 8 / first}, {normed[2], 1 / second}, {normed[3], 0.0}, {y[0], 11 / first}, {y[1], -2 / first}, {y[2], 1 / second}, {y[3], 2 / second}}) {
    CHECK(static_cast<double>(found) == doctest::Approx(expected).epsilon(1e-6));
  }

  // Gate and up one below the other; both terms together hold 16 bits.
  std::vector<Bf16> high(2), low(2);
  TermProductArgs gate = base;
  gate.outputs = 1;
  gate.y_stride = 1;
  gate.output = TermOutput::GateTerms;
  gate.y_high = high.data();
  gate.y_low = low.data();
  term_product_ref(gate);
  const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
  CHECK(static_cast<double>(to_float(high[0]) + to_float(low[0])) == doctest::Approx(silu(7) * 2).epsilon(0x1p-15));
  CHECK(static_cast<double>(to_float(high[1]) + to_float(low[1])) == doctest::Approx(silu(1) * 2).epsilon(0x1p-15));
}

}  // namespace
}  // namespace gauntlet::kernels
