#include "inference/cuda/hopper/sparse_prefill.h"

#include <cmath>
#include <string>

#include "inference/cuda/attention_case.h"
#include "inference/cuda/hopper/sparse_decode.h"

namespace gauntlet::kernels {
namespace {

constexpr CacheLayout kLayout{.format = CacheFormat::Bf16, .latent = 512, .rope = 64};
constexpr std::size_t kLatent = 512, kWidth = 576;

enum class Lists {
  Dense,   ///< none given
  Packed,  ///< as many positions as there are, in no order, then entries that must not be looked at
  Holes    ///< a third of the entries name no position of the token's past; some tokens have none at all
};

struct Sizes {
  int heads = 64, k = 0, part = kAttentionPart;
};

std::vector<std::int32_t> make_list(Rng& rng, Lists lists, std::int32_t own, std::size_t k, std::size_t token) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(own) + 1);
  std::iota(all.begin(), all.end(), 0);
  rng.shuffle(all);
  all.resize(k, lists == Lists::Packed ? 0 : -1);
  if (lists == Lists::Packed) return all;
  const std::vector<std::int32_t> none = {-1, -2, own + 1, own + 64, INT32_MAX, INT32_MIN};
  for (auto& entry : all) {
    if (token % 7 == 3 || rng.below(3) == 0) entry = rng.pick(none);
  }
  return all;
}

/// `spread`: about the standard deviation of the logits. Entries that no token of a sequence may read are NaN.
AttentionProblem make_problem(std::uint64_t seed, const Sizes& sizes, Lists lists, const std::vector<SequencePart>& parts, float spread = 2.0f) {
  Rng rng(seed);
  AttentionProblem out{.layout = kLayout, .batch = paged_batch(rng, parts), .heads = sizes.heads, .k = sizes.k, .part = sizes.part, .listed = lists != Lists::Dense};
  out.form = lists == Lists::Packed ? ListForm::Packed : ListForm::Any;
  out.scale = spread / 8.0f;
  out.queries = random_queries(rng, static_cast<std::int64_t>(out.batch.tokens()) * sizes.heads, kLayout);
  std::vector<std::vector<bool>> read(parts.size());
  for (std::size_t s = 0; s < parts.size(); ++s) read[s].resize(static_cast<std::size_t>(out.batch.lengths[s]), lists == Lists::Dense);
  for (std::size_t t = 0; t < out.batch.ids.size() && lists != Lists::Dense; ++t) {
    const auto list = make_list(rng, lists, out.batch.positions[t], static_cast<std::size_t>(sizes.k), t);
    out.chosen.insert(out.chosen.end(), list.begin(), list.end());
    const std::size_t looked_at = lists == Lists::Packed ? std::min(list.size(), static_cast<std::size_t>(out.batch.positions[t]) + 1) : list.size();
    for (std::size_t i = 0; i < looked_at; ++i) {
      if (list[i] >= 0 && list[i] <= out.batch.positions[t]) read[static_cast<std::size_t>(out.batch.sequences[t])][static_cast<std::size_t>(list[i])] = true;
    }
  }
  out.rows = random_latents(seed + 2, kLayout, out.batch, [&](int s, int p) { return read[static_cast<std::size_t>(s)][static_cast<std::size_t>(p)]; });
  return out;
}

struct Device : AttentionDevice {
  explicit Device(const AttentionProblem& problem)
      : AttentionDevice(problem, [](const SparseAttentionArgs& args, CudaStream stream) {
          REQUIRE(sparse_prefill_takes(args));
          sparse_prefill(args, stream);
          if (args.parts() > 1) join_attention_parts(args, stream);
        }) {}
};

// Where the kernel may differ from the reference, which computes in double: a logit is a sum of 576 products whose terms the matrix unit may truncate
// (2^-23 of Σ|q k| <= |q| |k| in each of 36 steps, |k| < 24): `logit`, which is also what the lse may be off by, next to its own sum; weights go to
// bf16 for the second product (2^-8 of each, values are at most 1), and both outputs to bf16 (2^-8 each).
void check(const AttentionProblem& problem, const AttentionResult& found, const AttentionResult& expected) {
  REQUIRE(found.out.size() == expected.out.size());
  double worst_out = 0, worst_lse = 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < found.lse.size(); ++i) {
    const double logit = 0x1p-23 * 44 * problem.scale * norm(to_floats(std::span(problem.queries).subspan(i * kWidth, kWidth))) * 24, count = problem.longest();
    const bool empty = std::isinf(expected.lse[i]);
    wrong += empty ? found.lse[i] != expected.lse[i] : !std::isfinite(found.lse[i]);
    const double lse_bound = logit + 0x1p-24 * count + 0x1p-21 * std::max(1.0, std::fabs(static_cast<double>(expected.lse[i])));
    if (!empty) worst_lse = std::max(worst_lse, std::fabs(found.lse[i] - expected.lse[i]) / lse_bound);
    for (std::size_t d = i * kLatent; d < (i + 1) * kLatent; ++d) {
      const double a = to_float(found.out[d]), b = to_float(expected.out[d]);
      wrong += !std::isfinite(a);
      worst_out = std::max(worst_out, std::fabs(a - b) / (empty ? 0x1p-100 : 0x1p-8 + 2 * logit + 0x1p-23 * count + 0x1p-7 * std::fabs(b)));
    }
  }
  CHECK(wrong == 0);
  CHECK(worst_out <= 1.0);
  CHECK(worst_lse <= 1.0);
}

// Contexts around 1, 64 (a tile), 128 (a pair of tiles) and more, in one batch.
const std::vector<SequencePart> kMixed = {{0, 1}, {0, 3}, {62, 4}, {126, 4}, {510, 3}, {1022, 2}};

TEST_CASE("sparse prefill attention is the reference's, for any lists, parts and contexts") {
  if (skip_without_hopper()) return;
  for (const auto& sizes : {Sizes{64, 1, 512}, Sizes{64, 129, 64}, Sizes{192, 200, 256}, Sizes{128, 1000, 1024}, Sizes{64, 1100, 512}}) {
    for (const auto lists : {Lists::Dense, Lists::Packed, Lists::Holes}) {
      CAPTURE(sizes.heads);
      CAPTURE(sizes.k);
      CAPTURE(sizes.part);
      CAPTURE(static_cast<int>(lists));
      const auto problem = make_problem(1, sizes, lists, kMixed);
      check(problem, Device(problem).run(), attention_reference(problem));
    }
  }
}

TEST_CASE("sparse prefill attention chooses 2,048 positions of more, and keeps its accuracy when one outweighs all others, and when none does") {
  if (skip_without_hopper()) return;
  for (const float spread : {0.01f, 2.0f, 30.0f}) {
    CAPTURE(spread);
    const auto problem = make_problem(2, {.heads = 128, .k = 2048, .part = 2048}, Lists::Packed, {{.start = 2046, .count = 2}, {.start = 5000, .count = 1}}, spread);
    check(problem, Device(problem).run(), attention_reference(problem));
  }
}

TEST_CASE("sparse prefill attention gives the same bits on every run, of a range of rows, and whether its one part is joined or not") {
  if (skip_without_hopper()) return;
  for (const auto lists : {Lists::Dense, Lists::Packed, Lists::Holes}) {
    CAPTURE(static_cast<int>(lists));
    const auto problem = make_problem(3, {.heads = 128, .k = 700, .part = 1024}, lists, kMixed);
    const Device device(problem);
    const auto first = device.run(0, problem.batch.tokens(), 1024), longer = device.run(0, problem.batch.tokens(), 1025);
    CHECK(same_bits(longer.out, first.out));
    for (int i = 0; i < 20; ++i) {
      const auto again = device.run(0, problem.batch.tokens(), 1024);
      REQUIRE(same_bits(again.out, first.out));
      REQUIRE(same_bits(again.lse, first.lse));
    }
    const auto some = device.run(5, 7, 1024);
    const std::size_t heads = 128, row = heads * kLatent, tokens = static_cast<std::size_t>(problem.batch.tokens());
    CHECK(same_bits(rows_of(some.out, row, 5, 7), rows_of(first.out, row, 5, 7)));
    CHECK(same_bits(some.lse, rows_of(first.lse, heads, 5, 7)));
    CHECK(same_bits(rows_of(some.out, row, 0, 5), poisoned<Bf16>(5 * row)));
    CHECK(same_bits(rows_of(some.out, row, 12, tokens - 12), poisoned<Bf16>((tokens - 12) * row)));
  }
}

TEST_CASE("sparse prefill attention takes more rows than a dimension of a grid") {
  if (skip_without_hopper()) return;
  // Queries of zeros weigh all positions alike; position s has a 1 in column s: every row shows its list.
  constexpr int kRows = 65'600, kHeads = 64, kChosen = 4;
  Rng rng(4);
  auto batch = paged_batch(rng, {{.start = 511, .count = 1}});
  std::vector<std::byte> rows(static_cast<std::size_t>(batch.page_count) * kPageTokens * static_cast<std::size_t>(kLayout.row_bytes()), std::byte{0xff});
  for (int p = 0; p < 512; ++p) {
    std::vector<float> latent(kLatent, 0.0f);
    latent[static_cast<std::size_t>(p)] = 1.0f;
    write_latent_row(kLayout, latent, std::vector<float>(64, 1.0f), rows.data() + physical_row(batch.view(), 0, p) * kLayout.row_bytes());
  }
  batch.ids.assign(kRows, 0);
  batch.positions.assign(kRows, 511);
  batch.sequences.assign(kRows, 0);
  std::vector<std::int32_t> chosen;
  for (int i = 0; i < kRows * kChosen; ++i) chosen.push_back(i % kChosen * 128 + i / kChosen * 37 % 128);
  const Stream stream;
  const DeviceBatch device_batch(batch);
  const OnDevice<std::int32_t> device_chosen(chosen);
  const OnDevice<std::byte> device_rows(rows);
  const DeviceBuffer<Bf16> queries(std::size_t{kRows} * kHeads * kWidth), out(std::size_t{kRows} * kHeads * kLatent);
  cuda_check(cudaMemset(queries.data(), 0, queries.size() * sizeof(Bf16)));
  cuda_check(cudaMemset(out.data(), 0xff, out.size() * sizeof(Bf16)));
  cuda_check(cudaDeviceSynchronize());
  const SparseAttentionArgs args{.batch = device_batch.view(), .layout = kLayout, .rows = kRows, .heads = kHeads, .longest = kChosen, .queries = queries.data(),
                                 .chosen = device_chosen.data(), .k = kChosen, .latent_rows = device_rows.data(), .out = out.data()};
  sparse_prefill(args, stream.get());
  stream.wait_blocking();
  std::vector<Bf16> found(kHeads * kLatent);
  for (const int row : {0, 1, 131, 132, 32'768, 65'534, 65'535, 65'536, kRows - 1}) {
    CAPTURE(row);
    cuda_check(cudaMemcpy(found.data(), out.data() + static_cast<std::size_t>(row) * found.size(), found.size() * sizeof(Bf16), cudaMemcpyDeviceToHost));
    std::vector<float> expected(kLatent, 0.0f);
    for (int i = 0; i < kChosen; ++i) expected[static_cast<std::size_t>(chosen[static_cast<std::size_t>(row * kChosen + i)])] = 0.25f;
    for (int head = 0; head < kHeads; ++head) CHECK(same_bits(rows_of(to_floats(found), kLatent, static_cast<std::size_t>(head), 1), expected));
  }
}

TEST_CASE("sparse prefill attention takes bf16 caches of its sizes alone") {
  SparseAttentionArgs args{.layout = kLayout, .heads = 128};
  CHECK(sparse_prefill_takes(args));
  args.heads = 96;
  CHECK_FALSE(sparse_prefill_takes(args));
  args.heads = 64;
  args.layout.format = CacheFormat::Fp8;
  CHECK_FALSE(sparse_prefill_takes(args));
  args.layout = {.format = CacheFormat::Bf16, .latent = 256, .rope = 64};
  CHECK_FALSE(sparse_prefill_takes(args));
}

}  // namespace
}  // namespace gauntlet::kernels
