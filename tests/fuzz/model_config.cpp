// config.json: refused with Error(Input), or sizes that a model can have.

#include <string>

#include "check.h"
#include "core/error.h"
#include "core/json.h"
#include "inference/model_config.h"

namespace gauntlet {
namespace {

void read(std::string_view text) {
  try {
    const ModelConfig config = parse_model_config(parse_json(text, "fuzz"), "fuzz");
    promise(config.vocab > 0 && config.dim > 0 && config.layers > 0 && config.heads > 0 && config.kv_rank > 0 && config.max_positions > 0, "sizes are positive");
    promise(config.dense_layers >= 0 && config.dense_layers <= config.layers, "dense layers are some of the layers");
    promise(config.experts == 0 || (config.experts_per_token <= config.experts && config.experts % config.groups == 0), "experts make whole groups");
    promise(cache_bytes_per_token(config, CacheFormat::Bf16) > 0, "a token has a place in the cache");
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "a file is refused as input");
  }
}

}  // namespace
}  // namespace gauntlet

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  gauntlet::read({reinterpret_cast<const char*>(data), size});
  return 0;
}
