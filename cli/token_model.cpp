#include "cli/token_model.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/cuda/make_cuda_backend.h"

namespace gauntlet {
namespace {

/// One sequence on a backend of its own.
class BackendTokenModel final : public TokenModel {
 public:
  BackendTokenModel(std::unique_ptr<Checkpoint> checkpoint, std::unique_ptr<ModelWeights> weights, std::unique_ptr<Backend> backend)
      : checkpoint_(std::move(checkpoint)), weights_(std::move(weights)), backend_(std::move(backend)), pages_(static_cast<std::size_t>(backend_->cache().pages)) {
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  std::vector<float> forward(std::span<const std::int32_t> ids, const SelectionSink& selected) override {
    std::vector<float> out;
    const auto most = static_cast<std::size_t>(backend_->max_tokens());
    for (std::size_t at = 0; at < ids.size(); at += most) {
      const auto part = ids.subspan(at, std::min(most, ids.size() - at));
      Selections chosen;
      backend_->record_selections(selected ? &chosen : nullptr);
      const SequenceStep step{.ids = part, .start = length_, .pages = pages_, .logits = LogitsOf::All};
      const auto rows = backend_->forward({&step, 1});
      backend_->record_selections(nullptr);
      out.insert(out.end(), rows.begin(), rows.end());
      if (selected) report(chosen, part.size(), selected);
      length_ += static_cast<std::int64_t>(part.size());
    }
    return out;
  }

 private:
  void report(const Selections& chosen, std::size_t tokens, const SelectionSink& selected) const {
    const auto k = static_cast<std::size_t>(chosen.k);
    for (std::size_t layer = 0; layer < chosen.layers.size(); ++layer) {
      for (std::size_t t = 0; t < tokens && !chosen.layers[layer].empty(); ++t) {
        const auto row = std::span(chosen.layers[layer]).subspan(t * k, k);
        const auto end = std::find(row.begin(), row.end(), -1);
        selected(static_cast<int>(layer), length_ + static_cast<std::int64_t>(t), row.first(static_cast<std::size_t>(end - row.begin())));
      }
    }
  }

  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<ModelWeights> weights_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::int32_t> pages_;
  std::int64_t length_ = 0;
};

/// Refused here rather than by the kernel's out-of-memory killer. Weights are packed in bf16 where that is exact.
void check_memory(const ModelWeights& weights, const std::string& device) {
  if (device == "cuda") {
    const CudaDevice found = need_cuda_device();
    const double wanted = 2.0 * static_cast<double>(weights.parameters), free = static_cast<double>(found.free_bytes);
    require(wanted < free, ErrorKind::Infrastructure, fmt::format("the model's weights take {:.1f} GB; {} has {:.1f} GB free", wanted / 1e9, found.name, free / 1e9));
    return;
  }
  const double need = 2.0 * static_cast<double>(weights.parameters), have = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  require(need < have, ErrorKind::Infrastructure, fmt::format("the model's weights take {:.1f} GB; this machine has {:.1f} GB of memory", need / 1e9, have / 1e9));
}

}  // namespace

std::string resolved_dtype(const TokenModelOptions& options) {
  if (!options.dtype.empty()) return options.dtype;
  return options.device == "cuda" ? "bf16" : "f32";
}

void check_token_model(const TokenModelOptions& options) {
  require(options.device == "cpu" || options.device == "cuda", ErrorKind::Usage, fmt::format("--device: found \"{}\"; accepted: cpu, cuda", options.device));
  const std::string dtype = resolved_dtype(options);
  require(dtype == "f32" || dtype == "bf16" || dtype == "fp8", ErrorKind::Usage, fmt::format("--dtype: found \"{}\"; accepted: f32, bf16, fp8", dtype));
  if (options.device == "cpu") {
    require(dtype == "f32", ErrorKind::Usage, fmt::format("--dtype {}: not available on the device cpu; accepted: f32", dtype));
  } else {
    require(dtype != "f32", ErrorKind::Usage, "--dtype f32: not available on the device cuda; accepted: bf16, fp8 (bf16 arithmetic over an FP8 cache)");
  }
}

std::unique_ptr<TokenModel> make_token_model(const TokenModelOptions& options, const ModelConfig& config, std::int64_t positions) {
  check_token_model(options);
  auto checkpoint = std::make_unique<Checkpoint>(options.folder);
  auto weights = std::make_unique<ModelWeights>(bind_weights(config, *checkpoint));
  check_memory(*weights, options.device);
  const int pages = static_cast<int>(pages_for(positions));
  std::unique_ptr<Backend> backend;
  if (options.device == "cuda") {
    backend = make_cuda_backend(*weights, {.pages = pages, .cache = resolved_dtype(options) == "fp8" ? CacheFormat::Fp8 : CacheFormat::Bf16});
  } else {
    backend = std::make_unique<CpuBackend>(*weights, CpuBackendOptions{.pages = pages});
  }
  return std::make_unique<BackendTokenModel>(std::move(checkpoint), std::move(weights), std::move(backend));
}

}  // namespace gauntlet
