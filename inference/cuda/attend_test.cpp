// attend() and the joining of parts, whichever kernel serves: short parts, long ones, more of them than a warp has lanes, and launches that follow
// each other without a wait in between.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "inference/cuda/attention_case.h"
#include "inference/cuda/fast_kernels.h"

namespace gauntlet::kernels {
namespace {

struct Kind {
  CacheFormat format;
  int latent, heads;
};
/// On Hopper: few heads (one and two tiles of them), 64 by 64 over either cache; sizes that only the portable kernel takes.
constexpr Kind kKinds[] = {{CacheFormat::Bf16, 512, 8},  {CacheFormat::Fp8, 512, 8},   {CacheFormat::Bf16, 512, 32}, {CacheFormat::Fp8, 512, 32},
                           {CacheFormat::Bf16, 512, 64}, {CacheFormat::Fp8, 512, 64}, {CacheFormat::Bf16, 256, 6},  {CacheFormat::Fp8, 256, 6}};

constexpr int kChosen = 2560;  // 40 parts of 64

/// Tokens over contexts shorter and longer than their lists. Without a list (`listed` false) they attend to everything.
AttentionProblem make_problem(std::uint64_t seed, const Kind& kind, bool listed) {
  Rng rng(seed);
  AttentionProblem out;
  out.layout = {.format = kind.format, .latent = kind.latent, .rope = 64};
  out.batch = paged_batch(rng, {{2799, 1}, {69, 2}, {1023, 1}});
  out.heads = kind.heads;
  out.k = kChosen;
  out.listed = listed;
  out.form = ListForm::Packed;
  out.scale = 0.05f;
  out.queries = random_queries(rng, std::int64_t{out.batch.tokens()} * kind.heads, out.layout);
  for (const auto own : out.batch.positions) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(own) + 1);
    std::iota(all.begin(), all.end(), 0);
    rng.shuffle(all);
    all.resize(static_cast<std::size_t>(kChosen), 0);
    out.chosen.insert(out.chosen.end(), all.begin(), all.end());
  }
  out.rows = random_latents(seed + 1, out.layout, out.batch, [](int, int) { return true; });
  return out;
}

double error_of(const AttentionResult& found, const AttentionResult& expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.out.size(); ++i) {
    const double a = to_float(found.out[i]), b = to_float(expected.out[i]);
    error += (a - b) * (a - b);
    norm += b * b;
  }
  for (std::size_t i = 0; i < expected.lse.size(); ++i) {
    if (!(std::fabs(static_cast<double>(found.lse[i]) - expected.lse[i]) <= 1e-3)) return std::numeric_limits<double>::infinity();
  }
  return std::sqrt(error / norm);
}

// Weights and results are rounded to bf16: about 2^-9.5 each, at random.
constexpr double kBound = 3e-3;

TEST_CASE("attend gives the reference's attention with parts of every length, more than 32 of them too") {
  if (skip_without_device()) return;
  for (const auto& kind : kKinds) {
    for (const bool listed : {true, false}) {
      auto problem = make_problem(51, kind, listed);
      const auto expected = attention_reference(problem);
      for (const int part : {64, 128, 192, 512, 1024, 4096}) {
        CAPTURE(static_cast<int>(kind.format));
        CAPTURE(kind.latent);
        CAPTURE(kind.heads);
        CAPTURE(listed);
        CAPTURE(part);
        problem.part = part;
        CAPTURE(name_of(attention_kernel(problem.args())));
        CHECK(error_of(AttentionDevice(problem, &attend).run(), expected) <= kBound);
      }
    }
  }
}

// What a launch reads may still be written by the one before, and what it writes may still be read: launches overlap.
TEST_CASE("attentions that follow each other without a wait, in one workspace, are those that ran alone") {
  if (skip_without_device()) return;
  for (const auto& kind : kKinds) {
    for (const int part : {64, 1024}) {
      CAPTURE(static_cast<int>(kind.format));
      CAPTURE(kind.latent);
      CAPTURE(kind.heads);
      CAPTURE(part);
      auto first = make_problem(61, kind, true), second = make_problem(71, kind, false);
      first.part = second.part = part;
      const AttentionDevice on_first(first, &attend), on_second(second, &attend);
      const AttentionResult expected[] = {on_first.run(), on_second.run()};
      SparseAttentionArgs args[] = {on_first.args(0, first.batch.tokens(), first.longest()), on_second.args(0, second.batch.tokens(), second.longest())};

      const int slots = first.batch.tokens() * std::max(args[0].parts(), args[1].parts()) * kind.heads;
      const auto part_out = poisoned_on_device<float>(static_cast<std::size_t>(slots) * static_cast<std::size_t>(first.layout.latent_padded()));
      const auto part_stats = poisoned_on_device<float>(static_cast<std::size_t>(slots) * 2);
      std::vector<OnDevice<Bf16>> outs;
      std::vector<OnDevice<float>> lses;
      constexpr int kTurns = 20;
      for (int i = 0; i < kTurns; ++i) {
        outs.push_back(poisoned_on_device<Bf16>(expected[0].out.size()));
        lses.push_back(poisoned_on_device<float>(expected[0].lse.size()));
      }
      const Stream stream;
      for (int i = 0; i < kTurns; ++i) {
        auto& one = args[i % 2];
        one.part_out = part_out.data();
        one.part_stats = part_stats.data();
        one.out = outs[static_cast<std::size_t>(i)].data();
        one.lse = lses[static_cast<std::size_t>(i)].data();
        attend(one, stream.get());
      }
      stream.wait_blocking();
      for (int i = 0; i < kTurns; ++i) {
        CAPTURE(i);
        const AttentionResult found{.out = outs[static_cast<std::size_t>(i)].get(), .lse = lses[static_cast<std::size_t>(i)].get()};
        CHECK(found.same_as(expected[i % 2]));
      }
    }
  }
}

// So many blocks that some begin while others write their results: shared memory is at its busiest.
TEST_CASE("thousands of rows in several parts have the same bits on every run") {
  if (skip_without_device()) return;
  for (const Kind kind : {Kind{CacheFormat::Fp8, 512, 16}, Kind{CacheFormat::Bf16, 512, 16}, Kind{CacheFormat::Fp8, 512, 64}, Kind{CacheFormat::Bf16, 512, 64}}) {
    Rng rng(81);
    AttentionProblem problem;
    problem.layout = {.format = kind.format, .latent = kind.latent, .rope = 64};
    problem.batch = paged_batch(rng, {{952, 2048}});
    problem.heads = kind.heads;
    problem.scale = 0.05f;
    problem.queries = random_queries(rng, std::int64_t{problem.batch.tokens()} * kind.heads, problem.layout);
    problem.rows = random_latents(82, problem.layout, problem.batch, [](int, int) { return true; });
    problem.part = 512;
    CAPTURE(static_cast<int>(kind.format));
    CAPTURE(kind.heads);
    const AttentionDevice device(problem, &attend);
    auto args = device.args(0, kind.heads > 32 ? 256 : 2048, problem.longest());
    const auto slots = static_cast<std::size_t>(args.rows * args.parts() * kind.heads), outputs = static_cast<std::size_t>(args.rows) * problem.out_row();
    const DeviceBuffer<float> part_out(slots * static_cast<std::size_t>(kind.latent)), part_stats(slots * 2);
    const DeviceBuffer<Bf16> out(static_cast<std::size_t>(problem.batch.tokens()) * problem.out_row());
    args.part_out = part_out.data();
    args.part_stats = part_stats.data();
    args.out = out.data();
    const Stream stream;
    std::vector<Bf16> first(out.size()), again(out.size());
    int differ = 0;
    for (int i = 0; i < 30; ++i) {
      auto& found = i == 0 ? first : again;
      attend(args, stream.get());
      stream.wait_blocking();
      out.download_blocking(found);
      if (i > 0) differ += std::memcmp(first.data(), again.data(), outputs * sizeof(Bf16)) == 0 ? 0 : 1;
    }
    CHECK(differ == 0);
  }
}

}  // namespace
}  // namespace gauntlet::kernels
