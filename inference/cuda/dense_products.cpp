#include "inference/cuda/dense_products.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <tuple>

#include "core/error.h"
#include "inference/cuda/cuda.h"

namespace gauntlet {
namespace {

/// The rows that algorithms are chosen for: between one token and a chunk of a prompt.
constexpr int kTypicalRows = 64;
constexpr std::size_t kWorkspaceBytes = 4 << 20;

void check(cublasStatus_t status, const char* what, std::source_location where = std::source_location::current()) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ErrorKind::Infrastructure, fmt::format("cuBLASLt: {} failed with status {}", what, static_cast<int>(status)), where);
}

struct Library {
  void* handle = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;

  template <class Function>
  void find(Function& into, const char* name) {
    into = reinterpret_cast<Function>(dlsym(handle, name));
    require(into != nullptr, ErrorKind::Infrastructure, fmt::format("cuBLASLt: the library has no function {}", name));
  }

  Library() {
    const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
    // Beside the toolkit's own folder, which is often not in the loader's path.
    for (const std::string& path : {name, "/usr/local/cuda/lib64/" + name}) {
      handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (handle != nullptr) break;
    }
    require(handle != nullptr, ErrorKind::Infrastructure, fmt::format("the CUDA backend needs {} (cuBLAS of CUDA {}), which could not be opened; install it or put its folder in LD_LIBRARY_PATH", name, CUBLAS_VER_MAJOR));
    find(create, "cublasLtCreate");
    find(destroy, "cublasLtDestroy");
    find(version, "cublasLtGetVersion");
    find(matmul, "cublasLtMatmul");
    find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(desc_create, "cublasLtMatmulDescCreate");
    find(desc_destroy, "cublasLtMatmulDescDestroy");
    find(desc_set, "cublasLtMatmulDescSetAttribute");
    find(layout_create, "cublasLtMatrixLayoutCreate");
    find(layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(layout_set, "cublasLtMatrixLayoutSetAttribute");
    find(preference_create, "cublasLtMatmulPreferenceCreate");
    find(preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(preference_set, "cublasLtMatmulPreferenceSetAttribute");
  }
  ~Library() {
    if (handle != nullptr) dlclose(handle);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
};

/// cuBLASLt's matrices are column-major: ours, transposed. So the weights are its left operand (transposed) and the rows are its columns.
struct Plan {
  const Library& lib;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t weights = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};

  Plan(const Library& library, cublasLtHandle_t handle, const ProductArgs& args) : lib(library) {
    check(lib.desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(lib.desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed), "describing a product");
    const auto outputs = static_cast<std::uint64_t>(args.outputs), inner = static_cast<std::uint64_t>(args.inner);
    check(lib.layout_create(&weights, CUDA_R_16BF, inner, outputs, args.inner), "describing the weights");
    check(lib.layout_create(&x, CUDA_R_16BF, inner, kTypicalRows, args.x_stride), "describing the rows");
    check(lib.layout_create(&y, args.output == ProductOutput::Bf16 ? CUDA_R_16BF : CUDA_R_32F, outputs, kTypicalRows, args.y_stride), "describing the result");
    if (args.batches > 1) {
      const std::int32_t count = args.batches;
      for (const auto& [layout, distance] : {std::pair{weights, args.weights_distance}, {x, args.x_distance}, {y, args.y_distance}}) {
        check(lib.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "describing a batch");
        check(lib.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &distance, sizeof distance), "describing a batch");
      }
    }
    cublasLtMatmulPreference_t preference = nullptr;
    check(lib.preference_create(&preference), "choosing an algorithm");
    const std::size_t workspace = kWorkspaceBytes;
    const std::uint32_t no_split = CUBLASLT_REDUCTION_SCHEME_NONE;
    lib.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    lib.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_split, sizeof no_split);
    const std::uint32_t alignment = 16;  // of activations, which lie at any token's row
    for (const auto side : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      lib.preference_set(preference, side, &alignment, sizeof alignment);
    }
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status = lib.heuristic(handle, desc, weights, x, y, y, preference, 1, &best, &found);
    lib.preference_destroy(preference);
    require(status == CUBLAS_STATUS_SUCCESS && found > 0, ErrorKind::Infrastructure,
            fmt::format("cuBLASLt has no algorithm for a product of {} × {} weights (status {})", args.outputs, args.inner, static_cast<int>(status)));
    algorithm = best.algo;
  }
  ~Plan() {
    if (y != nullptr) lib.layout_destroy(y);
    if (x != nullptr) lib.layout_destroy(x);
    if (weights != nullptr) lib.layout_destroy(weights);
    if (desc != nullptr) lib.desc_destroy(desc);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
};

using Key = std::array<std::int64_t, 9>;

}  // namespace

struct DenseProducts::Impl {
  Library lib;
  cublasLtHandle_t handle = nullptr;
  DeviceBuffer<std::byte> workspace{kWorkspaceBytes};
  std::map<Key, std::unique_ptr<Plan>> plans;

  Impl() { check(lib.create(&handle), "starting"); }
  ~Impl() {
    plans.clear();
    lib.destroy(handle);
  }
};

DenseProducts::DenseProducts() : impl_(std::make_unique<Impl>()) {}
DenseProducts::~DenseProducts() = default;

void DenseProducts::multiply(const ProductArgs& args, cudaStream_t stream) {
  if (args.rows == 0 || args.outputs == 0) return;
  const Key key = {args.outputs, args.inner, args.x_stride, args.y_stride, static_cast<std::int64_t>(args.output), args.batches, args.weights_distance, args.x_distance, args.y_distance};
  auto& plan = impl_->plans[key];
  if (!plan) plan = std::make_unique<Plan>(impl_->lib, impl_->handle, args);
  const auto columns = static_cast<std::uint64_t>(args.rows);
  check(impl_->lib.layout_set(plan->x, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns), "describing the rows");
  check(impl_->lib.layout_set(plan->y, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns), "describing the result");
  const float one = 1.0f, beta = args.output == ProductOutput::AddFloat ? 1.0f : 0.0f;
  check(impl_->lib.matmul(impl_->handle, plan->desc, &one, args.weights, plan->weights, args.x, plan->x, &beta, args.y, plan->y, args.y, plan->y, &plan->algorithm, impl_->workspace.data(), kWorkspaceBytes, stream), "a product");
}

std::string DenseProducts::version() const { return fmt::format("cuBLASLt {}", impl_->lib.version()); }

}  // namespace gauntlet
