#include "cli/local_engine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "agent/deepseek_format.h"
#include "core/error.h"
#include "core/json.h"
#include "core/sha256.h"
#include "inference/constraint/constraint.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/weights.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kMostDefaultTokens = 262'144;

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

}  // namespace

bool is_model_folder(const std::string& path) { return std::filesystem::exists(std::filesystem::path(path) / "config.json"); }

LocalEngine load_local_engine(const LocalEngineOptions& options) {
  require(options.weights == "exact" || options.weights == "int8", ErrorKind::Usage, fmt::format("--weights: found \"{}\"; accepted: exact, int8", options.weights));
  require(options.cache_tokens >= 0, ErrorKind::Usage, fmt::format("--cache-tokens: found {}; accepted: 0 (chosen by the memory) or more", options.cache_tokens));
  const auto tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(options.folder));
  auto loaded = std::make_shared<Loaded>(options.folder);
  const std::int64_t tokens = options.cache_tokens > 0 ? options.cache_tokens : default_cache_tokens(loaded->weights.config);
  const int pages = static_cast<int>(std::min<std::int64_t>((tokens + kPageTokens - 1) / kPageTokens, 1 << 24));
  auto backend = std::make_unique<CpuBackend>(loaded->weights, CpuBackendOptions{.threads = options.threads, .format = options.weights == "int8" ? WeightFormat::Int8 : WeightFormat::Exact, .pages = pages});
  loaded->engine = std::make_unique<Engine>(std::move(backend), EngineOptions{.max_running = options.max_running});
  const auto folder_name = std::filesystem::weakly_canonical(options.folder).filename().string();
  const std::string name = folder_name.empty() ? options.folder : folder_name;
  auto codec = std::make_shared<ChatCodec>(name, loaded->weights.config.vocab, tokenizer, std::make_shared<const DeepseekFormat>());
  // One owner for both: the engine's pointer keeps the weights.
  return {.name = name, .engine = std::shared_ptr<Engine>(loaded, loaded->engine.get()), .codec = std::move(codec), .tokenizer = tokenizer};
}

std::unique_ptr<LocalModel> load_local_model(const LocalEngineOptions& options) {
  LocalEngine local = load_local_engine(options);
  auto model = std::make_unique<LocalModel>(local.name, checkpoint_hash(options.folder, Checkpoint(options.folder)), local.engine, local.codec);
  if (options.constrain_calls) model->constrain_calls(std::make_shared<ConstraintFactory>(local.tokenizer));
  return model;
}

}  // namespace gauntlet
