#pragma once

// A checkpoint folder made ready to play: weights, engine, tokenizer, chat format.

#include <memory>
#include <string>

#include "inference/local_model.h"
#include "inference/safetensors.h"

namespace CLI {
class App;
}

namespace gauntlet {

struct LocalEngineOptions {
  std::string folder;              ///< config.json, safetensors, tokenizer.json
  std::string device = "auto";     ///< cpu, cuda, or auto: CUDA where there is a device
  int threads = 0;                 ///< of the CPU; 0: one for each core
  std::int64_t cache_tokens = 0;   ///< tokens that the cache holds, over all sequences; 0: on the CPU what a quarter of the memory takes, at most 262,144; on CUDA what is free
  std::string weights = "exact";   ///< or int8 (CPU)
  std::string cache = "bf16";      ///< or fp8 (CUDA; on the CPU the cache is float32)
  std::string attention = "sparse";  ///< or dense: to every position, whatever the indexer says
  std::string queries = "bf16";    ///< of sparse attention; or fp8: see CudaBackendOptions::fp8_queries
  bool batch_invariant = false;    ///< see CudaBackendOptions; on the CPU it is always so
  int max_running = 256;           ///< sequences in a batch
  bool constrain_calls = false;    ///< see LocalModel::constrain_calls
};

/// --device, --threads, --cache-tokens, --weights, --cache, --attention, --batch-invariant, --constrain-calls.
void add_local_engine_options(CLI::App& command, LocalEngineOptions& options);

/// True for a folder that has a config.json.
bool is_model_folder(const std::string& path);

struct LocalEngine {
  std::string name;                  ///< the folder's
  std::shared_ptr<Engine> engine;    ///< all shared by all that ask it
  std::shared_ptr<ChatCodec> codec;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const Checkpoint> checkpoint;
};

/// Both throw Error(Usage) for options that make no sense, Error(Input) for files that are not what they should be.
LocalEngine load_local_engine(const LocalEngineOptions& options);
std::unique_ptr<LocalModel> load_local_model(const LocalEngineOptions& options);

}  // namespace gauntlet
