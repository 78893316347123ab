#include "inference/cpu/kernels.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <vector>

#include "core/rng.h"
#include "inference/backend_case.h"
#include "inference/cpu/products.h"
#include "inference/float_types.h"

namespace gauntlet {
namespace {

std::vector<float> random_values(Rng& rng, std::size_t count, double scale = 1.0) {
  std::vector<float> out(count);
  for (auto& v : out) v = static_cast<float>((static_cast<double>(rng.below(2'000'001)) / 1e6 - 1.0) * scale);
  return out;
}

/// A sum of n products of magnitude up to 1, each rounded: n · 2^-23 is more than enough.
float tolerance(int terms) { return static_cast<float>(terms) * 0x1p-23f * 4; }

TEST_CASE("matrix products equal float64 sums for every remainder of rows, columns and tokens") {
  Rng rng(1);
  for (const Isa isa : available_isas()) {
    CAPTURE(std::string(isa_name(isa)));
    ThreadPool pool(2);
    for (const int rows : {1, 15, 16, 17, 80, 200}) {
      for (const int cols : {1, 2, 63, 64, 65, 130}) {
        for (const int tokens : {1, 2, 5, 6, 7, 13}) {
          auto weights = random_values(rng, static_cast<std::size_t>(rows * cols));
          for (auto& w : weights) w = round_to_bf16(w);
          const auto x = random_values(rng, static_cast<std::size_t>(tokens * cols));
          const PackedMatrix bf16(weights, rows, cols, WeightFormat::Exact);
          REQUIRE(bf16.type() == WeightType::Bf16);
          std::vector<float> y(static_cast<std::size_t>(tokens * rows), NAN);
          Products(cpu_kernels(isa), pool).multiply(bf16, {x.data(), cols, tokens}, {y.data(), rows});
          for (int t = 0; t < tokens; ++t) {
            for (int r = 0; r < rows; ++r) {
              double sum = 0;
              for (int c = 0; c < cols; ++c) sum += static_cast<double>(weights[static_cast<std::size_t>(r * cols + c)]) * x[static_cast<std::size_t>(t * cols + c)];
              REQUIRE(y[static_cast<std::size_t>(t * rows + r)] == doctest::Approx(sum).scale(1.0).epsilon(tolerance(cols)));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a row's product has the same bits whatever number of tokens is computed together, for every weight type") {
  Rng rng(2);
  for (const Isa isa : available_isas()) {
    for (const WeightFormat format : {WeightFormat::Exact, WeightFormat::Int8}) {
      for (const bool rounded : {true, false}) {
        const int rows = 83, cols = 129, tokens = 17;
        auto weights = random_values(rng, static_cast<std::size_t>(rows * cols));
        if (rounded) {
          for (auto& w : weights) w = round_to_bf16(w);
        }
        const PackedMatrix matrix(weights, rows, cols, format);
        const auto x = random_values(rng, static_cast<std::size_t>(tokens * cols));
        ThreadPool pool(2);
        std::vector<float> together(static_cast<std::size_t>(tokens * rows)), alone(static_cast<std::size_t>(rows));
        Products products(cpu_kernels(isa), pool);
        products.multiply(matrix, {x.data(), cols, tokens}, {together.data(), rows});
        for (int t = 0; t < tokens; ++t) {
          products.multiply(matrix, {x.data() + t * cols, cols, 1}, {alone.data(), rows});
          REQUIRE(std::equal(alone.begin(), alone.end(), together.begin() + t * rows));
        }
      }
    }
  }
}

TEST_CASE("8-bit weights are within half a step of the originals") {
  Rng rng(3);
  const int rows = 20, cols = 100;
  const auto weights = random_values(rng, static_cast<std::size_t>(rows * cols));
  const PackedMatrix matrix(weights, rows, cols, WeightFormat::Int8);
  ThreadPool pool(1);
  for (int c = 0; c < cols; ++c) {
    std::vector<float> unit(static_cast<std::size_t>(cols), 0.0f), y(static_cast<std::size_t>(rows));
    unit[static_cast<std::size_t>(c)] = 1.0f;
    Products(cpu_kernels(detect_isa()), pool).multiply(matrix, {unit.data(), cols, 1}, {y.data(), rows});
    for (int r = 0; r < rows; ++r) REQUIRE(std::fabs(y[static_cast<std::size_t>(r)] - weights[static_cast<std::size_t>(r * cols + c)]) <= 1.0f / 127 / 2 * 1.001f);
  }
}

TEST_CASE("silu and the softmax's exponentials are right to a few units in the last place, at the ends too") {
  for (const Isa isa : available_isas()) {
    CAPTURE(std::string(isa_name(isa)));
    for (const int size : {1, 15, 16, 33}) {
      std::vector<float> a, b;
      for (int i = 0; i < size; ++i) {
        a.push_back(-100.0f + 200.0f * static_cast<float>(i) / static_cast<float>(size));
        b.push_back(1.5f);
      }
      const auto x = a;
      cpu_kernels(isa).silu_multiply(a.data(), b.data(), size);
      for (std::size_t i = 0; i < a.size(); ++i) {
        const double expected = static_cast<double>(x[i]) / (1.0 + std::exp(-static_cast<double>(x[i]))) * 1.5;
        REQUIRE(std::fabs(a[i] - expected) <= 1e-6 * std::fabs(expected) + 1e-36);
      }
    }
  }
}

TEST_CASE("attention over chosen rows equals the textbook in float64") {
  Rng rng(4);
  for (const Isa isa : available_isas()) {
    CAPTURE(std::string(isa_name(isa)));
    for (const int chosen : {1, 3, 16, 17, 70}) {
      const int heads = 3, latent = 40, dim = 56, rows = 90;
      const auto queries = random_values(rng, static_cast<std::size_t>(heads * dim)), cache = random_values(rng, static_cast<std::size_t>(rows * dim));
      std::vector<std::int32_t> index;
      for (int i = 0; i < chosen; ++i) index.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(rows))));
      std::vector<float> weights(static_cast<std::size_t>(heads * chosen)), out(static_cast<std::size_t>(heads * latent), NAN);
      cpu_kernels(isa).attend({.queries = queries.data(), .cache = cache.data(), .rows = index.data(), .chosen = chosen, .heads = heads, .latent_dim = latent, .cache_dim = dim, .scale = 0.7f, .weights = weights.data(), .out = out.data()});
      for (int h = 0; h < heads; ++h) {
        std::vector<double> p;
        double total = 0;
        for (const auto row : index) {
          double dot = 0;
          for (int d = 0; d < dim; ++d) dot += static_cast<double>(queries[static_cast<std::size_t>(h * dim + d)]) * cache[static_cast<std::size_t>(row * dim + d)];
          p.push_back(std::exp(0.7 * dot));
          total += p.back();
        }
        for (int d = 0; d < latent; ++d) {
          double expected = 0;
          for (std::size_t i = 0; i < p.size(); ++i) expected += p[i] / total * cache[static_cast<std::size_t>(index[i] * dim + d)];
          REQUIRE(std::fabs(out[static_cast<std::size_t>(h * latent + d)] - expected) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("index scores equal the formula in float64 for any number of heads and positions") {
  Rng rng(5);
  for (const Isa isa : available_isas()) {
    for (const int heads : {1, 16, 20}) {
      const int dim = 24, count = 150, groups = (heads + 15) / 16;
      const auto queries = random_values(rng, static_cast<std::size_t>(heads * dim)), weights = random_values(rng, static_cast<std::size_t>(heads)), keys = random_values(rng, 256 * 24);
      const std::vector<std::int32_t> pages = {2, 0, 3};
      std::vector<float> packed(static_cast<std::size_t>(groups * dim * 16)), padded(static_cast<std::size_t>(groups * 16)), out(static_cast<std::size_t>(count), NAN);
      for (int h = 0; h < heads; ++h) {
        padded[static_cast<std::size_t>(h)] = weights[static_cast<std::size_t>(h)];
        for (int d = 0; d < dim; ++d) packed[static_cast<std::size_t>((h / 16 * dim + d) * 16 + h % 16)] = queries[static_cast<std::size_t>(h * dim + d)];
      }
      cpu_kernels(isa).index_scores({.queries = packed.data(), .head_weights = padded.data(), .head_groups = groups, .index_dim = dim, .keys = keys.data(), .pages = pages.data(), .page_tokens = 64, .count = count, .out = out.data()});
      for (int s = 0; s < count; ++s) {
        const int row = pages[static_cast<std::size_t>(s / 64)] * 64 + s % 64;
        double expected = 0;
        for (int h = 0; h < heads; ++h) {
          double dot = 0;
          for (int d = 0; d < dim; ++d) dot += static_cast<double>(queries[static_cast<std::size_t>(h * dim + d)]) * keys[static_cast<std::size_t>(row * dim + d)];
          expected += std::max(dot, 0.0) * weights[static_cast<std::size_t>(h)];
        }
        REQUIRE(std::fabs(out[static_cast<std::size_t>(s)] - expected) < 1e-4);
      }
    }
  }
}

TEST_CASE("the thread pool does every item once, again and again") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const std::size_t items : {0UL, 1UL, 2UL, 7UL, 1000UL}) {
      for (int round = 0; round < 200; ++round) {
        std::vector<std::atomic<int>> done(items);
        pool.run(items, [&](std::size_t item, int thread) {
          if (thread >= 0 && thread < threads) done[item].fetch_add(1);
        });
        for (const auto& count : done) REQUIRE(count.load() == 1);
      }
    }
  }
}

}  // namespace
}  // namespace gauntlet
