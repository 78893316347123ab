#include "inference/cuda/latents.h"

#include <cmath>
#include <string>

#include "inference/cuda/device_batch.h"
#include "inference/cuda/kernel_case.h"
#include "inference/rope.h"

namespace gauntlet::kernels {
namespace {

struct Dims {
  int q_rank = 0, latent = 0, rope = 0, index = 0;  ///< 0: no query latent, no indexer
  int heads = 0, nope = 0, index_heads = 0;
};

constexpr Dims kDims[] = {
    {32, 64, 16, 32, 4, 16, 16},       {64, 128, 16, 32, 8, 32, 16},    {96, 512, 64, 128, 8, 64, 64},   {32, 64, 16, 0, 4, 16, 0},  // the golden models
    {1536, 512, 64, 128, 128, 128, 64}, {0, 512, 64, 128, 16, 192, 32}, {0, 256, 32, 0, 64, 64, 0},                                  // V3.2, others that are likely
    {7, 40, 10, 16, 3, 5, 2},          {33, 130, 18, 64, 5, 17, 3},     {129, 200, 6, 8, 1, 1, 1},       {65, 16, 2, 256, 2, 63, 5},  // sizes that need padding
    {3, 20, 6, 24, 3, 7, 1},           {130, 72, 34, 40, 2, 65, 7},
};

std::string name_of(const Dims& dims, CacheFormat format) {
  return "query " + std::to_string(dims.q_rank) + ", latent " + std::to_string(dims.latent) + "+" + std::to_string(dims.rope) + ", index " + std::to_string(dims.index) + (format == CacheFormat::Bf16 ? ", bf16" : ", fp8");
}
bool fits(const Dims& dims, CacheFormat format) { return format == CacheFormat::Bf16 || (dims.index & (dims.index - 1)) == 0; }

const std::vector<SequencePart> kMixed = {{0, 1}, {0, 3}, {61, 5}, {64, 1}, {500, 65}, {4000, 2}};

RopeTable rope_table(int rope, int positions) {
  ModelConfig config;
  config.rope_dim = rope;
  return {config, positions};
}
std::vector<float> table(const RopeTable& rope, const float* first, int half) { return {first, first + rope.positions() * half}; }

struct Problem {
  Dims dims;
  CacheLayout layout;
  PagedBatch batch;
  int kv_offset = 0, input_stride = 0, query_stride = 0;
  std::vector<float> input, q_norm, kv_norm, index_norm, index_norm_bias, query, cosines, sines;

  std::size_t tokens() const { return batch.ids.size(); }
  std::size_t latent_bytes() const { return static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(layout.row_bytes()); }
  std::size_t index_bytes() const { return static_cast<std::size_t>(batch.page_count) * static_cast<std::size_t>(layout.index_page_bytes()); }
};

/// Rows of usual size, of 1000 and of 0.001 (where the eps of the norms counts), of zeros and of one value (whose variance is 0).
/// Columns that belong to nobody are NaN.
Problem make_problem(std::uint64_t seed, CacheFormat format, const Dims& dims, const std::vector<SequencePart>& parts) {
  Rng rng(seed);
  Problem out{.dims = dims, .layout = {.format = format, .latent = dims.latent, .rope = dims.rope, .index = dims.index}, .batch = paged_batch(rng, parts)};
  const int kv = dims.latent + dims.rope + dims.index, queries = dims.heads * (dims.nope + dims.rope) + dims.index_heads * dims.index;
  out.kv_offset = dims.q_rank + 3;
  out.input_stride = out.kv_offset + kv + 2;
  out.query_stride = queries + 5;
  out.input = poisoned<float>(out.tokens() * static_cast<std::size_t>(out.input_stride));
  out.query = poisoned<float>(out.tokens() * static_cast<std::size_t>(out.query_stride));
  for (std::size_t t = 0; t < out.tokens(); ++t) {
    const float size = t % 11 == 5 ? 0.0f : t % 11 == 7 ? 1000.0f : t % 11 == 8 ? 1e-3f : 1.0f;
    const bool flat = t % 11 == 10;
    const auto fill = [&](float* at, int count) {
      for (int i = 0; i < count; ++i) at[i] = flat ? 0.5f : uniform(rng, -size, size);
    };
    fill(out.input.data() + t * static_cast<std::size_t>(out.input_stride), dims.q_rank);
    fill(out.input.data() + t * static_cast<std::size_t>(out.input_stride) + out.kv_offset, kv);
    fill(out.query.data() + t * static_cast<std::size_t>(out.query_stride), queries);
  }
  out.q_norm = uniforms(rng, dims.q_rank, 0.5f, 1.5f);
  out.kv_norm = uniforms(rng, dims.latent, 0.5f, 1.5f);
  out.index_norm = uniforms(rng, dims.index, -1.5f, 1.5f);
  out.index_norm_bias = uniforms(rng, dims.index, -0.5f, 0.5f);
  const RopeTable rope = rope_table(dims.rope, out.batch.longest());
  out.cosines = table(rope, rope.cosines(0), dims.rope / 2);
  out.sines = table(rope, rope.sines(0), dims.rope / 2);
  return out;
}

struct Latents {
  std::vector<Bf16> q_latent;
  std::vector<std::byte> rows, pages;
};
struct Queries {
  std::vector<Bf16> content, absorbed, index, joined;
  std::vector<std::byte> index_fp8;  // with an FP8 cache of one scale a key, as its scales are
  std::vector<float> index_scales;
};

bool has_fp8_queries(const CacheLayout& layout) { return layout.format == CacheFormat::Fp8 && layout.index_blocks() == 1; }

Latents poisoned_latents(const Problem& p) {
  return {.q_latent = poisoned<Bf16>(p.tokens() * static_cast<std::size_t>(p.dims.q_rank)), .rows = poisoned<std::byte>(p.latent_bytes()), .pages = poisoned<std::byte>(p.index_bytes())};
}
Queries poisoned_queries(const Problem& p) {
  const std::size_t heads = p.tokens() * static_cast<std::size_t>(p.dims.heads);
  return {.content = poisoned<Bf16>(heads * static_cast<std::size_t>(p.dims.nope)), .absorbed = poisoned<Bf16>(heads * static_cast<std::size_t>(p.layout.width())),
          .index = poisoned<Bf16>(p.tokens() * static_cast<std::size_t>(p.dims.index_heads * p.layout.index_padded())),
          .joined = poisoned<Bf16>(heads * static_cast<std::size_t>(p.dims.nope + p.dims.rope)),
          .index_fp8 = poisoned<std::byte>(has_fp8_queries(p.layout) ? p.tokens() * static_cast<std::size_t>(p.dims.index_heads * p.layout.index_padded()) : 0),
          .index_scales = poisoned<float>(has_fp8_queries(p.layout) ? p.tokens() * static_cast<std::size_t>(p.dims.index_heads) : 0)};
}

/// Either function's arguments, but for outputs, from wherever the inputs lie.
LatentsArgs latents_args(const Problem& p, const TokenBatch& batch) {
  return {.batch = batch, .layout = p.layout, .q_rank = p.dims.q_rank, .input_stride = p.input_stride, .kv_offset = p.kv_offset};
}
QueriesArgs queries_args(const Problem& p, const TokenBatch& batch) {
  return {.batch = batch, .layout = p.layout, .heads = p.dims.heads, .nope = p.dims.nope, .index_heads = p.dims.index_heads, .query_stride = p.query_stride};
}

Latents reference_latents(const Problem& p) {
  auto out = poisoned_latents(p);
  auto args = latents_args(p, p.batch.view());
  args.input = p.input.data();
  args.q_norm = p.q_norm.data();
  args.kv_norm = p.kv_norm.data();
  args.index_norm = p.dims.index > 0 ? p.index_norm.data() : nullptr;
  args.index_norm_bias = p.dims.index > 0 ? p.index_norm_bias.data() : nullptr;
  args.cosines = p.cosines.data();
  args.sines = p.sines.data();
  args.q_latent = out.q_latent.data();
  args.latent_rows = out.rows.data();
  args.index_pages = out.pages.data();
  write_latents_ref(args);
  return out;
}

Queries reference_queries(const Problem& p) {
  auto out = poisoned_queries(p);
  auto args = queries_args(p, p.batch.view());
  args.query = p.query.data();
  args.cosines = p.cosines.data();
  args.sines = p.sines.data();
  args.content = out.content.data();
  args.absorbed = out.absorbed.data();
  args.index_queries = out.index.data();
  args.joined = out.joined.data();
  if (has_fp8_queries(p.layout)) {
    args.index_queries_fp8 = reinterpret_cast<std::uint8_t*>(out.index_fp8.data());
    args.index_query_scales = out.index_scales.data();
  }
  split_queries_ref(args);
  return out;
}

class Device {
 public:
  explicit Device(const Problem& p)
      : problem_(p), batch_(p.batch), input_(p.input), q_norm_(p.q_norm), kv_norm_(p.kv_norm), index_norm_(p.index_norm), index_norm_bias_(p.index_norm_bias), query_(p.query), cosines_(p.cosines), sines_(p.sines) {}

  Latents latents() const {
    const auto start = poisoned_latents(problem_);
    const OnDevice<Bf16> q_latent(start.q_latent);
    const OnDevice<std::byte> rows(start.rows), pages(start.pages);
    auto args = latents_args(problem_, batch_.view());
    args.input = input_.data();
    args.q_norm = q_norm_.data();
    args.kv_norm = kv_norm_.data();
    args.index_norm = problem_.dims.index > 0 ? index_norm_.data() : nullptr;
    args.index_norm_bias = problem_.dims.index > 0 ? index_norm_bias_.data() : nullptr;
    args.cosines = cosines_.data();
    args.sines = sines_.data();
    args.q_latent = q_latent.data();
    args.latent_rows = rows.data();
    args.index_pages = pages.data();
    write_latents(args, stream_.get());
    stream_.wait_blocking();
    return {.q_latent = q_latent.get(), .rows = rows.get(), .pages = pages.get()};
  }
  Queries queries() const {
    const auto start = poisoned_queries(problem_);
    const OnDevice<Bf16> content(start.content), absorbed(start.absorbed), index(start.index);
    auto args = queries_args(problem_, batch_.view());
    args.query = query_.data();
    args.cosines = cosines_.data();
    args.sines = sines_.data();
    args.content = content.data();
    args.absorbed = absorbed.data();
    args.index_queries = index.data();
    const OnDevice<Bf16> joined(start.joined);
    args.joined = joined.data();
    const OnDevice<std::byte> index_fp8(start.index_fp8);
    const OnDevice<float> index_scales(start.index_scales);
    if (has_fp8_queries(problem_.layout)) {
      args.index_queries_fp8 = reinterpret_cast<std::uint8_t*>(index_fp8.data());
      args.index_query_scales = index_scales.data();
    }
    split_queries(args, stream_.get());
    stream_.wait_blocking();
    return {.content = content.get(), .absorbed = absorbed.get(), .index = index.get(), .joined = joined.get(), .index_fp8 = index_fp8.get(), .index_scales = index_scales.get()};
  }

 private:
  const Problem& problem_;
  Stream stream_;
  DeviceBatch batch_;
  OnDevice<float> input_, q_norm_, kv_norm_, index_norm_, index_norm_bias_, query_, cosines_, sines_;
};

// The kernel computes in float32 and the reference in double; then both round. So values are one rounding step of their type apart at most,
// next to what float32 loses in sums and differences of terms as large as `terms` (2^-24 for each of `size` of them, twice over), and nearly
// all are equal to the bit: they part only where the exact value is that near to the middle of two representable ones.
struct Comparison {
  double worst = 0;  ///< of difference over bound
  std::size_t values = 0, different = 0, bad = 0;

  void add(std::span<const float> found, std::span<const float> expected, double step, double terms, double smallest = 0) {
    for (std::size_t i = 0; i < expected.size(); ++i, ++values) {
      bad += std::isnan(found[i]);
      different += found[i] != expected[i];
      const double bound = step * std::max(std::fabs(found[i]), std::fabs(expected[i])) + smallest + static_cast<double>(expected.size()) * 0x1p-23 * terms;
      if (found[i] != expected[i]) worst = std::max(worst, std::fabs(static_cast<double>(found[i]) - expected[i]) / bound);
    }
  }
  void check() const {
    CHECK(bad == 0);
    CHECK(worst <= 1.0);
    CHECK(different <= 2 + values / 100);
  }
};

constexpr double kBf16Step = 0x1p-7;
// e4m3 has steps of 2^-3 of the value; should the block's scale differ as well, half a step of each.
constexpr double kFp8Step = 0x1p-3 + 0x1p-6;

/// What rounding in FP8 can cost a value near 0: steps are 2^-9 of the scale, which is less than 2^-7 of the largest value.
double smallest_step(CacheFormat format, std::span<const float> values) {
  double most = 1e-4;
  for (const float v : values) most = std::max(most, std::fabs(static_cast<double>(v)));
  return format == CacheFormat::Fp8 ? 0x1p-9 * most * 0x1p-7 : 0;
}
double largest(std::span<const float> values) {
  double most = 0;
  for (const float v : values) most = std::max(most, std::fabs(static_cast<double>(v)));
  return most;
}

void check_latents(const Problem& p, const Latents& found, const Latents& expected) {
  const auto q_rank = static_cast<std::size_t>(p.dims.q_rank), latent_padded = static_cast<std::size_t>(p.layout.latent_padded());
  const double step = p.layout.format == CacheFormat::Bf16 ? kBf16Step : kFp8Step;
  Comparison q, latent, rope, index;
  std::vector<bool> row_written(static_cast<std::size_t>(p.batch.page_count) * kPageTokens);
  for (std::size_t t = 0; t < p.tokens(); ++t) {
    q.add(to_floats(std::span(found.q_latent).subspan(t * q_rank, q_rank)), to_floats(std::span(expected.q_latent).subspan(t * q_rank, q_rank)), kBf16Step, 0);
    const std::int64_t row = physical_row(p.batch.view(), p.batch.sequences[t], p.batch.positions[t]);
    row_written[static_cast<std::size_t>(row)] = true;
    const auto a = read_latent_row(p.layout, found.rows.data() + row * p.layout.row_bytes()), b = read_latent_row(p.layout, expected.rows.data() + row * p.layout.row_bytes());
    for (std::size_t block = 0; block < latent_padded; block += kCacheBlock) {
      const std::size_t size = std::min<std::size_t>(kCacheBlock, latent_padded - block);
      const auto expected_block = std::span(b).subspan(block, size);
      latent.add(std::span(a).subspan(block, size), expected_block, step, 0, smallest_step(p.layout.format, expected_block));
    }
    const auto rotary = std::span(b).subspan(latent_padded);
    rope.add(std::span(a).subspan(latent_padded), rotary, kBf16Step, 2 * largest(rotary) / static_cast<double>(rotary.size()));
    if (p.dims.index == 0) continue;
    const auto offset = row / kPageTokens * p.layout.index_page_bytes();
    const int slot = static_cast<int>(row % kPageTokens);
    const auto key = read_index_key(p.layout, found.pages.data() + offset, slot), wanted = read_index_key(p.layout, expected.pages.data() + offset, slot);
    // Differences of values from their mean, times up to 1.5, then sums of them.
    index.add(key, wanted, step, 4 * largest(wanted) + 1, smallest_step(p.layout.format, wanted));
  }
  q.check();
  latent.check();
  rope.check();
  index.check();
  const auto row_bytes = static_cast<std::size_t>(p.layout.row_bytes());
  std::size_t spilt = 0;
  for (std::size_t row = 0; row < row_written.size(); ++row) {
    if (!row_written[row]) spilt += !same_bits(rows_of(found.rows, row_bytes, row, 1), rows_of(expected.rows, row_bytes, row, 1));
  }
  // Where the reference left the poison of an index page, so must the kernel.
  for (std::size_t i = 0; i < expected.pages.size(); ++i) {
    const auto within = static_cast<int>(i % static_cast<std::size_t>(p.layout.index_page_bytes()));
    const auto row = i / static_cast<std::size_t>(p.layout.index_page_bytes()) * kPageTokens;
    const int element = p.layout.format == CacheFormat::Bf16 ? 2 : 1;
    const int slot = within < p.layout.index_scales_offset_bytes() * element ? within / (p.layout.index_padded() * element) : (within - p.layout.index_scales_offset_bytes()) / (4 * p.layout.index_blocks());
    if (slot < kPageTokens && !row_written[row + static_cast<std::size_t>(slot)]) spilt += found.pages[i] != expected.pages[i];
  }
  CHECK(spilt == 0);
}

/// A head's content, then its rotated part.
void check_joined(const Problem& p, const Queries& queries) {
  const auto nope = static_cast<std::size_t>(p.dims.nope), rope = static_cast<std::size_t>(p.dims.rope), width = static_cast<std::size_t>(p.layout.width()), latent = static_cast<std::size_t>(p.layout.latent_padded());
  std::size_t different = 0;
  for (std::size_t head = 0; head < queries.content.size() / nope; ++head) {
    for (std::size_t i = 0; i < nope; ++i) different += queries.joined[head * (nope + rope) + i].bits != queries.content[head * nope + i].bits;
    for (std::size_t i = 0; i < rope; ++i) different += queries.joined[head * (nope + rope) + nope + i].bits != queries.absorbed[head * width + latent + i].bits;
  }
  CHECK(different == 0);
}

/// Values times their scales are what the bf16 queries hold.
void check_fp8_queries(const Problem& p, const Queries& queries) {
  const auto padded = static_cast<std::size_t>(p.layout.index_padded());
  std::size_t different = 0;
  for (std::size_t i = 0; i < queries.index_fp8.size(); ++i) {
    different += to_float(Fp8{static_cast<std::uint8_t>(queries.index_fp8[i])}) * queries.index_scales[i / padded] != to_float(queries.index[i]);
  }
  CHECK(different == 0);
}

void check_queries(const Problem& p, const Queries& found, const Queries& expected) {
  check_joined(p, found);
  check_joined(p, expected);
  check_fp8_queries(p, found);
  check_fp8_queries(p, expected);
  CHECK(same_bits(found.content, expected.content));  // one rounding, no arithmetic
  const auto width = static_cast<std::size_t>(p.layout.width()), latent_padded = static_cast<std::size_t>(p.layout.latent_padded()), padded = static_cast<std::size_t>(p.layout.index_padded());
  Comparison rope, index;
  std::size_t spilt = 0;
  for (std::size_t i = 0; i < p.tokens() * static_cast<std::size_t>(p.dims.heads); ++i) {
    const auto a = std::span(found.absorbed).subspan(i * width, width), b = std::span(expected.absorbed).subspan(i * width, width);
    for (std::size_t d = 0; d < latent_padded; ++d) spilt += a[d].bits != b[d].bits;
    const auto rotary = to_floats(b.subspan(latent_padded));
    rope.add(to_floats(a.subspan(latent_padded)), rotary, kBf16Step, 2 * largest(rotary) / static_cast<double>(rotary.size()));
  }
  for (std::size_t i = 0; i < p.tokens() * static_cast<std::size_t>(p.dims.index_heads); ++i) {
    const auto wanted = to_floats(std::span(expected.index).subspan(i * padded, padded));
    index.add(to_floats(std::span(found.index).subspan(i * padded, padded)), wanted, p.layout.format == CacheFormat::Bf16 ? kBf16Step : kFp8Step, 4 * largest(wanted), smallest_step(p.layout.format, wanted));
  }
  CHECK(spilt == 0);
  rope.check();
  index.check();
}

TEST_CASE("cache entries written on the device are the reference's, for any sizes, and nothing else is written") {
  if (skip_without_device()) return;
  for (const auto& dims : kDims) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      if (!fits(dims, format)) continue;
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(1, format, dims, kMixed);
      check_latents(problem, Device(problem).latents(), reference_latents(problem));
    }
  }
}

TEST_CASE("queries split on the device are the reference's, for any sizes, and the latent's place is left alone") {
  if (skip_without_device()) return;
  for (const auto& dims : kDims) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      if (!fits(dims, format)) continue;
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(2, format, dims, kMixed);
      check_queries(problem, Device(problem).queries(), reference_queries(problem));
    }
  }
}

TEST_CASE("a token's cache entry and queries have the same bits alone, in a batch and on every run") {
  if (skip_without_device()) return;
  for (const auto& dims : {kDims[1], kDims[2], kDims[4], kDims[8]}) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      if (!fits(dims, format)) continue;
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(3, format, dims, kMixed);
      const Device device(problem);
      const auto latents = device.latents();
      const auto queries = device.queries();
      for (int i = 0; i < 20; ++i) {
        const auto again = device.latents();
        REQUIRE(same_bits(again.rows, latents.rows));
        REQUIRE(same_bits(again.pages, latents.pages));
        REQUIRE(same_bits(again.q_latent, latents.q_latent));
        REQUIRE(same_bits(device.queries().index, queries.index));
      }
      for (std::size_t t = 0; t < problem.tokens(); t += 7) {
        CAPTURE(t);
        Problem one = problem;
        one.batch = problem.batch.only(t);
        one.input = rows_of(problem.input, static_cast<std::size_t>(problem.input_stride), t, 1);
        one.query = rows_of(problem.query, static_cast<std::size_t>(problem.query_stride), t, 1);
        const Device alone(one);
        const auto entry = alone.latents();
        const auto split = alone.queries();
        REQUIRE(same_bits(entry.q_latent, rows_of(latents.q_latent, static_cast<std::size_t>(dims.q_rank), t, 1)));
        const auto row = static_cast<std::size_t>(physical_row(problem.batch.view(), problem.batch.sequences[t], problem.batch.positions[t]));
        REQUIRE(same_bits(rows_of(entry.rows, static_cast<std::size_t>(problem.layout.row_bytes()), row, 1), rows_of(latents.rows, static_cast<std::size_t>(problem.layout.row_bytes()), row, 1)));
        if (dims.index > 0) {
          const auto offset = static_cast<std::int64_t>(row) / kPageTokens * problem.layout.index_page_bytes();
          const int slot = static_cast<int>(row % kPageTokens);
          REQUIRE(read_index_key(problem.layout, entry.pages.data() + offset, slot) == read_index_key(problem.layout, latents.pages.data() + offset, slot));
        }
        REQUIRE(same_bits(split.content, rows_of(queries.content, static_cast<std::size_t>(dims.heads * dims.nope), t, 1)));
        REQUIRE(same_bits(split.absorbed, rows_of(queries.absorbed, static_cast<std::size_t>(dims.heads * problem.layout.width()), t, 1)));
        REQUIRE(same_bits(split.index, rows_of(queries.index, static_cast<std::size_t>(dims.index_heads * problem.layout.index_padded()), t, 1)));
      }
    }
  }
}

TEST_CASE("what is read back of the cache is what the reference reads") {
  if (skip_without_device()) return;
  for (const auto& dims : kDims) {
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      if (!fits(dims, format)) continue;
      CAPTURE(name_of(dims, format));
      const auto problem = make_problem(5, format, dims, kMixed);
      const auto entries = reference_latents(problem).rows;
      auto latents = poisoned<Bf16>(problem.tokens() * static_cast<std::size_t>(dims.latent)), rotary = poisoned<Bf16>(problem.tokens() * static_cast<std::size_t>(dims.rope));
      const OnDevice<std::byte> rows(entries);
      const OnDevice<Bf16> found(latents), found_rotary(rotary);
      const DeviceBatch batch(problem.batch);
      const Stream stream;
      read_latents_ref({.batch = problem.batch.view(), .layout = problem.layout, .latent_rows = entries.data(), .latents = latents.data(), .rotary_keys = rotary.data()});
      read_latents({.batch = batch.view(), .layout = problem.layout, .latent_rows = rows.data(), .latents = found.data(), .rotary_keys = found_rotary.data()}, stream.get());
      stream.wait_blocking();
      CHECK(same_bits(found.get(), latents));
      CHECK(same_bits(found_rotary.get(), rotary));
    }
  }
}

TEST_CASE("tokens may be more than a grid's second dimension has blocks") {
  if (skip_without_device()) return;
  const auto problem = make_problem(4, CacheFormat::Bf16, {4, 16, 2, 16, 1, 2, 1}, std::vector<SequencePart>(660, {.start = 0, .count = 100}));
  const Device device(problem);
  check_latents(problem, device.latents(), reference_latents(problem));
  check_queries(problem, device.queries(), reference_queries(problem));
}

}  // namespace
}  // namespace gauntlet::kernels
