// What attention does with keys that are not finite: what a token attends to reaches its result, in every kernel and however lists are cut into parts. A
// result that is finite all the same would be a context with a hole that nobody sees.

#include <cmath>
#include <limits>

#include "inference/cuda/attention_case.h"
#include "inference/cuda/fast_kernels.h"

namespace gauntlet::kernels {
namespace {

constexpr int kTokens = 300, kBad = 200;  // in the second, fourth or seventh part, by the parts' length
constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();

enum class Bad {
  Latent,  ///< NaN, all of it
  Rotary,  ///< one element is infinite: logits are +inf or -inf, as a head's query has it
};

/// One token that attends to all positions up to its own, of which one is bad.
AttentionProblem make_problem(CacheFormat format, int heads, Bad bad) {
  Rng rng(31);
  AttentionProblem out;
  out.layout = {.format = format, .latent = 512, .rope = 64};
  out.batch = paged_batch(rng, {{kTokens - 1, 1}});
  out.heads = heads;
  out.scale = 0.05f;
  out.queries = random_queries(rng, heads, out.layout);
  out.rows = random_latents(32, out.layout, out.batch, [](int, int) { return true; });
  std::byte* row = out.rows.data() + physical_row(out.batch.view(), 0, kBad) * out.layout.row_bytes();
  const auto key = read_latent_row(out.layout, row);
  std::vector<float> latent(key.begin(), key.begin() + 512), rope(key.begin() + 512, key.end());
  if (bad == Bad::Latent) {
    std::ranges::fill(latent, kNaN);
  } else {
    rope[5] = kInfinity;
  }
  write_latent_row(out.layout, latent, rope, row);
  return out;
}

TEST_CASE("the reference's attention is not finite where a key is not, for the heads that attend to it") {
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    for (const auto bad : {Bad::Latent, Bad::Rotary}) {
      const auto problem = make_problem(format, 16, bad);
      const auto expected = attention_reference(problem);
      const auto latent = static_cast<std::size_t>(problem.layout.latent);
      std::size_t reached = 0;
      for (std::size_t h = 0; h < expected.lse.size(); ++h) {
        const bool finite = std::isfinite(to_float(expected.out[h * latent]));
        reached += finite ? 0 : 1;
        CHECK(std::isfinite(expected.lse[h]) == finite);
        CHECK_FALSE(std::isinf(expected.lse[h]));  // which is what an empty list has
      }
      CHECK(reached == (bad == Bad::Latent ? expected.lse.size() : reached));
      CHECK((bad == Bad::Latent || (reached > 0 && reached < expected.lse.size())));
    }
  }
}

TEST_CASE("in no kernel is a key that is not finite left out") {
  if (skip_without_device()) return;
  for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
    for (const int heads : {16, 64}) {
      for (const auto bad : {Bad::Latent, Bad::Rotary}) {
        auto problem = make_problem(format, heads, bad);
        const auto expected = attention_reference(problem);
        for (const AttentionDevice::Launch launch : {&attend, &sparse_attention}) {
          for (const int part : {64, 128, 512}) {
            CAPTURE(static_cast<int>(format));
            CAPTURE(heads);
            CAPTURE(static_cast<int>(bad));
            CAPTURE(launch == &attend);
            CAPTURE(part);
            problem.part = part;
            const auto found = AttentionDevice(problem, launch).run();
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < expected.out.size(); ++i) wrong += std::isfinite(to_float(found.out[i])) != std::isfinite(to_float(expected.out[i]));
            for (std::size_t h = 0; h < expected.lse.size(); ++h) wrong += std::isfinite(found.lse[h]) != std::isfinite(expected.lse[h]) || std::isinf(found.lse[h]);
            CHECK(wrong == 0);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace gauntlet::kernels
