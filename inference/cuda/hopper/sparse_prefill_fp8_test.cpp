#include "inference/cuda/hopper/sparse_prefill_fp8.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "inference/cuda/hopper/fp8_attention_case.h"
#include "inference/cuda/hopper/quantize_queries.h"

namespace gauntlet::kernels {
namespace {

constexpr int kOnePart = 1 << 20;  // longer than any list
constexpr std::size_t kLatent = 512, kRotary = 64, kWidth = 576;

/// The reference for a problem's queries after quantisation.
AttentionResult quantised_reference(const Fp8Problem& problem) {
  const auto heads = static_cast<std::size_t>(problem.batch.tokens() * problem.heads);
  std::vector<std::uint8_t> queries(heads * kLatent);
  std::vector<Bf16> rotary(heads * kRotary);
  std::vector<float> scales(heads);
  quantize_queries_ref(
      {.heads = static_cast<int>(heads), .queries = problem.queries.data(), .queries_fp8 = queries.data(), .query_rotary = rotary.data(), .query_scales = scales.data()});
  AttentionResult result{.out = poisoned<Bf16>(static_cast<std::size_t>(problem.batch.tokens()) * problem.out_row()), .lse = poisoned<float>(heads)};
  auto args = problem.args();
  const auto chosen = lists_of_reference(problem);
  if (problem.listed) args.chosen = chosen.data();
  args.out = result.out.data();
  args.lse = result.lse.data();
  sparse_prefill_fp8_ref({.attention = args, .queries_fp8 = queries.data(), .query_rotary = rotary.data(), .query_scales = scales.data()});
  return result;
}

/// Quantises and attends.
struct Device : AttentionDevice {
  explicit Device(const Fp8Problem& problem)
      : AttentionDevice(problem, [](const SparseAttentionArgs& args, CudaStream stream) {
          const auto heads = static_cast<std::size_t>(args.batch.tokens) * static_cast<std::size_t>(args.heads);
          const DeviceBuffer<std::uint8_t> queries(heads * kLatent);
          const DeviceBuffer<Bf16> rotary(heads * kRotary);
          const DeviceBuffer<float> scales(heads);
          quantize_queries(
              {.heads = static_cast<int>(heads), .queries = args.queries, .queries_fp8 = queries.data(), .query_rotary = rotary.data(), .query_scales = scales.data()}, stream);
          SparsePrefillFp8Args with{.attention = args, .queries_fp8 = queries.data(), .query_rotary = rotary.data(), .query_scales = scales.data()};
          with.attention.queries = nullptr;
          REQUIRE(sparse_prefill_fp8_takes(with));
          sparse_prefill_fp8(with, stream);
          cuda_check(cudaStreamSynchronize(stream));
        }) {}
};

// Logits are sums of 16 steps of e4m3 products, 4 in a row, and 4 of bf16 ones. A step adds 32 products to the sum so far, all cut to 13 bits below the largest of
// them. Products are of numbers up to 1 and have variance 1/9, so sums of 32 to 128 have standard deviations of 1.9 to 3.8: units are about those of 4, 2^-13 · 4,
// and there are uniform errors of 33 · 16 terms. `logit` is six standard deviations of their sum; lse may be off by as much. Weights go to bf16 for the second
// product (2^-8 of each, with values up to `largest`), and outputs to bf16 (2^-8 each on either side).
void check(const Fp8Problem& problem, const AttentionResult& found, const AttentionResult& expected, double largest = 1.0) {
  const double logit = 6.0 * 0x1p-13 * 4 / std::sqrt(3.0) * std::sqrt(33.0 * 16) * problem.scale * largest;
  std::size_t wrong = 0;
  double worst_out = 0, worst_lse = 0;
  REQUIRE(found.out.size() == expected.out.size());
  for (std::size_t i = 0; i < found.lse.size(); ++i) {
    const bool empty = std::isinf(expected.lse[i]);
    wrong += empty ? found.lse[i] != expected.lse[i] : !std::isfinite(found.lse[i]);
    const double lse_bound = logit + 0x1p-24 * problem.longest() + 0x1p-21 * std::max(1.0, std::fabs(static_cast<double>(expected.lse[i])));
    if (!empty) worst_lse = std::max(worst_lse, std::fabs(static_cast<double>(found.lse[i]) - expected.lse[i]) / lse_bound);
    for (std::size_t d = i * kLatent; d < (i + 1) * kLatent; ++d) {
      const double a = to_float(found.out[d]), b = to_float(expected.out[d]);
      wrong += !std::isfinite(a);
      worst_out = std::max(worst_out, std::fabs(a - b) / (empty ? 0x1p-100 : largest * (0x1p-8 + 2 * logit) + 0x1p-7 * std::fabs(b)));
    }
  }
  CHECK(wrong == 0);
  CHECK(worst_out <= 1.0);
  CHECK(worst_lse <= 1.0);
}

// Contexts around 1, 64 (a page, a block of work) and 512, in one batch.
const std::vector<SequencePart> kMixed = {{0, 1}, {61, 4}, {128, 1}, {575, 2}};

TEST_CASE("sparse prefill with FP8 queries is the reference's attention with them, for any lists and contexts") {
  if (skip_without_hopper()) return;
  for (const auto lists : {Fp8Lists::Dense, Fp8Lists::Full, Fp8Lists::Packed, Fp8Lists::Holes}) {
    for (const int k : {1, 63, 65, 130, 700}) {
      if (lists == Fp8Lists::Dense && k > 1) continue;
      CAPTURE(static_cast<int>(lists));
      CAPTURE(k);
      const auto problem = make_problem(1, 64, k, lists, kOnePart, kMixed);
      check(problem, Device(problem).run(), quantised_reference(problem));
    }
  }
}

TEST_CASE("sparse prefill with FP8 queries takes V3.2's 128 heads and 2,048 positions of more, and 192 heads") {
  if (skip_without_hopper()) return;
  const auto problem = make_problem(2, 128, 2048, Fp8Lists::Full, kOnePart, {{2047, 1}, {2600, 1}});
  check(problem, Device(problem).run(), quantised_reference(problem));
  const auto other = make_problem(3, 192, 100, Fp8Lists::Holes, kOnePart, kMixed);
  check(other, Device(other).run(), quantised_reference(other));
}

TEST_CASE("sparse prefill with FP8 queries is right where every block has several items, of different lengths") {
  if (skip_without_hopper()) return;
  // 340 rows: more items than a device has multiprocessors, with lists of 1 to 5 blocks of positions, some of them empty.
  for (const auto lists : {Fp8Lists::Full, Fp8Lists::Packed, Fp8Lists::Holes}) {
    CAPTURE(static_cast<int>(lists));
    const auto problem = make_problem(6, 64, 270, lists, kOnePart, {{0, 140}, {60, 100}, {250, 100}});
    check(problem, Device(problem).run(), quantised_reference(problem));
  }
}

TEST_CASE("sparse prefill with FP8 queries reads all of e4m3, with any finite scale") {
  if (skip_without_hopper()) return;
  for (const float scale : {0.25f, 0x1p-18f, 1.5f, 3.0e4f}) {
    CAPTURE(scale);
    auto problem = make_problem(4, 64, 130, Fp8Lists::Full, kOnePart, {{129, 2}});
    const float held = round_to_bf16(scale);
    problem.scale = 0.25f / (480.0f * held);
    for (int p = 0; p < problem.batch.lengths[0]; ++p) {
      std::byte* row = problem.rows.data() + physical_row(problem.batch.view(), 0, p) * kFp8Layout.row_bytes();
      for (std::size_t d = 0; d < kLatent; ++d) {
        const auto code = static_cast<std::uint8_t>(d * 7 + static_cast<std::size_t>(p));
        row[d] = static_cast<std::byte>((code & 0x7fU) == 0x7fU ? 0 : code);  // not a number
      }
      for (int block = 0; block < 4; ++block) {
        const float block_scale = block == 2 ? held : std::ldexp(held, -block);
        std::memcpy(row + kLatent + 4 * block, &block_scale, 4);
      }
      std::fill_n(row + kFp8Layout.rope_offset_bytes(), 128, std::byte{0});
    }
    check(problem, Device(problem).run(), quantised_reference(problem), 480.0 * held);
  }
}

TEST_CASE("a head that is not finite is NaN alone, heads of zeros weigh all positions alike") {
  if (skip_without_hopper()) return;
  auto problem = make_problem(8, 64, 130, Fp8Lists::Holes, kOnePart, {{100, 5}});
  const auto at = [&](std::size_t token, std::size_t head) { return problem.queries.begin() + static_cast<std::ptrdiff_t>((token * 64 + head) * kWidth); };
  const auto before = Device(problem).run();
  at(0, 3)[17] = to_bf16(std::numeric_limits<float>::quiet_NaN());
  at(1, 63)[570] = to_bf16(std::numeric_limits<float>::infinity());
  at(3, 5)[1] = to_bf16(std::numeric_limits<float>::quiet_NaN());  // of a token that has no positions
  std::fill_n(at(2, 0), kWidth, Bf16{0});
  const auto found = Device(problem).run(), expected = quantised_reference(problem);
  for (std::size_t head = 0; head < 5 * 64; ++head) {
    CAPTURE(head);
    const auto row = rows_of(found.out, kLatent, head, 1);
    if (head == 3 || head == 64 + 63) {
      CHECK(std::isnan(found.lse[head]));
      for (const Bf16 v : row) REQUIRE(std::isnan(to_float(v)));
    } else if (head == 2 * 64) {
      CHECK(std::fabs(found.lse[head] - expected.lse[head]) < 1e-6f);
      CHECK(relative_error(row, rows_of(expected.out, kLatent, head, 1)) <= 0x1p-7);
    } else {
      CHECK(found.lse[head] == before.lse[head]);
      CHECK(same_bits(row, rows_of(before.out, kLatent, head, 1)));
    }
  }
}

TEST_CASE("a token's bits are its own: in a range, alone, with room for longer lists, and by a list that says what none says") {
  if (skip_without_hopper()) return;
  for (const auto lists : {Fp8Lists::Dense, Fp8Lists::Full, Fp8Lists::Packed, Fp8Lists::Holes}) {
    CAPTURE(static_cast<int>(lists));
    const auto problem = make_problem(5, 128, 700, lists, kOnePart, kMixed);
    const Device device(problem);
    const auto whole = device.run(0, problem.batch.tokens(), problem.longest() + 1000);
    CHECK(device.run().same_as(whole));
    const auto some = device.run(2, 4, problem.longest());
    CHECK(same_bits(rows_of(some.out, problem.out_row(), 2, 4), rows_of(whole.out, problem.out_row(), 2, 4)));
    CHECK(same_bits(some.lse, rows_of(whole.lse, 128, 2, 4)));
    CHECK(same_bits(rows_of(some.out, problem.out_row(), 0, 2), poisoned<Bf16>(2 * problem.out_row())));
    CHECK(same_bits(rows_of(some.out, problem.out_row(), 6, 2), poisoned<Bf16>(2 * problem.out_row())));
    for (int t = 0; t < problem.batch.tokens(); ++t) {
      CAPTURE(t);
      const auto token = static_cast<std::size_t>(t);
      const auto alone = device.run(t, 1, lists == Fp8Lists::Dense ? problem.batch.positions[token] + 1 : problem.longest());
      CHECK(same_bits(rows_of(alone.out, problem.out_row(), token, 1), rows_of(whole.out, problem.out_row(), token, 1)));
      CHECK(same_bits(alone.lse, rows_of(whole.lse, 128, token, 1)));
    }
    if (lists != Fp8Lists::Dense) continue;
    Fp8Problem listed = problem;
    listed.set_lists(Fp8Lists::Packed);
    listed.k = problem.longest() + 3;
    listed.chosen.clear();
    for (int t = 0; t < problem.batch.tokens(); ++t) {
      for (int i = 0; i < listed.k; ++i) listed.chosen.push_back(i);
    }
    CHECK(Device(listed).run().same_as(whole));
    listed.set_lists(Fp8Lists::Full);
    CHECK(Device(listed).run().same_as(whole));
  }
}

TEST_CASE("sparse prefill with FP8 queries gives the same bits on every run, on any pages, and without an lse") {
  if (skip_without_hopper()) return;
  for (const int k : {50, 700}) {  // lists of one block, and longer ones
    const auto problem = make_problem(6, 128, k, Fp8Lists::Full, kOnePart, std::vector<SequencePart>(60, {.start = 800, .count = 4}));
    const Device device(problem);
    const auto first = device.run();
    for (int i = 0; i < 20; ++i) REQUIRE(device.run().same_as(first));
    CHECK(same_bits(device.run(0, problem.batch.tokens(), problem.longest(), false).out, first.out));
  }
}

TEST_CASE("sparse prefill with FP8 queries takes more rows than a grid's second dimension has blocks, and none at all") {
  if (skip_without_hopper()) return;
  constexpr int kRows = 66000, kHeads = 64, kList = 3;
  Rng rng(7);
  const PagedBatch batch = paged_batch(rng, {{.start = 0, .count = kRows}});
  std::vector<std::int32_t> chosen;
  std::vector<std::byte> rows(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(kFp8Layout.row_bytes()));
  for (int t = 0; t < kRows; ++t) {
    for (int i = 0; i < kList; ++i) chosen.push_back(std::max(0, t - i));
    std::byte* row = rows.data() + physical_row(batch.view(), 0, t) * kFp8Layout.row_bytes();
    write_latent_row(kFp8Layout, std::vector<float>(kLatent, static_cast<float>(t % 7)), std::vector<float>(kRotary, 1.0f), row);
  }
  const DeviceBatch device_batch(batch);
  const OnDevice<std::int32_t> device_chosen(chosen);
  const OnDevice<std::byte> device_rows(rows);
  const DeviceBuffer<std::uint8_t> queries(std::size_t{kRows} * kHeads * kLatent);
  const DeviceBuffer<Bf16> rotary(std::size_t{kRows} * kHeads * kRotary), out(std::size_t{kRows} * kHeads * kLatent);
  cuda_check(cudaMemset(queries.data(), 0, queries.size_bytes()));  // logits of 0: outputs are means
  cuda_check(cudaMemset(rotary.data(), 0, rotary.size_bytes()));
  cuda_check(cudaMemset(out.data(), 0xff, out.size_bytes()));
  const OnDevice<float> scales(std::vector<float>(std::size_t{kRows} * kHeads, 1.0f));
  const auto lse = poisoned_on_device<float>(std::size_t{kRows} * kHeads);
  const SparseAttentionArgs attention{.batch = device_batch.view(), .layout = kFp8Layout, .heads = kHeads, .longest = kList, .chosen = device_chosen.data(),
                                      .k = kList, .latent_rows = device_rows.data(), .out = out.data(), .lse = lse.data()};
  SparsePrefillFp8Args args{.attention = attention, .queries_fp8 = queries.data(), .query_rotary = rotary.data(), .query_scales = scales.data()};
  const Stream stream;
  sparse_prefill_fp8(args, stream.get());
  CHECK(std::isnan(lse.get()[0]));
  args.attention.rows = kRows;
  sparse_prefill_fp8(args, stream.get());
  stream.wait_blocking();
  std::size_t wrong = 0;
  for (const float v : lse.get()) wrong += std::fabs(v - std::log(3.0f)) > 1e-6f;
  CHECK(wrong == 0);
  for (const int t : {5, 65535, 65536, kRows - 1}) {
    std::vector<Bf16> row(std::size_t{kHeads} * kLatent);
    cuda_check(cudaMemcpy(row.data(), out.data() + static_cast<std::size_t>(t) * row.size(), row.size() * sizeof(Bf16), cudaMemcpyDeviceToHost));
    const float mean = static_cast<float>(t % 7 + (t - 1) % 7 + (t - 2) % 7) / 3.0f;
    for (const Bf16 v : row) wrong += std::fabs(to_float(v) - mean) > mean * 0x1p-7f;
  }
  CHECK(wrong == 0);
}

/// Sums of twelve uniform numbers: as good as normal, of variance 1.
std::vector<float> normals(Rng& rng, std::size_t count) {
  std::vector<float> out(count, 0.0f);
  for (int i = 0; i < 12; ++i) {
    const auto some = random_floats(rng, count, -0.5f, 0.5f);
    for (std::size_t n = 0; n < count; ++n) out[n] += some[n];
  }
  return out;
}

// What queries in e4m3 cost. A number in [1, 2) is rounded to steps of 2^-3, an error of 2^-3 / √12 = 3.6 % rms at most (of 1). So logits, whose latent part has a
// standard deviation of 1 here, are off by as much, independently of each other since keys are; and outputs, which are sums of independent values, by 3.6 % rms,
// and 0.4 % for bf16 weights and outputs. lse is off by a mean of such errors, where Σ p², the sum of the weights' squares, is e / 512: five standard deviations
// of 3.6 % · √(e / 512), half of 3.6 % squared for the exponential's curvature, and for the part of the error that lies along the query 5 · 3.6 % / √512.
TEST_CASE("queries in FP8 change results by less than the rounding of e4m3 explains") {
  constexpr double kRounding = 0.0361;
  constexpr int kPositions = 512;
  auto problem = make_problem(9, 64, 1, Fp8Lists::Dense, kOnePart, {{kPositions - 1, 1}, {kPositions - 1, 1}, {kPositions - 1, 1}});
  problem.scale = 1.0f / std::sqrt(static_cast<float>(kLatent));
  Rng rng(10);
  problem.queries = to_bf16s(normals(rng, problem.queries.size()));
  for (int s = 0; s < 3; ++s) {
    for (int p = 0; p < kPositions; ++p) {
      std::byte* row = problem.rows.data() + physical_row(problem.batch.view(), s, p) * kFp8Layout.row_bytes();
      write_latent_row(kFp8Layout, normals(rng, kLatent), normals(rng, kRotary), row);
    }
  }
  const auto original = attention_reference(problem);
  const auto compare = [&](const char* of, const AttentionResult& found) {
    double difference = 0, size = 0, worst_lse = 0;
    for (std::size_t i = 0; i < found.out.size(); ++i) {
      const double a = to_float(found.out[i]), b = to_float(original.out[i]);
      difference += (a - b) * (a - b);
      size += b * b;
    }
    for (std::size_t i = 0; i < found.lse.size(); ++i) worst_lse = std::max(worst_lse, std::fabs(static_cast<double>(found.lse[i]) - original.lse[i]));
    const double rms = std::sqrt(difference / size);
    CAPTURE(of);
    CAPTURE(rms);
    CAPTURE(worst_lse);
    CHECK(rms <= kRounding + 0.004);
    CHECK(worst_lse <= 5 * kRounding * std::sqrt(std::exp(1.0) / kPositions) + kRounding * kRounding / 2 + 5 * kRounding / std::sqrt(512.0));
  };
  compare("reference", quantised_reference(problem));
  if (skip_without_hopper()) return;
  compare("device", Device(problem).run());
}

TEST_CASE("sparse prefill with FP8 queries says what it takes") {
  SparsePrefillFp8Args args{.attention = {}};
  args.attention.layout = kFp8Layout;
  args.attention.heads = 128;
  args.attention.longest = 512;
  CHECK(sparse_prefill_fp8_takes(args));
  args.attention.longest = 513;
  CHECK(!sparse_prefill_fp8_takes(args));
  args.attention.part = 1024;
  CHECK(sparse_prefill_fp8_takes(args));
  args.attention.heads = 96;
  CHECK(!sparse_prefill_fp8_takes(args));
  args.attention.heads = 64;
  args.attention.layout.format = CacheFormat::Bf16;
  CHECK(!sparse_prefill_fp8_takes(args));
}

}  // namespace
}  // namespace gauntlet::kernels
