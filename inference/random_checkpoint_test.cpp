#include "inference/random_checkpoint.h"

#include <doctest/doctest.h>

#include <cmath>

#include "inference/reference_model.h"
#include "inference/sample_checkpoint.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::ScratchFolder;

TEST_CASE("a random checkpoint is complete, reads back, and keeps its activations sane") {
  const ScratchFolder folder;
  const auto parameters = write_random_checkpoint("tiny", 3, folder.path());
  const Checkpoint checkpoint(folder.path());
  const ModelWeights weights = bind_weights(load_model_config(folder.path()), checkpoint);
  CHECK(static_cast<std::int64_t>(weights.parameters) == parameters);
  CHECK(weights.unused.empty());
  const ReferenceModel model(weights, 256);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 100; ++i) ids.push_back((i * 37) % 512);
  ReferenceModel::Sequence sequence;
  const auto logits = model.forward(sequence, ids);
  double squares = 0;
  for (const float v : logits) squares += double{v} * double{v};
  const double deviation = std::sqrt(squares / static_cast<double>(logits.size()));
  CHECK(deviation > 0.5);
  CHECK(deviation < 5.0);
}

TEST_CASE("size and seed decide a random checkpoint's bytes") {
  const ScratchFolder a, b, c;
  write_random_checkpoint("tiny", 3, a.path());
  write_random_checkpoint("tiny", 3, b.file("new/folder"));
  write_random_checkpoint("tiny", 4, c.path());
  const auto bytes = [](const std::string& path) { return read_text_file(path); };
  CHECK(bytes(a.file("model.safetensors")) == bytes(b.file("new/folder/model.safetensors")));
  CHECK(bytes(a.file("config.json")) == bytes(b.file("new/folder/config.json")));
  CHECK(bytes(a.file("model.safetensors")) != bytes(c.file("model.safetensors")));
}

TEST_CASE("every named size has a config that the loader accepts; other names are refused with the list") {
  for (const auto& size : random_sizes()) {
    CAPTURE(size.name);
    CHECK(parse_model_config(random_config(size.name), "config").has_indexer());
  }
  CHECK(error_of([] { random_config("huge"); }) == "--size: found \"huge\"; accepted: small, layer, attention, shard, tiny");
}

}  // namespace
}  // namespace gauntlet
