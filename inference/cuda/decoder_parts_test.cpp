// The engine on Hopper's kernels where a list of positions is cut into several parts, as in long contexts with few tokens in a pass: many heads and
// few, chosen positions and all, replayed graphs and plain launches.

#include <algorithm>
#include <string>

#include "inference/cuda/decided_case.h"
#include "inference/cuda/kernel_case.h"
#include "inference/random_checkpoint.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using kernels::skip_without_hopper;

constexpr int kChosen = 1024, kLong = 3000, kShort = 900, kSteps = 12;

std::string written(const sample::ScratchFolder& folder, const char* size) {
  write_random_checkpoint(size, 1, folder.path());
  return folder.path();
}

/// Two layers with V3.2's attention, and more positions chosen than fit one of the usual parts.
struct Model {
  sample::ScratchFolder folder;
  Checkpoint checkpoint;
  ModelWeights weights;

  explicit Model(const char* size) : checkpoint(written(folder, size)), weights(bind_weights(longer_lists(folder.path()), checkpoint)) {}

  static ModelConfig longer_lists(const std::string& path) {
    ModelConfig out = load_model_config(path);
    out.index_topk = kChosen;
    return out;
  }
};

Ids random_ids(int count, int vocab) {
  Rng rng(4);
  Ids out(static_cast<std::size_t>(count));
  for (auto& id : out) id = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab)));
  return out;
}

/// A long and a short sequence decode side by side, after prompts in passes of up to 2,048 tokens: logits of all steps.
std::vector<float> decode_two(const ModelWeights& weights, CudaBackendOptions options, std::span<const std::int32_t> ids) {
  options.pages = 80;
  options.max_tokens = 2048;
  CudaBackend backend(weights, options);
  SequenceRun a{backend, pages_from(0, 50)}, b{backend, pages_from(55, 20)};
  a.forward(ids.first(2048), LogitsOf::None);
  a.forward(ids.subspan(2048, kLong - 2048), LogitsOf::None);
  b.forward(ids.first(kShort), LogitsOf::None);
  std::vector<float> out;
  for (std::size_t i = 0; i < kSteps; ++i) {
    const std::vector<SequenceStep> steps = {a.step(ids.subspan(kLong + i, 1), LogitsOf::Last), b.step(ids.subspan(kShort + i, 1), LogitsOf::Last)};
    const auto rows = backend.forward(steps);
    out.insert(out.end(), rows.begin(), rows.end());
  }
  return out;
}

TEST_CASE("lists of several parts give the same bits in graphs and plain launches, and nearly the same cut otherwise") {
  if (skip_without_hopper()) return;
  for (const std::string size : {"attention", "shard"}) {
    const Model model(size.c_str());
    const Ids ids = random_ids(kLong + kSteps, model.weights.config.vocab);
    for (const auto format : {CacheFormat::Bf16, CacheFormat::Fp8}) {
      for (const bool dense : {false, true}) {
        CAPTURE(size);
        CAPTURE(static_cast<int>(format));
        CAPTURE(dense);
        const auto graphs = decode_two(model.weights, {.cache = format, .dense_attention = dense}, ids);
        const auto plain = decode_two(model.weights, {.cache = format, .graphs = false, .dense_attention = dense}, ids);
        // Graphs are made for contexts up to a round number. Lists of all positions are said to be so long, and may then be cut otherwise.
        if (!dense) REQUIRE(graphs == plain);
        const auto even = decode_two(model.weights, {.cache = format, .dense_attention = dense, .batch_invariant = true}, ids);
        REQUIRE(decode_two(model.weights, {.cache = format, .graphs = false, .dense_attention = dense, .batch_invariant = true}, ids) == even);
        const double difference = relative_difference(graphs, even);
        MESSAGE("relative difference to parts of one length: " << difference);
        // bf16's rounding; entries of an FP8 cache, and chosen positions near the cut, may go either way.
        CHECK(difference > 0);
        const double bound = dense && format == CacheFormat::Bf16 ? 2e-2 : 0x1p-3;
        CHECK(difference <= bound);
        CHECK(relative_difference(graphs, plain) <= bound);
      }
    }
  }
}

}  // namespace
}  // namespace gauntlet
