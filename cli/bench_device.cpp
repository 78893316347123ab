#include "cli/bench_device.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

#include "core/error.h"
#include "inference/cpu/cpu_backend.h"
#include "inference/cpu/read_rate.h"
#include "inference/cuda/make_cuda_backend.h"

namespace gauntlet {
namespace {

/// "AMD EPYC", as /proc/cpuinfo has it.
std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown processor";
}

/// The backend and what it reads from.
struct CpuModel {
  Checkpoint checkpoint;
  ModelWeights weights;
  CpuBackend backend;

  CpuModel(const BenchDeviceOptions& options, const CpuBackendOptions& cpu) : checkpoint(options.folder), weights(bind_weights(load_model_config(options.folder), checkpoint)), backend(weights, cpu) {}
};

/// Far more than the device's caches, and little beside weights.
constexpr std::size_t kMostCopied = std::size_t{1} << 30;

/// Tokens of a pass: so many positions does DeepSeek-V3.2 choose, so a prompt that needs no choice is one pass.
constexpr int kMostPass = 2048;

BenchDevice open_cuda(const BenchDeviceOptions& options) {
  const CudaDevice device = need_cuda_device();
  const Checkpoint checkpoint(options.folder);
  const ModelWeights weights = bind_weights(load_model_config(options.folder), checkpoint);
  auto backend = make_cuda_backend(weights, {.pages = options.pages, .max_tokens = kMostPass, .cache = options.cache == "fp8" ? CacheFormat::Fp8 : CacheFormat::Bf16, .masked_from = options.masked_from, .fp8_queries = options.queries == "fp8"});
  const CudaBackend* cuda = backend.get();
  const StepFootprint footprint = cuda->footprint();
  return {.hardware = device.name,
          .threads = 0,
          .backend = std::move(backend),
          .footprint = footprint,
          .read_rate = [](std::size_t bytes) { return measure_cuda_copy_rate(std::min(bytes, kMostCopied)); },
          .experts_touched = nullptr,
          .busy_seconds = [cuda] { return 1e-3 * cuda->busy_ms(); }};
}

}  // namespace

BenchDevice open_bench_device(const BenchDeviceOptions& options) {
  require(options.device == "cpu" || options.device == "cuda", ErrorKind::Usage, fmt::format("--device: found \"{}\"; accepted: cpu, cuda", options.device));
  require(options.cache == "bf16" || options.cache == "fp8", ErrorKind::Usage, fmt::format("--cache: found \"{}\"; accepted: bf16, fp8", options.cache));
  require(options.weights == "exact" || options.weights == "int8", ErrorKind::Usage, fmt::format("--weights: found \"{}\"; accepted: exact, int8", options.weights));
  if (options.device == "cuda") {
    require(options.weights == "exact", ErrorKind::Usage, "--weights int8: not available on the device cuda; accepted: exact");
    return open_cuda(options);
  }
  require(options.cache == "bf16", ErrorKind::Usage, "--cache fp8: only on the device cuda; the CPU's cache is float32");
  require(options.queries == "bf16", ErrorKind::Usage, "--queries fp8: only on the device cuda");
  const auto model = std::make_shared<CpuModel>(options, CpuBackendOptions{.threads = options.threads, .format = options.weights == "int8" ? WeightFormat::Int8 : WeightFormat::Exact, .pages = options.pages});
  const auto pool = std::make_shared<ThreadPool>(model->backend.threads());
  return {.hardware = fmt::format("{}, {} cores", processor_name(), ::sysconf(_SC_NPROCESSORS_ONLN)),
          .threads = model->backend.threads(),
          .backend = std::shared_ptr<Backend>(model, &model->backend),
          .footprint = model->backend.footprint(),
          .read_rate = [pool](std::size_t bytes) { return measure_read_rate(cpu_kernels(detect_isa()), *pool, bytes); },
          .experts_touched = [model] { return model->backend.experts_touched(); }};
}

}  // namespace gauntlet
