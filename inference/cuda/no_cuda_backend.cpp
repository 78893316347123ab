// Stands in for make_cuda_backend.cpp and cuda_backend.cpp where the program is built without CUDA.

#include "core/error.h"
#include "inference/cuda/make_cuda_backend.h"

namespace gauntlet {
namespace {

constexpr const char* kAbsent = "this program was built without CUDA; configure with -DGAUNTLET_CUDA=ON where nvcc is, or use `--device cpu`";

}  // namespace

struct CudaBackend::Impl {
  ModelConfig config;
};

std::optional<CudaDevice> find_cuda_device(std::string* why) {
  if (why != nullptr) *why = kAbsent;
  return std::nullopt;
}
CudaDevice need_cuda_device() { fail(ErrorKind::Infrastructure, kAbsent); }
double measure_cuda_copy_rate(std::size_t /*bytes*/) { fail(ErrorKind::Usage, kAbsent); }
std::unique_ptr<CudaBackend> make_cuda_backend(const ModelWeights& weights, const CudaBackendOptions& options) { return std::make_unique<CudaBackend>(weights, options); }

CudaBackend::CudaBackend(const ModelWeights& /*weights*/, const CudaBackendOptions& /*options*/) { fail(ErrorKind::Usage, kAbsent); }
CudaBackend::~CudaBackend() = default;
const ModelConfig& CudaBackend::config() const { return impl_->config; }
int CudaBackend::max_tokens() const { return 0; }
CacheSize CudaBackend::cache() const { return {}; }
std::span<const float> CudaBackend::forward(std::span<const SequenceStep> /*steps*/) { fail(ErrorKind::Usage, kAbsent); }
DrawnRows CudaBackend::forward_and_draw(std::span<const SequenceStep> /*steps*/, std::span<const RowWish> /*wishes*/) { fail(ErrorKind::Usage, kAbsent); }
void CudaBackend::copy_page(std::int32_t /*from*/, std::int32_t /*to*/) {}
void CudaBackend::record_selections(Selections* /*into*/) {}
std::string CudaBackend::describe() const { return "CUDA"; }
StepFootprint CudaBackend::footprint() const { return {}; }
double CudaBackend::busy_ms() const { return 0; }
void CudaBackend::poison_page(std::int32_t /*page*/) {}

}  // namespace gauntlet
