#include "inference/cuda/hopper/sparse_few_heads.h"

#include <array>
#include <cmath>
#include <string>

#include "inference/cuda/attention_case.h"

namespace gauntlet::kernels {
namespace {

constexpr int kLatent = 512, kRope = 64;

enum class Lists {
  Dense,  ///< none given
  Full,   ///< as many as there are, ascending, then -1
  Holes   ///< a third of the entries name no position of the token's past; some tokens have none at all
};

struct Shape {
  int heads = 16, k = 0;
  CacheFormat format = CacheFormat::Fp8;
  Lists lists = Lists::Full;
  int part = kAttentionPart;
  float spread = 2.0f;     ///< about the standard deviation of the logits
  float query_size = 1.0f, latent_size = 1.0f;
};

std::string name_of(const Shape& shape) {
  return std::to_string(shape.heads) + " heads, k " + std::to_string(shape.k) + (shape.format == CacheFormat::Bf16 ? ", bf16" : ", fp8") +
         ", parts of " + std::to_string(shape.part) +
         (shape.lists == Lists::Dense ? ", dense" : shape.lists == Lists::Full ? ", full lists" : ", lists with holes");
}

struct Problem : AttentionProblem {
  float latent_size = 1.0f;
};

std::vector<std::int32_t> make_list(Rng& rng, const Shape& shape, std::int32_t own, std::size_t token) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(own) + 1);
  std::iota(all.begin(), all.end(), 0);
  if (all.size() > static_cast<std::size_t>(shape.k)) {
    rng.shuffle(all);
    all.resize(static_cast<std::size_t>(shape.k));
    std::ranges::sort(all);
  }
  all.resize(static_cast<std::size_t>(shape.k), -1);
  if (shape.lists == Lists::Full) return all;
  const std::vector<std::int32_t> none = {-1, -2, own + 1, own + 64, INT32_MAX, INT32_MIN};
  const bool lonely = token % 5 == 3;
  for (auto& entry : all) {
    if (lonely || rng.below(3) == 0) entry = rng.pick(none);
  }
  return all;
}

/// Entries that no token of a sequence may read are NaN. Positions differ in size, so that their scales in FP8 do too.
Problem make_problem(std::uint64_t seed, const Shape& shape, const std::vector<SequencePart>& parts) {
  Rng rng(seed);
  Problem out;
  out.layout = {.format = shape.format, .latent = kLatent, .rope = kRope};
  out.batch = paged_batch(rng, parts);
  out.heads = shape.heads;
  out.k = shape.k;
  out.part = shape.part;
  out.listed = shape.lists != Lists::Dense;
  out.form = shape.lists == Lists::Full ? ListForm::Packed : ListForm::Any;
  out.latent_size = shape.latent_size;
  out.scale = 3.0f * shape.spread / std::sqrt(static_cast<float>(kLatent + kRope)) / shape.query_size;
  Rng values(seed + 1);  // of its own, so that another order of pages has the same values
  out.queries = random_queries(values, static_cast<std::int64_t>(out.batch.tokens()) * shape.heads, out.layout);
  for (auto& q : out.queries) q = to_bf16(to_float(q) * shape.query_size);
  std::vector<std::vector<bool>> read(parts.size());
  for (std::size_t s = 0; s < parts.size(); ++s) read[s].resize(static_cast<std::size_t>(out.batch.lengths[s]), shape.lists == Lists::Dense);
  for (std::size_t t = 0; shape.lists != Lists::Dense && t < out.batch.ids.size(); ++t) {
    const std::int32_t own = out.batch.positions[t];
    for (const auto s : make_list(values, shape, own, t)) {
      out.chosen.push_back(s);
      if (s >= 0 && s <= own) read[static_cast<std::size_t>(out.batch.sequences[t])][static_cast<std::size_t>(s)] = true;
    }
  }
  out.rows.assign(static_cast<std::size_t>(out.batch.page_count) * kPageTokens * static_cast<std::size_t>(out.layout.row_bytes()), std::byte{0xff});
  for (std::size_t s = 0; s < parts.size(); ++s) {
    Rng own(mix_seed(seed + 2, s));
    for (int p = 0; p < out.batch.lengths[s]; ++p) {
      auto latent = uniforms(own, kLatent);
      const auto rope = uniforms(own, kRope);
      for (auto& v : latent) v *= shape.latent_size * std::exp2(static_cast<float>(-(p % 5)));
      std::byte* row = out.rows.data() + physical_row(out.batch.view(), static_cast<int>(s), p) * out.layout.row_bytes();
      if (read[s][static_cast<std::size_t>(p)]) write_latent_row(out.layout, latent, rope, row);
    }
  }
  return out;
}

struct Device : AttentionDevice {
  explicit Device(const Problem& problem)
      : AttentionDevice(problem, [](const SparseAttentionArgs& given, CudaStream stream) {
          SparseAttentionArgs args = given;
          if (args.parts() <= kFewHeadsParts) args.part_out = args.part_stats = nullptr;
          REQUIRE(sparse_few_heads_takes(args));
          sparse_few_heads(args, stream);
        }) {}
};

// Where the kernel may differ from the reference, which computes in double:
// - a logit is a sum of products, added by the matrix unit in steps of 16 that may truncate (2^-23 of Σ|q k| <= |q| |k| a step, and a few for the
//   scale, the exponential and the sum of the warps' shares): `logit`, which is also what the lse may be off by, next to its own sum over n weights;
// - weights go to 16 bits for the second product (2^-8 of each, values are at most `latent_size`), and both outputs to bf16 (2^-8 each).
void check(const Problem& problem, const AttentionResult& found) {
  const AttentionResult expected = attention_reference(problem);
  const auto width = static_cast<std::size_t>(problem.layout.width());
  const double key = std::sqrt(static_cast<double>(kLatent) * problem.latent_size * problem.latent_size + kRope), count = problem.longest();
  REQUIRE(found.out.size() == expected.out.size());
  double worst_out = 0, worst_lse = 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < found.lse.size(); ++i) {
    const double query = norm(to_floats(std::span(problem.queries).subspan(i * width, width)));
    const double logit = 0x1p-23 * (static_cast<double>(width) / 16 + 16) * problem.scale * query * key;
    const bool empty = std::isinf(expected.lse[i]);
    if (empty) {
      wrong += found.lse[i] != expected.lse[i];
    } else {
      wrong += !std::isfinite(found.lse[i]);
      const double size = std::max(1.0, std::fabs(static_cast<double>(expected.lse[i])));
      worst_lse = std::max(worst_lse, std::fabs(found.lse[i] - expected.lse[i]) / (logit + 0x1p-24 * count + 0x1p-22 * size));
    }
    for (std::size_t d = i * kLatent; d < (i + 1) * kLatent; ++d) {
      const double a = to_float(found.out[d]), b = to_float(expected.out[d]);
      const double bound = empty ? 0x1p-100 : problem.latent_size * (0x1p-8 + 2 * logit + 0x1p-23 * count) + 0x1p-7 * std::fabs(b);
      wrong += !std::isfinite(a);
      worst_out = std::max(worst_out, std::fabs(a - b) / bound);
    }
  }
  CHECK(wrong == 0);
  CHECK(worst_out <= 1.0);
  CHECK(worst_lse <= 1.0);
}

void check(const Problem& problem) { check(problem, Device(problem).run()); }

// Contexts around 1, 64 (a page) and 512, in one batch.
const std::vector<SequencePart> kMixed = {{0, 1}, {0, 2}, {62, 3}, {510, 4}, {1023, 1}};

// Heads, entries of a list, positions of a part.
constexpr std::array<int, 3> kSizes[] = {{8, 600, 64}, {16, 513, 192}, {32, 700, 256}, {1, 65, 512}, {5, 333, 1024}, {9, 64, 64}, {16, 1100, 64}, {24, 1, 512}, {17, 130, 128}};
// Spread of the logits, size of the queries, size of the latents.
constexpr std::array<float, 3> kMagnitudes[] = {{0.01f, 1, 1}, {30, 1, 1}, {2, 1e-6f, 1}, {2, 1e6f, 1}, {2, 1, 100}, {2, 1, 0.01f}};

TEST_CASE("attention for few heads is the reference's, for any heads, lists, parts and contexts") {
  if (skip_without_hopper()) return;
  for (const auto format : {CacheFormat::Fp8, CacheFormat::Bf16}) {
    for (const auto& [heads, k, part] : kSizes) {
      for (const auto lists : {Lists::Dense, Lists::Full, Lists::Holes}) {
        const Shape shape{.heads = heads, .k = k, .format = format, .lists = lists, .part = part};
        CAPTURE(name_of(shape));
        check(make_problem(1, shape, kMixed));
      }
    }
  }
}

TEST_CASE("attention for few heads keeps its accuracy when one position outweighs all others, when none does, and for very small or large inputs") {
  if (skip_without_hopper()) return;
  for (const auto format : {CacheFormat::Fp8, CacheFormat::Bf16}) {
    for (const auto& [spread, query_size, latent_size] : kMagnitudes) {
      const Shape shape{.heads = 16, .k = 900, .format = format, .spread = spread, .query_size = query_size, .latent_size = latent_size};
      CAPTURE(name_of(shape));
      CAPTURE(spread);
      CAPTURE(query_size);
      CAPTURE(latent_size);
      check(make_problem(2, shape, {{.start = 1020, .count = 3}}));
    }
  }
}

TEST_CASE("every FP8 number is multiplied as what it is") {
  if (skip_without_hopper()) return;
  // One position, so its latent comes out: all 254 numbers, in both halves of every block of scales.
  Problem problem = make_problem(3, {.heads = 8, .k = 1}, {{.start = 0, .count = 1}});
  std::byte* row = problem.rows.data() + physical_row(problem.batch.view(), 0, 0) * problem.layout.row_bytes();
  for (int i = 0; i < kLatent; ++i) row[i] = static_cast<std::byte>((i * 5 + i / 256) % 128 == 127 ? 0 : (i * 5 + i / 256) % 256);
  for (int i = 0; i < kLatent; ++i) {
    if ((std::to_integer<int>(row[i]) & 127) == 127) row[i] = std::byte{0x80};
  }
  const auto found = Device(problem).run();
  const auto key = read_latent_row(problem.layout, row);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < found.out.size(); ++i) wrong += to_float(found.out[i]) != key[i % kLatent];
  CHECK(wrong == 0);
}

TEST_CASE("a range of rows has the bits of the whole, writes nothing else, and a token alone has the bits that it has in a batch") {
  if (skip_without_hopper()) return;
  for (const auto format : {CacheFormat::Fp8, CacheFormat::Bf16}) {
    for (const auto lists : {Lists::Dense, Lists::Holes}) {
      const Shape shape{.heads = 12, .k = 700, .format = format, .lists = lists, .part = 128};
      CAPTURE(name_of(shape));
      const auto problem = make_problem(4, shape, kMixed);
      const Device device(problem);
      const auto tokens = static_cast<std::size_t>(problem.batch.tokens()), heads = static_cast<std::size_t>(shape.heads);
      const auto whole = device.run(0, problem.batch.tokens(), problem.longest() + 300);  // more parts than any list has
      const auto part = device.run(3, 5, problem.longest());
      CHECK(same_bits(rows_of(part.out, problem.out_row(), 3, 5), rows_of(whole.out, problem.out_row(), 3, 5)));
      CHECK(same_bits(part.lse, rows_of(whole.lse, heads, 3, 5)));
      CHECK(same_bits(rows_of(part.out, problem.out_row(), 0, 3), poisoned<Bf16>(3 * problem.out_row())));
      CHECK(same_bits(rows_of(part.out, problem.out_row(), 8, tokens - 8), poisoned<Bf16>((tokens - 8) * problem.out_row())));
      for (std::size_t t = 0; t < tokens; ++t) {
        CAPTURE(t);
        Problem one = problem;
        one.batch = problem.batch.only(t);
        one.queries = rows_of(problem.queries, heads * static_cast<std::size_t>(problem.layout.width()), t, 1);
        if (lists != Lists::Dense) one.chosen = rows_of(problem.chosen, static_cast<std::size_t>(shape.k), t, 1);
        const auto alone = Device(one).run();
        CHECK(same_bits(alone.out, rows_of(whole.out, problem.out_row(), t, 1)));
        CHECK(same_bits(alone.lse, rows_of(whole.lse, heads, t, 1)));
      }
    }
  }
}

TEST_CASE("attention for few heads gives the same bits on every run, and writes second terms of the output where they are wanted") {
  if (skip_without_hopper()) return;
  const auto problem = make_problem(5, {.heads = 16, .k = 1300, .part = 256}, kMixed);
  const Device device(problem);
  const auto first = device.run();
  for (int i = 0; i < 20; ++i) {
    const auto again = device.run();
    REQUIRE(same_bits(again.out, first.out));
    REQUIRE(same_bits(again.lse, first.lse));
  }
  const DeviceBatch batch(problem.batch);
  const OnDevice<Bf16> queries(problem.queries);
  const OnDevice<std::int32_t> chosen(problem.chosen);
  const OnDevice<std::byte> rows(problem.rows);
  const auto out = poisoned_on_device<Bf16>(first.out.size()), low = poisoned_on_device<Bf16>(first.out.size());
  auto args = problem.args();
  args.batch = batch.view();
  args.queries = queries.data();
  args.chosen = chosen.data();
  args.latent_rows = rows.data();
  args.out = out.data();
  args.out_low = low.data();  // and no lse
  const Stream stream;
  sparse_few_heads(args, stream.get());
  stream.wait_blocking();
  CHECK(same_bits(out.get(), first.out));
  const auto high = to_floats(out.get()), rest = to_floats(low.get());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < high.size(); ++i) wrong += !(std::fabs(rest[i]) <= 0x1p-8f * std::fabs(high[i]));
  CHECK(wrong == 0);
}

TEST_CASE("attention for few heads takes more rows than a grid's second dimension has blocks, and none at all") {
  if (skip_without_hopper()) return;
  const auto problem = make_problem(7, {.heads = 1, .k = 3}, std::vector<SequencePart>(660, {.start = 0, .count = 100}));
  const Device device(problem);
  check(problem, device.run());
  const auto none = device.run(3, 0, problem.longest());
  CHECK(same_bits(none.out, poisoned<Bf16>(none.out.size())));
}

TEST_CASE("parts for few heads are multiples of 64 and need no workspace") {
  if (skip_without_hopper()) return;
  for (const int rows : {1, 8, 32, 64, 128, 256, 4096}) {
    for (const int longest : {0, 1, 64, 500, 2048, 100000}) {
      const int part = few_heads_part(rows, longest);
      CHECK(part >= 64);
      CHECK(part % 64 == 0);
      CHECK((longest + part - 1) / part <= kFewHeadsParts);
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
