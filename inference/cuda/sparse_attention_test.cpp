#include "inference/cuda/sparse_attention.h"

#include <cmath>
#include <string>

#include "inference/cuda/attention_case.h"

namespace gauntlet::kernels {
namespace {

struct Dims {
  int heads = 0, latent = 0, rope = 0, k = 0;
};

enum class Lists {
  Dense,  ///< none given
  Full,   ///< as many as there are, ascending, then -1
  Holes   ///< a third of the entries name no position of the token's past; some tokens have none at all
};

struct Problem : AttentionProblem {
  Lists lists = Lists::Dense;
};

std::vector<std::int32_t> make_list(Rng& rng, const Problem& problem, std::size_t token) {
  const std::int32_t own = problem.batch.positions[token];
  const auto k = static_cast<std::size_t>(problem.k);
  std::vector<std::int32_t> all(static_cast<std::size_t>(own) + 1);
  std::iota(all.begin(), all.end(), 0);
  if (all.size() > k) {
    rng.shuffle(all);
    all.resize(k);
    std::ranges::sort(all);
  }
  all.resize(k, -1);
  if (problem.lists == Lists::Full) return all;
  const std::vector<std::int32_t> none = {-1, -2, own + 1, own + 64, INT32_MAX, INT32_MIN};
  const bool lonely = token % 7 == 3;
  for (auto& entry : all) {
    if (lonely || rng.below(3) == 0) entry = rng.pick(none);
  }
  return all;
}

/// `spread`: about the standard deviation of the logits. Entries that no token of a sequence may read are NaN.
Problem make_problem(std::uint64_t seed, CacheFormat format, const Dims& dims, Lists lists, const std::vector<SequencePart>& parts, float spread = 2.0f) {
  Rng rng(seed);
  Problem out;
  out.layout = {.format = format, .latent = dims.latent, .rope = dims.rope};
  out.batch = paged_batch(rng, parts);
  out.heads = dims.heads;
  out.k = dims.k;
  out.lists = lists;
  out.listed = lists != Lists::Dense;
  out.scale = 3.0f * spread / std::sqrt(static_cast<float>(dims.latent + dims.rope));
  Rng values(seed + 1);  // of its own, so that another order of pages has the same values
  out.queries = random_queries(values, static_cast<std::int64_t>(out.batch.tokens()) * dims.heads, out.layout);
  std::vector<std::vector<bool>> read(parts.size());
  for (std::size_t s = 0; s < parts.size(); ++s) read[s].resize(static_cast<std::size_t>(out.batch.lengths[s]), lists == Lists::Dense);
  if (lists != Lists::Dense) {
    for (std::size_t t = 0; t < out.batch.ids.size(); ++t) {
      const auto list = make_list(values, out, t);
      out.chosen.insert(out.chosen.end(), list.begin(), list.end());
      for (const auto s : list) {
        if (s >= 0 && s <= out.batch.positions[t]) read[static_cast<std::size_t>(out.batch.sequences[t])][static_cast<std::size_t>(s)] = true;
      }
    }
  }
  out.rows = random_latents(seed + 2, out.layout, out.batch, [&](int s, int p) { return read[static_cast<std::size_t>(s)][static_cast<std::size_t>(p)]; });
  return out;
}

using Result = AttentionResult;

struct Device : AttentionDevice {
  explicit Device(const Problem& problem) : AttentionDevice(problem, sparse_attention) {}
};

double largest_key(const Problem& problem) {
  double most = 0;
  for (std::size_t s = 0; s < problem.batch.lengths.size(); ++s) {
    for (int p = 0; p < problem.batch.lengths[s]; ++p) {
      const auto key = read_latent_row(problem.layout, problem.rows.data() + physical_row(problem.batch.view(), static_cast<int>(s), p) * problem.layout.row_bytes());
      if (const double size = norm(key); std::isfinite(size)) most = std::max(most, size);
    }
  }
  return most;
}

// Where the kernel may differ from the reference, which computes in double:
// - a logit is a sum of `width` products, added by the matrix unit in steps of 8 or 16 that may truncate (2^-23 of Σ|q k| <= |q| |k| a step,
//   and a few for the scale and the exponential): `logit`, which is also what the lse may be off by, next to its own sum over n weights;
// - weights go to bf16 for the second product (2^-8 of each, values are at most 1), and both outputs to bf16 (2^-8 each).
void check(const Problem& problem, const Result& found, const Result& expected) {
  const auto width = static_cast<std::size_t>(problem.layout.width()), latent = static_cast<std::size_t>(problem.layout.latent);
  const double key = largest_key(problem);
  REQUIRE(found.out.size() == expected.out.size());
  double worst_out = 0, worst_lse = 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < found.lse.size(); ++i) {
    const double query = norm(to_floats(std::span(problem.queries).subspan(i * width, width)));
    const double logit = 0x1p-23 * (static_cast<double>(width) / 8 + 8) * problem.scale * query * key;
    const double count = problem.longest();
    const bool empty = std::isinf(expected.lse[i]);
    if (empty) {
      wrong += found.lse[i] != expected.lse[i];
    } else {
      const double error = std::fabs(found.lse[i] - expected.lse[i]) / (logit + 0x1p-24 * count + 0x1p-22 * std::max(1.0, std::fabs(static_cast<double>(expected.lse[i]))));
      wrong += !std::isfinite(found.lse[i]);
      worst_lse = std::max(worst_lse, error);
    }
    for (std::size_t d = i * latent; d < (i + 1) * latent; ++d) {
      const double a = to_float(found.out[d]), b = to_float(expected.out[d]);
      const double bound = empty ? 0x1p-100 : 0x1p-8 + 2 * logit + 0x1p-23 * count + 0x1p-7 * std::fabs(b);
      wrong += !std::isfinite(a);
      worst_out = std::max(worst_out, std::fabs(a - b) / bound);
    }
  }
  CHECK(wrong == 0);
  CHECK(worst_out <= 1.0);
  CHECK(worst_lse <= 1.0);
}

// Contexts around 1, 64 (a page) and 512 (a part), in one batch.
const std::vector<SequencePart> kMixed = {{0, 1}, {0, 3}, {61, 5}, {128, 2}, {510, 4}, {1023, 2}, {1536, 1}};

constexpr Dims kDims[] = {
    {4, 64, 16, 16},   {8, 128, 16, 64},    {8, 512, 64, 128},   {128, 512, 64, 2048},                    // the golden models, V3.2
    {8, 128, 32, 512}, {16, 256, 64, 512},  {64, 512, 64, 1024}, {20, 384, 64, 640},  {40, 128, 64, 513},  // others that are likely
    {1, 16, 2, 1},     {3, 40, 10, 7},      {5, 72, 6, 63},      {17, 200, 34, 65},   {33, 130, 18, 129},  // sizes that need padding
};

std::string name_of(const Dims& dims, CacheFormat format, Lists lists) {
  return std::to_string(dims.heads) + " heads, " + std::to_string(dims.latent) + "+" + std::to_string(dims.rope) + ", k " + std::to_string(dims.k) + (format == CacheFormat::Bf16 ? ", bf16" : ", fp8") +
         (lists == Lists::Dense ? ", dense" : lists == Lists::Full ? ", full lists" : ", lists with holes");
}

TEST_CASE("sparse attention on the device is the reference's, for any sizes, lists and contexts") {
  if (skip_without_device()) return;
  for (const auto& dims : kDims) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      for (const auto lists : {Lists::Dense, Lists::Full, Lists::Holes}) {
        CAPTURE(name_of(dims, format, lists));
        const auto problem = make_problem(1, format, dims, lists, kMixed);
        check(problem, Device(problem).run(), attention_reference(problem));
      }
    }
  }
}

TEST_CASE("sparse attention of V3.2's sizes chooses 2,048 positions of more") {
  if (skip_without_device()) return;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    for (const auto lists : {Lists::Full, Lists::Holes}) {
      CAPTURE(name_of({128, 512, 64, 2048}, format, lists));
      const auto problem = make_problem(8, format, {128, 512, 64, 2048}, lists, {{.start = 2046, .count = 4}, {.start = 5000, .count = 1}});
      check(problem, Device(problem).run(), attention_reference(problem));
    }
  }
}

TEST_CASE("sparse attention keeps its accuracy when one position outweighs all others, and when none does") {
  if (skip_without_device()) return;
  for (const float spread : {0.01f, 30.0f}) {
    CAPTURE(spread);
    const auto problem = make_problem(2, CacheFormat::Bf16, {8, 512, 64, 1025}, Lists::Full, kMixed, spread);
    check(problem, Device(problem).run(), attention_reference(problem));
  }
}

TEST_CASE("every position of a list counts once, whatever parts the list is cut into") {
  if (skip_without_device()) return;
  // Logits of 0 give equal weights, and position s has a 1 in column s mod latent: outputs are counts.
  constexpr int kLatent = 128;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    for (const int n : {1, 2, 63, 64, 65, 127, 129, kAttentionPart - 1, kAttentionPart, kAttentionPart + 1, 2 * kAttentionPart - 1, 2 * kAttentionPart, 2 * kAttentionPart + 1, 3 * kAttentionPart, 2048, 5000}) {
      for (const auto lists : {Lists::Dense, Lists::Full}) {
        CAPTURE(name_of({4, kLatent, 16, n}, format, lists));
        CAPTURE(n);
        auto problem = make_problem(3, format, {4, kLatent, 16, n}, lists, {{n - 1, 1}});
        std::ranges::fill(problem.queries, Bf16{});
        for (int p = 0; p < n; ++p) {
          std::vector<float> latent(kLatent, 0.0f);
          latent[static_cast<std::size_t>(p % kLatent)] = 1.0f;
          write_latent_row(problem.layout, latent, std::vector<float>(16, 1.0f), problem.rows.data() + physical_row(problem.batch.view(), 0, p) * problem.layout.row_bytes());
        }
        const auto found = Device(problem).run();
        double worst = 0;
        for (std::size_t i = 0; i < found.out.size(); ++i) {
          const int column = static_cast<int>(i) % kLatent;
          const double expected = static_cast<double>(n / kLatent + (column < n % kLatent ? 1 : 0)) / n;
          worst = std::max(worst, std::fabs(to_float(found.out[i]) - expected) / (expected * 0x1p-8 + 1e-9));
        }
        CHECK(worst <= 1.001);  // one rounding to bf16
        for (const float v : found.lse) CHECK(v == doctest::Approx(std::log(n)).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("a range of rows has the bits of the whole, writes nothing else, and a token alone has the bits that it has in a batch") {
  if (skip_without_device()) return;
  for (const auto& dims : {Dims{8, 128, 16, 64}, Dims{8, 128, 16, 600}, Dims{128, 512, 64, 1100}, Dims{3, 40, 10, 700}}) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      for (const auto lists : {Lists::Dense, Lists::Full, Lists::Holes}) {
        CAPTURE(name_of(dims, format, lists));
        const auto problem = make_problem(4, format, dims, lists, kMixed);
        const Device device(problem);
        // A batch with longer lists than any here: more parts, and results of one part are joined too.
        const auto whole = device.run(0, problem.batch.tokens(), problem.longest() + kAttentionPart + 100);
        const auto tokens = static_cast<std::size_t>(problem.batch.tokens()), heads = static_cast<std::size_t>(dims.heads);
        const auto part = device.run(5, 7, problem.longest());
        CHECK(same_bits(rows_of(part.out, problem.out_row(), 5, 7), rows_of(whole.out, problem.out_row(), 5, 7)));
        CHECK(same_bits(part.lse, rows_of(whole.lse, heads, 5, 7)));
        CHECK(same_bits(rows_of(part.out, problem.out_row(), 0, 5), poisoned<Bf16>(5 * problem.out_row())));
        CHECK(same_bits(rows_of(part.out, problem.out_row(), 12, tokens - 12), poisoned<Bf16>((tokens - 12) * problem.out_row())));
        for (std::size_t t = 0; t < tokens; ++t) {
          CAPTURE(t);
          Problem one = problem;
          one.batch = problem.batch.only(t);
          one.queries = rows_of(problem.queries, heads * static_cast<std::size_t>(problem.layout.width()), t, 1);
          if (lists != Lists::Dense) one.chosen = rows_of(problem.chosen, static_cast<std::size_t>(dims.k), t, 1);
          const auto alone = Device(one).run();
          CHECK(same_bits(alone.out, rows_of(whole.out, problem.out_row(), t, 1)));
          CHECK(same_bits(alone.lse, rows_of(whole.lse, heads, t, 1)));
        }
      }
    }
  }
}

TEST_CASE("sparse attention gives the same bits on every run, and on any pages") {
  if (skip_without_device()) return;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    const auto problem = make_problem(5, format, {16, 512, 64, 1300}, Lists::Full, kMixed);
    const Device device(problem);
    const auto first = device.run();
    for (int i = 0; i < 20; ++i) {
      const auto again = device.run();
      REQUIRE(same_bits(again.out, first.out));
      REQUIRE(same_bits(again.lse, first.lse));
    }
    Problem moved = problem;
    Rng rng(99);
    moved.batch = paged_batch(rng, kMixed);
    REQUIRE(moved.batch.pages != problem.batch.pages);
    moved.rows.assign(moved.rows.size(), std::byte{0xff});
    const auto row_bytes = static_cast<std::ptrdiff_t>(problem.layout.row_bytes());
    for (std::size_t s = 0; s < kMixed.size(); ++s) {
      for (int p = 0; p < problem.batch.lengths[s]; ++p) {
        std::copy_n(problem.rows.begin() + physical_row(problem.batch.view(), static_cast<int>(s), p) * row_bytes, row_bytes,
                    moved.rows.begin() + physical_row(moved.batch.view(), static_cast<int>(s), p) * row_bytes);
      }
    }
    CHECK(same_bits(Device(moved).run().out, first.out));
  }
}

TEST_CASE("an lse that is null is not written") {
  if (skip_without_device()) return;
  const auto problem = make_problem(6, CacheFormat::Bf16, {4, 64, 16, 16}, Lists::Full, {{.start = 20, .count = 2}});
  const auto expected = Device(problem).run();
  const DeviceBatch batch(problem.batch);
  const OnDevice<Bf16> queries(problem.queries);
  const OnDevice<std::int32_t> chosen(problem.chosen);
  const OnDevice<std::byte> rows(problem.rows);
  const auto out = poisoned_on_device<Bf16>(expected.out.size());
  auto args = problem.args();
  args.batch = batch.view();
  args.queries = queries.data();
  args.chosen = chosen.data();
  args.latent_rows = rows.data();
  args.out = out.data();
  const Stream stream;
  sparse_attention(args, stream.get());
  stream.wait_blocking();
  CHECK(same_bits(out.get(), expected.out));
}

TEST_CASE("sparse attention takes more rows than a grid's second dimension has blocks, and none at all") {
  if (skip_without_device()) return;
  const auto problem = make_problem(7, CacheFormat::Bf16, {1, 16, 2, 3}, Lists::Full, std::vector<SequencePart>(660, {.start = 0, .count = 100}));
  const Device device(problem);
  check(problem, device.run(), attention_reference(problem));
  const auto none = device.run(3, 0, problem.longest());
  CHECK(same_bits(none.out, poisoned<Bf16>(none.out.size())));
}

}  // namespace
}  // namespace gauntlet::kernels
