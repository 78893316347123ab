#include "cli/token_model.h"

#include <fmt/format.h>
#include <unistd.h>

#include "core/error.h"
#include "inference/reference_model.h"

namespace gauntlet {
namespace {

class ReferenceTokenModel final : public TokenModel {
 public:
  ReferenceTokenModel(const ModelWeights& weights, std::int64_t positions) : model_(weights, positions) {}

  std::vector<float> forward(std::span<const std::int32_t> ids, const SelectionSink& selected) override {
    ForwardTrace trace;
    if (selected) trace.selected = [&](int layer, std::int64_t position, std::span<const std::int32_t> chosen, std::span<const float>) { selected(layer, position, chosen); };
    return model_.forward(sequence_, ids, trace);
  }

 private:
  ReferenceModel model_;
  ReferenceModel::Sequence sequence_;
};

/// Refused here rather than by the kernel's out-of-memory killer.
void check_memory(const ModelWeights& weights) {
  const double need = 4.0 * static_cast<double>(weights.parameters), have = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  require(need < have, ErrorKind::Infrastructure, fmt::format("the model's weights take {:.1f} GB as float32; this machine has {:.1f} GB of memory", need / 1e9, have / 1e9));
}

}  // namespace

void check_token_model(const TokenModelOptions& options) {
  require(options.device == "cpu" || options.device == "cuda", ErrorKind::Usage, fmt::format("--device: found \"{}\"; accepted: cpu, cuda", options.device));
  require(options.device == "cpu", ErrorKind::Usage, "--device cuda: this build has no CUDA backend; accepted: cpu");
  const bool known = options.dtype == "f32" || options.dtype == "bf16" || options.dtype == "fp8";
  require(known, ErrorKind::Usage, fmt::format("--dtype: found \"{}\"; accepted: f32, bf16, fp8", options.dtype));
  require(options.dtype == "f32", ErrorKind::Usage, fmt::format("--dtype {}: not available on the device cpu; accepted: f32", options.dtype));
}

std::unique_ptr<TokenModel> make_token_model(const TokenModelOptions& options, const ModelConfig& config, std::int64_t positions) {
  check_token_model(options);
  const Checkpoint checkpoint(options.folder);
  const ModelWeights weights = bind_weights(config, checkpoint);
  check_memory(weights);
  return std::make_unique<ReferenceTokenModel>(weights, positions);
}

}  // namespace gauntlet
