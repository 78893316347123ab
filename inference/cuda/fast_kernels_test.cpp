// Which kernels serve which sizes, and the engine on Hopper's own kernels against the reference.

#include "inference/cuda/fast_kernels.h"

#include "inference/cuda/decided_case.h"
#include "inference/cuda/decoder.h"
#include "inference/cuda/kernel_case.h"
#include "inference/golden_case.h"
#include "inference/random_checkpoint.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using kernels::AttentionKernel;
using kernels::skip_without_device;
using kernels::skip_without_hopper;

constexpr CacheFormat kFormats[] = {CacheFormat::Bf16, CacheFormat::Fp8};

std::string written(const sample::ScratchFolder& folder) {
  write_random_checkpoint("attention", 1, folder.path());
  return folder.path();
}

/// Two layers with V3.2's attention for 64 heads.
struct AttentionModel {
  sample::ScratchFolder folder;
  Checkpoint checkpoint;
  ModelWeights weights;

  AttentionModel() : checkpoint(written(folder)), weights(bind_weights(load_model_config(folder.path()), checkpoint)) {}

  Ids ids(int count) const {
    Rng rng(2);
    Ids out(static_cast<std::size_t>(count));
    for (auto& id : out) id = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(weights.config.vocab)));
    return out;
  }
};

TEST_CASE("DeepSeek-V3.2's sizes get Hopper's kernels on Hopper, all others the portable ones") {
  if (skip_without_device()) return;
  const bool hopper = compute_capability() == 90;
  const Bf16 term{};
  const auto kernel = [](CacheFormat format, int latent, int heads, const Bf16* low) {
    return kernels::attention_kernel({.batch = {}, .layout = {.format = format, .latent = latent, .rope = 64, .index = 128}, .rows = 4, .heads = heads, .longest = 2048, .queries_low = low, .k = 2048});
  };
  for (const auto format : kFormats) {
    const auto many = !hopper ? AttentionKernel::Portable : format == CacheFormat::Fp8 ? AttentionKernel::Fp8 : AttentionKernel::Bf16;
    CHECK(kernel(format, 512, 128, nullptr) == many);
    CHECK(kernel(format, 512, 64, nullptr) == many);
    CHECK(kernel(format, 512, 16, nullptr) == (hopper ? AttentionKernel::FewHeads : AttentionKernel::Portable));
    CHECK(kernel(format, 512, 128, &term) == AttentionKernel::Portable);
    CHECK(kernel(format, 256, 128, nullptr) == AttentionKernel::Portable);
    CHECK(kernel(format, 512, 100, nullptr) == AttentionKernel::Portable);
  }
  CHECK(kernels::scores_in_fp8({.format = CacheFormat::Fp8, .latent = 512, .rope = 64, .index = 128}, 64) == hopper);
  CHECK_FALSE(kernels::scores_in_fp8({.format = CacheFormat::Bf16, .latent = 512, .rope = 64, .index = 128}, 64));
  CHECK_FALSE(kernels::scores_in_fp8({.format = CacheFormat::Fp8, .latent = 512, .rope = 64, .index = 64}, 64));
}

TEST_CASE("with 64 heads of V3.2's sizes the engine gives the reference's logits, given the same choices") {
  if (skip_without_hopper()) return;
  const AttentionModel model;
  const Ids ids = model.ids(300);
  for (const auto format : kFormats) {
    CAPTURE(static_cast<int>(format));
    CudaBackend backend(model.weights, {.pages = 16, .cache = format});
    const Decided found = decide(backend, ids);
    const ForwardTrace trace = following(found.decisions);
    const bool fp8 = format == CacheFormat::Fp8;
    ReferenceModel::Sequence sequence;
    const auto expected = ReferenceModel(model.weights, 512, {.fp8_latent = fp8, .fp8_indexer = fp8}).forward(sequence, ids, trace);
    const double error = relative_difference(found.logits, expected);
    MESSAGE((fp8 ? "FP8" : "bf16") << ": relative error " << error);
    // Plain bf16 activations; in FP8, values near the middle of two e4m3 numbers may go either way.
    CHECK(error <= (fp8 ? 0x1p-4 : 2e-2));
  }
}

TEST_CASE("prompts in one pass give the same logits in the form that is not absorbed, alone and together") {
  if (skip_without_hopper()) return;
  const AttentionModel model;
  const Ids ids = model.ids(300);
  const auto vocab = static_cast<std::size_t>(model.weights.config.vocab);
  REQUIRE(model.weights.config.index_topk == 128);
  for (const auto format : kFormats) {
    CAPTURE(static_cast<int>(format));
    CudaBackend absorbed(model.weights, {.pages = 16, .cache = format, .masked_from = 0}), masked(model.weights, {.pages = 16, .cache = format, .masked_from = 16});
    const std::vector<std::span<const std::int32_t>> prompts = {std::span(ids).first(128), std::span(ids).subspan(128, 1), std::span(ids).subspan(129, 70), std::span(ids).subspan(199, 101)};
    std::vector<SequenceRun> runs;
    std::vector<SequenceStep> steps;
    for (std::size_t i = 0; i < prompts.size(); ++i) runs.push_back({masked, pages_from(static_cast<int>(2 * i), 2)});
    for (std::size_t i = 0; i < prompts.size(); ++i) steps.push_back(runs[i].step(prompts[i], LogitsOf::All));
    const auto rows = masked.forward(steps);
    // Both forms round to bf16, in different places; what the next layer's FP8 cache holds may then go either way.
    const double bound = format == CacheFormat::Fp8 ? 0x1p-4 : 1e-2;
    std::size_t at = 0;
    for (const auto& prompt : prompts) {
      CAPTURE(prompt.size());
      const auto expected = SequenceRun{absorbed, pages_from(0, 2)}.forward(prompt);
      const double error = relative_difference(rows.subspan(at, prompt.size() * vocab), expected);
      MESSAGE("relative difference " << error);
      CHECK((error > 0 || prompt.size() == 1));  // the other form did run; of a single key it gives the same
      CHECK(error <= bound);
      at += prompt.size() * vocab;
    }
    // The cache is the same, so decoding goes on from either.
    const auto next = std::span(ids).first(1);
    SequenceRun other{absorbed, pages_from(0, 2)};
    other.forward(prompts[2], LogitsOf::None);
    CHECK(relative_difference(runs[2].forward(next), other.forward(next)) <= bound);
  }
}

TEST_CASE("queries in FP8 change logits as little as three bits of mantissa do, in passes of 64 tokens or more") {
  if (skip_without_hopper()) return;
  const AttentionModel model;
  const Ids ids = model.ids(300);
  REQUIRE(model.weights.config.index_topk == 128);
  CudaBackend wide(model.weights, {.pages = 16, .cache = CacheFormat::Fp8, .masked_from = 0}), narrow(model.weights, {.pages = 16, .cache = CacheFormat::Fp8, .masked_from = 0, .fp8_queries = true});
  const auto prompt = std::span(ids).first(128), few = std::span(ids).first(kFp8QueryTokens - 1);
  CHECK(SequenceRun{narrow, pages_from(0, 8)}.forward(few) == SequenceRun{wide, pages_from(0, 8)}.forward(few));
  // Up to index_topk positions nothing is chosen, so nothing else goes another way.
  const auto expected = SequenceRun{wide, pages_from(0, 8)}.forward(prompt);
  const auto found = SequenceRun{narrow, pages_from(0, 8)}.forward(prompt);
  const double error = relative_difference(found, expected);
  MESSAGE("relative difference " << error);
  CHECK(error > 0);
  CHECK(error <= 0x1p-4);
  const auto longer = SequenceRun{narrow, pages_from(0, 8)}.forward(ids);
  for (int i = 0; i < 5; ++i) REQUIRE(SequenceRun{narrow, pages_from(i, 8)}.forward(ids) == longer);
  CHECK(narrow.describe().find("queries in FP8 from 64 tokens on") != std::string::npos);
  CHECK_THROWS_AS(CudaBackend(model.weights, {.pages = 16, .fp8_queries = true}), Error);
  CHECK_THROWS_AS(CudaBackend(model.weights, {.pages = 16, .cache = CacheFormat::Fp8, .batch_invariant = true, .fp8_queries = true}), Error);
}

TEST_CASE("with V3.2's sizes a row's bits depend on nothing else if asked for, and never on the run") {
  if (skip_without_hopper()) return;
  const AttentionModel model;
  const Ids ids = model.ids(300);
  for (const auto format : kFormats) {
    CAPTURE(static_cast<int>(format));
    CudaBackend invariant(model.weights, {.pages = 32, .cache = format, .batch_invariant = true}), fastest(model.weights, {.pages = 32, .cache = format});
    const auto whole = SequenceRun{invariant, pages_from(0, 8)}.forward(ids);
    for (const std::size_t chunk : {1UL, 7UL, 100UL}) {
      CAPTURE(chunk);
      SequenceRun run{invariant, {31, 4, 17, 9, 22, 10, 11, 12}};
      std::vector<float> pieces;
      for (std::size_t at = 0; at < ids.size(); at += chunk) {
        const auto part = run.forward(std::span(ids).subspan(at, std::min(chunk, ids.size() - at)));
        pieces.insert(pieces.end(), part.begin(), part.end());
      }
      REQUIRE(pieces == whole);
    }
    const auto first = SequenceRun{fastest, pages_from(0, 8)}.forward(ids);
    for (int i = 0; i < 20; ++i) REQUIRE(SequenceRun{fastest, pages_from(i % 8, 8)}.forward(ids) == first);
  }
}

}  // namespace
}  // namespace gauntlet
