#include "cli/model_command.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/model_bench_command.h"
#include "inference/backend_case.h"
#include "inference/cuda/make_cuda_backend.h"
#include "inference/golden_case.h"
#include "inference/sample_checkpoint.h"
#include "test_paths.h"

namespace gauntlet {
namespace {

using sample::error_of;
using sample::ScratchFolder;

std::string golden_folder(const std::string& name) { return std::string(kTestData) + "/golden/models/" + name; }

std::string id_file(const ScratchFolder& folder, std::span<const std::int32_t> ids) { return folder.write("ids.json", dump_json(Json(std::vector<std::int32_t>(ids.begin(), ids.end())))); }

template <class T>
std::vector<T> values(const Checkpoint& file, const std::string& name) {
  const Tensor* tensor = file.find(name);
  REQUIRE(tensor != nullptr);
  std::vector<T> out(static_cast<std::size_t>(tensor->elements()));
  std::memcpy(out.data(), tensor->data.data(), tensor->data.size());
  return out;
}

/// A golden checkpoint's folder with some of its config changed.
void copy_with(const ScratchFolder& folder, const std::string& name, const std::string& key, const Json& value) {
  std::filesystem::create_symlink(golden_folder(name) + "/model.safetensors", folder.file("model.safetensors"));
  Json config = read_json_file(golden_folder(name) + "/config.json");
  config[key] = value;
  folder.write("config.json", dump_json(config));
}

TEST_CASE("model logits writes logits and chosen positions equal to those of an independent implementation") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const ScratchFolder folder;
    run_model_logits({.model = {.folder = golden_folder(name)}, .ids = id_file(folder, golden.ids), .out = folder.file("out.safetensors")});
    const Checkpoint out(folder.file("out.safetensors"));
    const ModelConfig& config = golden.weights.config;
    const auto tokens = static_cast<std::int64_t>(golden.ids.size());
    REQUIRE(out.find("logits") != nullptr);
    CHECK(out.find("logits")->shape == std::vector<std::int64_t>{tokens, config.vocab});
    const auto logits = values<float>(out, "logits"), last = golden.floats("logits"), first = golden.floats("logits_first");
    CHECK(largest_difference(std::span(logits).last(last.size()), last) < 2e-4f);
    CHECK(largest_difference(std::span(logits).first(first.size()), first) < 2e-4f);
    if (!config.has_indexer()) {
      CHECK(out.tensors().size() == 1);
      continue;
    }
    CHECK(out.tensors().size() == 1 + static_cast<std::size_t>(config.layers));
    const auto k = static_cast<std::size_t>(config.index_topk);
    for (int layer = 0; layer < config.layers; ++layer) {
      const std::string tensor = "selected." + std::to_string(layer);
      REQUIRE(out.find(tensor) != nullptr);
      CHECK(out.find(tensor)->dtype == DType::I32);
      CHECK(out.find(tensor)->shape == std::vector<std::int64_t>{tokens, config.index_topk});
      const auto ours = values<std::int32_t>(out, tensor);
      const auto theirs = golden.integers(tensor);
      std::size_t same = 0, rows = 0;
      for (std::size_t t = 0; t < golden.ids.size(); ++t, ++rows) {
        const std::size_t count = std::min(t + 1, k);
        const auto row = std::span(ours).subspan(t * k, k);
        REQUIRE(std::is_sorted(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(count)));
        REQUIRE(std::adjacent_find(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(count)) == row.begin() + static_cast<std::ptrdiff_t>(count));
        REQUIRE(row[0] >= 0);
        REQUIRE(row[count - 1] <= static_cast<std::int32_t>(t));
        REQUIRE(std::all_of(row.begin() + static_cast<std::ptrdiff_t>(count), row.end(), [](std::int32_t p) { return p == -1; }));
        std::vector<std::int32_t> expected;
        for (const auto p : std::span(theirs).subspan(t * k, k)) {
          if (p >= 0 && p <= static_cast<std::int32_t>(t)) expected.push_back(p);
        }
        std::sort(expected.begin(), expected.end());
        same += std::equal(expected.begin(), expected.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(count));
      }
      // Rows may differ only where scores tie at the cut to within float rounding; the model's own test looks at those scores.
      CHECK(same * 100 >= rows * 98);
    }
  }
}

TEST_CASE("model generate continues as an independent implementation does") {
  for (const auto& name : kGoldenCases) {
    CAPTURE(name);
    const GoldenCase golden = load_golden_case(name);
    const ScratchFolder folder;
    const auto ids = generate_ids({.model = {.folder = golden_folder(name)}, .ids = id_file(folder, std::span(golden.ids).first(golden.greedy_prompt)), .max_new = static_cast<std::int64_t>(golden.greedy.size())});
    CHECK(ids == golden.greedy);
  }
}

TEST_CASE("generation ends after an end-of-text id, unless it is to be ignored") {
  const GoldenCase golden = load_golden_case("v32-tiny");
  const ScratchFolder folder;
  copy_with(folder, "v32-tiny", "eos_token_id", Json::array({511, golden.greedy[3]}));
  ModelGenerateOptions options{.model = {.folder = folder.path()}, .ids = id_file(folder, std::span(golden.ids).first(golden.greedy_prompt)), .max_new = 8};
  CHECK(generate_ids(options) == std::vector<std::int32_t>(golden.greedy.begin(), golden.greedy.begin() + 4));
  options.ignore_eos = true;
  CHECK(generate_ids(options) == std::vector<std::int32_t>(golden.greedy.begin(), golden.greedy.begin() + 8));
  options.max_new = 0;
  CHECK(generate_ids(options).empty());
}

TEST_CASE("model info counts parameters, active ones, bytes and cache") {
  const std::string folder = golden_folder("v32-mid");
  const Json info = describe_model(folder);
  const Checkpoint checkpoint(folder);
  std::int64_t total = 0, experts = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    total += tensor.elements();
    if (name.find(".experts.") != std::string::npos) experts += tensor.elements();
  }
  CHECK(info.at("architecture") == "deepseek_v32");
  CHECK(info.at("layers") == 4);
  CHECK(info.at("parameters") == total);
  // 4 of 16 experts, and one of the embedding's 1,024 rows.
  CHECK(info.at("active_parameters") == total - experts * 12 / 16 - 1023 * 256);
  CHECK(info.at("bytes_on_disk") == std::filesystem::file_size(folder + "/model.safetensors"));
  CHECK(info.at("mtp").at("layers") == 0);
  CHECK(info.at("unused_tensors").empty());
  CHECK_FALSE(info.at("fp8_weights").get<bool>());
  // A layer: latent 128, rotary 16, indexer key 32.
  CHECK(info.at("cache_bytes_per_token").at("bf16") == 4 * 2 * (128 + 16 + 32));
  CHECK(info.at("cache_bytes_per_token").at("fp8") == 4 * (128 + 4 + 32 + 32 + 4));
  CHECK(info.at("cache").size() == 2);
  CHECK(info.at("cache")[0] == Json{{"context", 2048}, {"bf16", 2048 * 1408}, {"fp8", 2048 * 800}});
  CHECK(info.at("cache")[1].at("context") == 4096);
  const Json dense = describe_model(golden_folder("v3-dense-attention"));
  CHECK(dense.at("index_heads") == 0);
  CHECK(dense.at("cache_bytes_per_token").at("bf16") == 3 * 2 * (64 + 16));
}

TEST_CASE("unused tensors and the prediction layer are told") {
  const ScratchFolder folder;
  copy_with(folder, "v32-tiny", "num_hidden_layers", 2);  // the third layer's tensors are then extra
  const Json extra = describe_model(folder.path());
  CHECK(extra.at("mtp").at("layers") == 0);
  CHECK(extra.at("unused_tensors").size() > 10);
  Json config = read_json_file(folder.file("config.json"));
  config["num_nextn_predict_layers"] = 1;
  folder.write("config.json", dump_json(config));
  const Json mtp = describe_model(folder.path());
  CHECK(mtp.at("mtp").at("layers") == 1);
  CHECK(mtp.at("mtp").at("parameters").get<std::int64_t>() > 10'000);
  CHECK(mtp.at("unused_tensors").empty());
  CHECK(mtp.at("parameters") == extra.at("parameters"));
}

TEST_CASE("files of token ids are checked entry by entry") {
  const ScratchFolder folder;
  const ModelConfig config = load_model_config(golden_folder("v32-tiny"));
  const auto verdict = [&](const std::string& text) {
    folder.write("ids.json", text);
    return error_of([&] { read_token_ids(folder.file("ids.json"), config); }, folder.path());
  };
  CHECK(verdict("[0, 511]") == "");
  CHECK(read_token_ids(folder.file("ids.json"), config) == std::vector<std::int32_t>{0, 511});
  CHECK(verdict("[0, 512]") == "DIR/ids.json/1: found 512; accepted: ids from 0 to 511");
  CHECK(verdict("[-1]") == "DIR/ids.json/0: found -1; accepted: ids from 0 to 511");
  CHECK(verdict("[4294967296]") == "DIR/ids.json/0: found 4294967296; accepted: ids from 0 to 511");
  CHECK(verdict("[1.0]") == "DIR/ids.json/0: found 1.0; accepted: ids from 0 to 511");
  CHECK(verdict("[\"1\"]") == "DIR/ids.json/0: found \"1\"; accepted: ids from 0 to 511");
  CHECK(verdict("[[1]]") == "DIR/ids.json/0: found [1]; accepted: ids from 0 to 511");
  CHECK(verdict("[]") == "DIR/ids.json: expected an array with one token id or more, found []");
  CHECK(verdict("{\"ids\":[1]}") == "DIR/ids.json: expected an array with one token id or more, found {\"ids\":[1]}");
  CHECK(verdict("[1,").find("could not read DIR/ids.json as JSON: byte ") == 0);
  CHECK(verdict("").find("could not read DIR/ids.json as JSON: byte ") == 0);
  std::filesystem::remove(folder.file("ids.json"));
  CHECK(error_of([&] { read_token_ids(folder.file("ids.json"), config); }, folder.path()) == "could not open DIR/ids.json: No such file or directory");
}

TEST_CASE("what the commands cannot do is refused by name before anything is loaded") {
  const ScratchFolder folder;
  const std::vector<std::int32_t> one = {1};
  const ModelGenerateOptions good{.model = {.folder = golden_folder("v32-tiny")}, .ids = id_file(folder, one), .max_new = 1};
  CHECK(error_of([&] { generate_ids(good); }) == "");
  const auto with = [&](auto change) {
    ModelGenerateOptions options = good;
    change(options);
    return error_of([&] { generate_ids(options); }, folder.path());
  };
  CHECK(with([](auto& o) { o.model.device = "cuda"; o.model.dtype = "f32"; }) == "--dtype f32: not available on the device cuda; accepted: bf16, fp8 (bf16 arithmetic over an FP8 cache)");
  if (!find_cuda_device()) CHECK(with([](auto& o) { o.model.device = "cuda"; }).find("`--device cpu`") != std::string::npos);
  CHECK(with([](auto& o) { o.model.device = "tpu"; }) == "--device: found \"tpu\"; accepted: cpu, cuda");
  CHECK(with([](auto& o) { o.model.dtype = "bf16"; }) == "--dtype bf16: not available on the device cpu; accepted: f32");
  CHECK(with([](auto& o) { o.model.dtype = "fp8"; }) == "--dtype fp8: not available on the device cpu; accepted: f32");
  CHECK(with([](auto& o) { o.model.dtype = "int4"; }) == "--dtype: found \"int4\"; accepted: f32, bf16, fp8");
  CHECK(with([](auto& o) { o.max_new = -1; }) == "--max-new: found -1; accepted: whole numbers from 0");
  CHECK(with([](auto& o) { o.temperature = 0.7; }) == "--temperature: found 0.7; accepted: 0 (always the most likely token)");
  CHECK(with([](auto& o) { o.temperature = NAN; }).find("--temperature: found nan") == 0);
  CHECK(with([](auto& o) { o.max_new = 4096; }) == "the model has 4096 positions; found 1 ids and 4096 to come");
  CHECK(with([](auto& o) { o.max_new = std::numeric_limits<std::int64_t>::max(); }).find("the model has 4096 positions; found 1 ids and 9223372036854775807 to come") == 0);
  CHECK(with([&](auto& o) { o.model.folder = folder.file("none"); }) == "could not open DIR/none/config.json: No such file or directory");
  ModelLogitsOptions logits{.model = good.model, .ids = good.ids, .out = folder.file("none/out.safetensors")};
  CHECK(error_of([&] { run_model_logits(logits); }, folder.path()).find("could not write DIR/none/out.safetensors: ") == 0);
  logits.model.device = "abacus";
  CHECK(error_of([&] { run_model_logits(logits); }) == "--device: found \"abacus\"; accepted: cpu, cuda");
}

TEST_CASE("model logits replaces no file unless asked to, and never the one with its ids") {
  const ScratchFolder folder;
  const std::vector<std::int32_t> one = {1};
  ModelLogitsOptions options{.model = {.folder = golden_folder("v32-tiny")}, .ids = id_file(folder, one), .out = folder.write("out.safetensors", "kept")};
  const auto verdict = [&] { return error_of([&] { run_model_logits(options); }, folder.path()); };
  CHECK(verdict() == "--out: could not write DIR/out.safetensors: it exists already; choose another name, or give --overwrite");
  CHECK(read_text_file(folder.file("out.safetensors")) == "kept");
  options.overwrite = true;
  CHECK(verdict() == "");
  CHECK(Checkpoint(folder.file("out.safetensors")).find("logits") != nullptr);
  options.out = folder.path() + "/./ids.json";
  CHECK(verdict() == "--out: could not write DIR/./ids.json: it is the file of --ids; choose another name");
  CHECK(read_text_file(options.ids) == "[1]");
}

TEST_CASE("model random replaces no checkpoint unless asked to") {
  for (const std::string there : {"config.json", "model.safetensors"}) {
    CAPTURE(there);
    const ScratchFolder folder;
    folder.write(there, "kept");
    ModelRandomOptions options{.size = "tiny", .out = folder.path()};
    const auto verdict = [&] { return error_of([&] { run_model_random(options); }, folder.path()); };
    CHECK(verdict() == "--out: could not write DIR/" + there + ": it exists already; choose another name, or give --overwrite");
    CHECK(read_text_file(folder.file(there)) == "kept");
    options.overwrite = true;
    CHECK(verdict() == "");
    CHECK(describe_model(folder.path()).at("layers") == 2);
  }
  const ScratchFolder folder;
  CHECK(run_model_random({.size = "tiny", .out = folder.file("new")}) > 0);
}

TEST_CASE("a folder with a config but no weights, or with others' weights, is refused by name") {
  const ScratchFolder folder;
  std::filesystem::copy_file(golden_folder("v32-tiny") + "/config.json", folder.file("config.json"));
  CHECK(error_of([&] { describe_model(folder.path()); }, folder.path()) == "DIR: found neither model.safetensors nor model.safetensors.index.json");
  std::filesystem::create_symlink(golden_folder("v32-mid") + "/model.safetensors", folder.file("model.safetensors"));
  CHECK(error_of([&] { describe_model(folder.path()); }, folder.path()) == "tensor model.embed_tokens.weight: found BF16 [1024, 256]; accepted by this config: shape [512, 128]");
}

}  // namespace
}  // namespace gauntlet
