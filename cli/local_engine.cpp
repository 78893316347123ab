#include "cli/local_engine.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "agent/deepseek_format.h"
#include "core/error.h"
#include "core/json.h"
#include "core/sha256.h"
#include "inference/constraint/constraint.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/cuda/make_cuda_backend.h"
#include "inference/weights.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kMostDefaultTokens = 262'144;
constexpr std::int64_t kMostCudaTokens = 4'194'304;
/// Of one pass on CUDA: enough rows to fill the device, while activations stay small.
constexpr int kCudaPassTokens = 1024;

/// What the engine reads from; it must live as long as the engine does.
struct Loaded {
  Checkpoint checkpoint;
  ModelWeights weights;
  std::unique_ptr<Engine> engine;

  explicit Loaded(const std::string& folder) : checkpoint(folder), weights(bind_weights(load_model_config(folder), checkpoint)) {}
};

constexpr std::size_t kHashedWhole = std::size_t{256} << 20;  ///< bytes of weights; of larger ones samples are hashed
constexpr std::size_t kSampleBytes = 4096;
constexpr std::size_t kSamples = 16;

/// Tells one checkpoint from another: everything of small ones; of large ones names, shapes and samples of every tensor.
std::string checkpoint_hash(const std::string& folder, const Checkpoint& checkpoint) {
  std::string parts;
  for (const char* file : {"config.json", "tokenizer.json"}) parts += sha256_hex(read_text_file((std::filesystem::path(folder) / file).string()));
  const bool whole = checkpoint.bytes() <= kHashedWhole;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    parts += name + describe(tensor);
    if (whole || bytes.size() <= kSamples * kSampleBytes) {
      parts += sha256_hex(bytes);
      continue;
    }
    for (std::size_t i = 0; i < kSamples; ++i) parts += sha256_hex(bytes.substr((bytes.size() - kSampleBytes) / (kSamples - 1) * i, kSampleBytes));
  }
  return sha256_hex(parts);
}

std::int64_t default_cache_tokens(const ModelConfig& config) {
  const std::int64_t token_bytes = std::int64_t{config.layers} * (config.cache_dim() + config.index_dim) * static_cast<std::int64_t>(sizeof(float));
  const std::int64_t memory = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(::sysconf(_SC_PAGE_SIZE));
  return std::clamp<std::int64_t>(memory / 4 / token_bytes, kPageTokens, kMostDefaultTokens);
}

int pages_of(std::int64_t tokens) { return static_cast<int>(std::min<std::int64_t>(pages_for(tokens), 1 << 24)); }

/// What is left of the device's memory when weights and activations have taken theirs.
std::int64_t default_cuda_tokens(const CudaDevice& device, const ModelWeights& weights, CacheFormat format) {
  constexpr std::int64_t kActivationBytes = std::int64_t{3} << 30;
  const std::int64_t weight_bytes = 2 * static_cast<std::int64_t>(weights.parameters), room = device.free_bytes - weight_bytes - kActivationBytes;
  if (room <= 0) {
    fail(ErrorKind::Infrastructure, fmt::format("the model does not fit {}: weights take {:.1f} GB and activations up to {:.1f} GB, and {:.1f} GB are free; `--device cpu` runs on the processor", device.name,
                                                static_cast<double>(weight_bytes) / 1e9, static_cast<double>(kActivationBytes) / 1e9, static_cast<double>(device.free_bytes) / 1e9));
  }
  return std::clamp<std::int64_t>(room / 10 * 8 / cache_bytes_per_token(weights.config, format), kPageTokens, kMostCudaTokens);
}

std::unique_ptr<Backend> make_backend(const LocalEngineOptions& options, const ModelWeights& weights) {
  const bool dense = options.attention == "dense";
  std::optional<CudaDevice> device;
  if (options.device == "cuda") device = need_cuda_device();
  if (options.device == "auto" && options.weights == "exact") device = find_cuda_device();  // 8-bit weights ask for the CPU
  if (device) {
    const CacheFormat format = options.cache == "fp8" ? CacheFormat::Fp8 : CacheFormat::Bf16;
    return make_cuda_backend(weights, {.pages = pages_of(options.cache_tokens > 0 ? options.cache_tokens : default_cuda_tokens(*device, weights, format)), .max_tokens = kCudaPassTokens, .cache = format, .dense_attention = dense, .batch_invariant = options.batch_invariant, .fp8_queries = options.queries == "fp8"});
  }
  require(options.cache == "bf16", ErrorKind::Usage, "--cache fp8: only on the device cuda; the CPU's cache is float32");
  require(options.queries == "bf16", ErrorKind::Usage, "--queries fp8: only on the device cuda");
  return std::make_unique<CpuBackend>(weights, CpuBackendOptions{.threads = options.threads, .format = options.weights == "int8" ? WeightFormat::Int8 : WeightFormat::Exact, .pages = pages_of(options.cache_tokens > 0 ? options.cache_tokens : default_cache_tokens(weights.config)), .dense_attention = dense});
}

void check_options(const LocalEngineOptions& options) {
  const auto one_of = [](const char* name, const std::string& found, std::initializer_list<const char*> accepted) {
    if (std::find(accepted.begin(), accepted.end(), found) == accepted.end()) fail(ErrorKind::Usage, fmt::format("{}: found \"{}\"; accepted: {}", name, found, fmt::join(accepted, ", ")));
  };
  one_of("--device", options.device, {"auto", "cpu", "cuda"});
  one_of("--weights", options.weights, {"exact", "int8"});
  one_of("--cache", options.cache, {"bf16", "fp8"});
  one_of("--queries", options.queries, {"bf16", "fp8"});
  one_of("--attention", options.attention, {"sparse", "dense"});
  require(options.device != "cuda" || options.weights == "exact", ErrorKind::Usage, "--weights int8: not available on the device cuda; accepted: exact");
  require(options.cache_tokens >= 0, ErrorKind::Usage, fmt::format("--cache-tokens: found {}; accepted: 0 (chosen by the memory) or more", options.cache_tokens));
}

}  // namespace

void add_local_engine_options(CLI::App& command, LocalEngineOptions& options) {
  command.add_option("--device", options.device, "Where a model that runs here runs: cpu, cuda, or auto (CUDA where there is a device)")->type_name("DEVICE")->capture_default_str();
  command.add_option("--threads", options.threads, "Threads of a model on the CPU; 0: one for each core")->type_name("N")->capture_default_str();
  command.add_option("--cache-tokens", options.cache_tokens,
                     "Tokens that the model's cache holds, over all sequences; 0: by the memory. If fewer than the model has positions, its context is so long")
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--weights", options.weights, "Weights on the CPU: exact, or int8 (8 bits, half the memory)")->type_name("FORM")->capture_default_str();
  command.add_option("--cache", options.cache, "Cache on CUDA: bf16, or fp8 (half the memory)")->type_name("FORMAT")->capture_default_str();
  command.add_option("--queries", options.queries, "Attention's queries on Hopper, for models of DeepSeek-V3.2's size over an FP8 cache: bf16, or fp8 in passes of 64 tokens or more, padding counted (docs/engine.md)")->type_name("FORMAT")->capture_default_str();
  command.add_option("--attention", options.attention, "sparse: to the positions that the checkpoint's indexer chooses; dense: to all, with the same weights")->type_name("KIND")->capture_default_str();
  command.add_flag("--batch-invariant", options.batch_invariant, "Results to the bit the same whatever else is in the batch, also for the models of DeepSeek-V3.2's size on Hopper, which this slows down (others always are)");
  command.add_flag("--constrain-calls", options.constrain_calls, "Keep the model to the grammar of its tools: every call is well formed and satisfies its tool's schema");
}

bool is_model_folder(const std::string& path) { return std::filesystem::exists(std::filesystem::path(path) / "config.json"); }

LocalEngine load_local_engine(const LocalEngineOptions& options) {
  check_options(options);
  const auto tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(options.folder));
  auto loaded = std::make_shared<Loaded>(options.folder);
  auto backend = make_backend(options, loaded->weights);
  const int chunk = std::min(backend->max_tokens(), std::max(EngineOptions{}.chunk_tokens, backend->max_tokens() / 2));
  loaded->engine = std::make_unique<Engine>(std::move(backend), EngineOptions{.max_running = options.max_running, .chunk_tokens = chunk});
  const auto folder_name = std::filesystem::weakly_canonical(options.folder).filename().string();
  const std::string name = folder_name.empty() ? options.folder : folder_name;
  auto codec = std::make_shared<ChatCodec>(name, loaded->weights.config.vocab, tokenizer, std::make_shared<const DeepseekFormat>());
  // One owner for all: the engine's pointer keeps the weights.
  return {.name = name, .engine = std::shared_ptr<Engine>(loaded, loaded->engine.get()), .codec = std::move(codec), .tokenizer = tokenizer, .checkpoint = std::shared_ptr<const Checkpoint>(loaded, &loaded->checkpoint)};
}

std::unique_ptr<LocalModel> load_local_model(const LocalEngineOptions& options) {
  LocalEngine local = load_local_engine(options);
  auto model = std::make_unique<LocalModel>(local.name, checkpoint_hash(options.folder, *local.checkpoint), local.engine, local.codec);
  if (options.constrain_calls) model->constrain_calls(std::make_shared<ConstraintFactory>(local.tokenizer));
  return model;
}

}  // namespace gauntlet
