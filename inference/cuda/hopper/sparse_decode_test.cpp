#include "inference/cuda/hopper/sparse_decode.h"

#include <cmath>
#include <cstring>
#include <string>

#include "inference/cuda/hopper/fp8_attention_case.h"

namespace gauntlet::kernels {
namespace {

constexpr std::size_t kLatent = 512, kWidth = 576;

struct Device : AttentionDevice {
  explicit Device(const Fp8Problem& problem)
      : AttentionDevice(problem, [](const SparseAttentionArgs& args, CudaStream stream) {
          REQUIRE(sparse_decode_takes(args));
          sparse_decode(args, stream);
        }) {}
};

// Logits are sums of 576 products of numbers up to 1, added in float32 in steps of 16 that may truncate: off by at most `logit`, as lse may be. Weights go
// to bf16 for the second product (2^-8 of each, with values up to `largest`), and outputs to bf16 (2^-8 each on either side).
void check(const Fp8Problem& problem, const AttentionResult& found, const AttentionResult& expected, double largest = 1.0) {
  const double logit = 0x1p-23 * 44 * problem.scale * kWidth * 0.34 * largest;
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

TEST_CASE("sparse decode is the reference's attention, for any lists, contexts and parts") {
  if (skip_without_hopper()) return;
  for (const auto lists : {Fp8Lists::Dense, Fp8Lists::Full, Fp8Lists::Packed, Fp8Lists::Holes}) {
    for (const int k : {1, 63, 65, 130, 700}) {
      if (lists == Fp8Lists::Dense && k > 1) continue;
      auto problem = make_problem(1, 64, k, lists, 64, kMixed);
      const auto expected = attention_reference(problem);
      for (const int part : {64, 192, 512, 4096}) {
        CAPTURE(static_cast<int>(lists));
        CAPTURE(k);
        CAPTURE(part);
        problem.part = part;
        check(problem, Device(problem).run(), expected);
      }
    }
  }
}

TEST_CASE("sparse decode takes V3.2's 128 heads and 2,048 positions of more, and 192 heads") {
  if (skip_without_hopper()) return;
  auto problem = make_problem(2, 128, 2048, Fp8Lists::Full, 64, {{2047, 1}, {2600, 1}});
  const auto expected = attention_reference(problem);
  for (const int part : {decode_part(2, 128, 2048), 64, 2048}) {
    problem.part = part;
    check(problem, Device(problem).run(), expected);
  }
  const auto other = make_problem(3, 192, 100, Fp8Lists::Holes, 64, kMixed);
  check(other, Device(other).run(), attention_reference(other));
}

TEST_CASE("sparse decode reads all of e4m3 exactly, with any finite scale rounded to bf16") {
  if (skip_without_hopper()) return;
  for (const float scale : {0.25f, 0x1p-18f, 0.3f, 100.7f, 3.0e4f}) {
    CAPTURE(scale);
    auto problem = make_problem(4, 64, 130, Fp8Lists::Full, 512, {{129, 2}});
    problem.scale = 0.25f / (480.0f * scale);
    constexpr CacheLayout kPlain = {.format = CacheFormat::Bf16, .latent = 512, .rope = 64};
    Fp8Problem plain = problem;
    plain.layout = kPlain;
    plain.rows.assign(static_cast<std::size_t>(problem.batch.page_count) * kPageTokens * static_cast<std::size_t>(kPlain.row_bytes()), std::byte{0});
    for (int p = 0; p < problem.batch.lengths[0]; ++p) {
      const std::int64_t row = physical_row(problem.batch.view(), 0, p);
      std::byte* from = problem.rows.data() + row * kFp8Layout.row_bytes();
      std::vector<float> latent(kLatent), rope(64, 0.0f);
      for (std::size_t d = 0; d < kLatent; ++d) {
        const float block_scale = d / 128 == 2 ? scale : std::ldexp(scale, -static_cast<int>(d / 128));
        auto code = static_cast<std::uint8_t>(d * 7 + static_cast<std::size_t>(p));
        if ((code & 0x7fU) == 0x7fU) code = 0;  // not a number
        from[d] = static_cast<std::byte>(code);
        std::memcpy(from + kLatent + d / 128 * 4, &block_scale, 4);
        latent[d] = round_to_bf16(to_float(Fp8{code}) * round_to_bf16(block_scale));
      }
      std::fill_n(from + kFp8Layout.rope_offset_bytes(), 128, std::byte{0});
      write_latent_row(kPlain, latent, rope, plain.rows.data() + row * kPlain.row_bytes());
    }
    check(problem, Device(problem).run(), attention_reference(plain), 480.0 * scale);
  }
}

TEST_CASE("sparse decode keeps small scales beside large ones") {
  if (skip_without_hopper()) return;
  // Every other position has scales of 1,000 in the last block, where queries are so negative that its weight is 0. So results are the others' values, whose
  // scale is the smallest that our caches have.
  constexpr float kSmall = 0x1p-22f, kLarge = 1000.0f;
  auto problem = make_problem(6, 64, 64, Fp8Lists::Full, 64, {{63, 1}});
  problem.scale = 1.0f;
  for (std::size_t i = 0; i < problem.queries.size(); ++i) problem.queries[i] = to_bf16(i % kWidth >= 384 && i % kWidth < kLatent ? -1.0f : 0.0f);
  for (int p = 0; p < 64; ++p) {
    std::byte* row = problem.rows.data() + physical_row(problem.batch.view(), 0, p) * kFp8Layout.row_bytes();
    for (std::size_t d = 0; d < kLatent; ++d) row[d] = static_cast<std::byte>(d < 384 ? (d * 7 + static_cast<std::size_t>(p)) % 0x7f : p % 2 == 0 ? to_fp8(8.0f).bits : 0);
    for (std::size_t block = 0; block < 4; ++block) std::memcpy(row + kLatent + 4 * block, block == 3 ? &kLarge : &kSmall, 4);
    std::fill_n(row + kFp8Layout.rope_offset_bytes(), 128, std::byte{0});
  }
  const auto found = Device(problem).run(), expected = attention_reference(problem);
  for (int head = 0; head < 64; ++head) {
    const auto first = static_cast<std::ptrdiff_t>(head) * static_cast<std::ptrdiff_t>(kLatent);
    const std::vector<Bf16> a(found.out.begin() + first, found.out.begin() + first + 384), b(expected.out.begin() + first, expected.out.begin() + first + 384);
    REQUIRE(relative_error(a, b) <= 0x1p-7);
  }
}

TEST_CASE("a token's bits are its own: in a range, alone, with room for longer lists, and by a list that says what none says") {
  if (skip_without_hopper()) return;
  for (const int part : {64, 192, 512}) {
    for (const auto lists : {Fp8Lists::Dense, Fp8Lists::Full, Fp8Lists::Packed, Fp8Lists::Holes}) {
      CAPTURE(part);
      CAPTURE(static_cast<int>(lists));
      const auto problem = make_problem(5, 128, 700, lists, part, kMixed);
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
}

TEST_CASE("sparse decode gives a token the same bits alone and among more than the device has multiprocessors for, for any number of parts") {
  if (skip_without_hopper()) return;
  for (const int part : {64, 128, 256, 384, 512}) {  // of 700: from 11 parts to 2
    for (const auto lists : {Fp8Lists::Full, Fp8Lists::Holes}) {
      CAPTURE(part);
      CAPTURE(static_cast<int>(lists));
      const auto problem = make_problem(8, 192, 700, lists, part, std::vector<SequencePart>(20, {.start = 690, .count = 5}));
      const Device device(problem);
      const auto whole = device.run();  // more items than there are multiprocessors
      for (const int t : {0, 3, 10, 99}) {  // 3 and 10 may have no list
        const auto token = static_cast<std::size_t>(t);
        const auto alone = device.run(t, 1, problem.longest());
        CHECK(same_bits(rows_of(alone.out, problem.out_row(), token, 1), rows_of(whole.out, problem.out_row(), token, 1)));
        CHECK(same_bits(alone.lse, rows_of(whole.lse, 192, token, 1)));
      }
      const auto some = device.run(40, 6, problem.longest());
      CHECK(same_bits(rows_of(some.out, problem.out_row(), 40, 6), rows_of(whole.out, problem.out_row(), 40, 6)));
    }
  }
}

TEST_CASE("sparse decode gives the same bits on every run, on any pages, and without an lse") {
  if (skip_without_hopper()) return;
  for (const int part : {256, 2048}) {
    const auto problem = make_problem(6, 128, 700, Fp8Lists::Full, part, std::vector<SequencePart>(40, {.start = 800, .count = 4}));
    const Device device(problem);
    const auto first = device.run();
    for (int i = 0; i < 20; ++i) REQUIRE(device.run().same_as(first));
    const auto few = device.run(8, 8, problem.longest());
    for (int i = 0; i < 20; ++i) REQUIRE(device.run(8, 8, problem.longest()).same_as(few));
    CHECK(same_bits(device.run(0, problem.batch.tokens(), problem.longest(), false).out, first.out));
  }
}

TEST_CASE("sparse decode takes more rows than a grid's second dimension has blocks, and none at all") {
  if (skip_without_hopper()) return;
  constexpr int kRows = 66000, kHeads = 64, kList = 3;
  Rng rng(7);
  const PagedBatch batch = paged_batch(rng, {{.start = 0, .count = kRows}});
  std::vector<std::int32_t> chosen;
  std::vector<std::byte> rows(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(kFp8Layout.row_bytes()));
  for (int t = 0; t < kRows; ++t) {
    for (int i = 0; i < kList; ++i) chosen.push_back(std::max(0, t - i));
    std::byte* row = rows.data() + physical_row(batch.view(), 0, t) * kFp8Layout.row_bytes();
    write_latent_row(kFp8Layout, std::vector<float>(kLatent, static_cast<float>(t % 7)), std::vector<float>(64, 1.0f), row);
  }
  const DeviceBatch device_batch(batch);
  const OnDevice<std::int32_t> device_chosen(chosen);
  const OnDevice<std::byte> device_rows(rows);
  const DeviceBuffer<Bf16> queries(std::size_t{kRows} * kHeads * kWidth), out(std::size_t{kRows} * kHeads * kLatent);
  cuda_check(cudaMemset(queries.data(), 0, queries.size_bytes()));  // logits of 0: outputs are means
  cuda_check(cudaMemset(out.data(), 0xff, out.size_bytes()));
  const auto lse = poisoned_on_device<float>(std::size_t{kRows} * kHeads);
  SparseAttentionArgs args{.batch = device_batch.view(), .layout = kFp8Layout, .heads = kHeads, .longest = kList, .queries = queries.data(), .chosen = device_chosen.data(),
                           .k = kList, .latent_rows = device_rows.data(), .out = out.data(), .lse = lse.data()};
  const Stream stream;
  sparse_decode(args, stream.get());
  CHECK(std::isnan(lse.get()[0]));
  args.rows = kRows;
  sparse_decode(args, stream.get());
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

TEST_CASE("sparse decode says what it takes, and parts of a length that fits") {
  SparseAttentionArgs args;
  args.layout = kFp8Layout;
  args.heads = 128;
  CHECK(sparse_decode_takes(args));
  args.heads = 96;
  CHECK(!sparse_decode_takes(args));
  args.heads = 128;
  args.layout.format = CacheFormat::Bf16;
  CHECK(!sparse_decode_takes(args));
  args.layout = {.format = CacheFormat::Fp8, .latent = 256, .rope = 64};
  CHECK(!sparse_decode_takes(args));
  for (const int rows : {1, 2, 8, 33, 64, 200, 1000}) {
    for (const int longest : {0, 1, 64, 65, 2048, 100000}) {
      const int part = decode_part(rows, 128, longest);
      CHECK(part >= 64);
      CHECK(part % 64 == 0);
      CHECK((part < longest + 128 || part == 128));
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
