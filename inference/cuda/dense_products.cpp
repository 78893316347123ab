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
/// More makes the library choose algorithms that are slower at the sizes of decoding (measured: twice the time of a V3.2 layer
/// with 32 MiB).
constexpr std::size_t kWorkspaceBytes = std::size_t{4} << 20;

void check(cublasStatus_t status, const char* what, std::source_location where = std::source_location::current()) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorKind::Infrastructure, fmt::format("cuBLASLt: {} failed with status {}", what, static_cast<int>(status)), where);
}

struct Library {
  void* handle = nullptr;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
  decltype(&cublasLtMatmulAlgoCheck) algo_check = nullptr;
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
    require(handle != nullptr, ErrorKind::Infrastructure,
            fmt::format("the CUDA backend needs {} (cuBLAS of CUDA {}), which could not be opened; install it or put its "
                        "folder in LD_LIBRARY_PATH",
                        name, CUBLAS_VER_MAJOR));
    find(create, "cublasLtCreate");
    find(destroy, "cublasLtDestroy");
    find(version, "cublasLtGetVersion");
    find(matmul, "cublasLtMatmul");
    find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(algo_check, "cublasLtMatmulAlgoCheck");
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

/// Bytes that every row and every problem of a batch is aligned to, up to 16.
std::uint32_t alignment_of(const ProductArgs& args) {
  const std::int64_t out = args.output == ProductOutput::Bf16 ? 2 : 4;
  std::int64_t bytes = 16;
  for (const std::int64_t step : {2 * args.x_stride, 2 * args.x_distance, 2 * args.weights_distance,
                                  2 * std::int64_t{args.transposed ? args.outputs : args.inner}, out * args.y_stride, out * args.y_distance}) {
    while (step % bytes != 0) bytes /= 2;
  }
  return static_cast<std::uint32_t>(bytes);
}

/// cuBLASLt's matrices are column-major: ours, transposed. So the weights are its left operand (transposed) and the rows are
/// its columns.
struct Plan {
  const Library& lib;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t weights = nullptr, x = nullptr, y = nullptr;
  cublasLtMatmulAlgo_t algorithm{};

  explicit Plan(const Library& library) : lib(library) {}

  void set_rows(int rows) {
    const auto columns = static_cast<std::uint64_t>(rows);
    check(lib.layout_set(x, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns), "describing the rows");
    check(lib.layout_set(y, CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof columns), "describing the result");
  }

  void make(cublasLtHandle_t handle, const ProductArgs& args, int most_rows) {
    check(lib.desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    const cublasOperation_t turned = args.transposed ? CUBLAS_OP_N : CUBLAS_OP_T;
    check(lib.desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &turned, sizeof turned), "describing a product");
    const auto outputs = static_cast<std::uint64_t>(args.outputs), inner = static_cast<std::uint64_t>(args.inner);
    check(args.transposed ? lib.layout_create(&weights, CUDA_R_16BF, outputs, inner, args.outputs) : lib.layout_create(&weights, CUDA_R_16BF, inner, outputs, args.inner), "describing the weights");
    check(lib.layout_create(&x, CUDA_R_16BF, inner, kTypicalRows, args.x_stride), "describing the rows");
    check(lib.layout_create(&y, args.output == ProductOutput::Bf16 ? CUDA_R_16BF : CUDA_R_32F, outputs, kTypicalRows,
                            args.y_stride),
          "describing the result");
    if (args.batches > 1) {
      const std::int32_t count = args.batches;
      for (const auto& [layout, distance] :
           {std::pair{weights, args.weights_distance}, {x, args.x_distance}, {y, args.y_distance}}) {
        check(lib.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count), "describing a batch");
        check(lib.layout_set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &distance, sizeof distance),
              "describing a batch");
      }
    }
    cublasLtMatmulPreference_t preference = nullptr;
    check(lib.preference_create(&preference), "choosing an algorithm");
    const std::size_t workspace = kWorkspaceBytes;
    const std::uint32_t no_split = CUBLASLT_REDUCTION_SCHEME_NONE;
    cublasStatus_t set = lib.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (set == CUBLAS_STATUS_SUCCESS)
      set = lib.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_split, sizeof no_split);
    const std::uint32_t alignment = alignment_of(args);
    for (const auto side : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      if (set == CUBLAS_STATUS_SUCCESS) set = lib.preference_set(preference, side, &alignment, sizeof alignment);
    }
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    const cublasStatus_t status =
        set != CUBLAS_STATUS_SUCCESS ? set : lib.heuristic(handle, desc, weights, x, y, y, preference, 1, &best, &found);
    lib.preference_destroy(preference);
    require(status == CUBLAS_STATUS_SUCCESS && found > 0, ErrorKind::Infrastructure,
            fmt::format("cuBLASLt has no algorithm for a product of {} × {} weights (status {})", args.outputs, args.inner,
                        static_cast<int>(status)));
    algorithm = best.algo;
    for (const int rows : {1, most_rows}) {
      set_rows(rows);
      cublasLtMatmulHeuristicResult_t result{};
      const cublasStatus_t fits = lib.algo_check(handle, desc, weights, x, y, y, &algorithm, &result);
      require(fits == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kWorkspaceBytes, ErrorKind::Infrastructure,
              fmt::format("cuBLASLt's algorithm for {} × {} weights does not take {} rows (status {})", args.outputs,
                          args.inner, rows, static_cast<int>(fits)));
    }
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

using Key = std::array<std::int64_t, 10>;

}  // namespace

struct DenseProducts::Impl {
  Library lib;
  cublasLtHandle_t handle = nullptr;
  DeviceBuffer<std::byte> workspace{kWorkspaceBytes};
  std::map<Key, std::unique_ptr<Plan>> plans;

  const int most_rows;

  explicit Impl(int rows) : most_rows(rows) { check(lib.create(&handle), "starting"); }
  ~Impl() {
    plans.clear();
    lib.destroy(handle);
  }
};

DenseProducts::DenseProducts(int most_rows) : impl_(std::make_unique<Impl>(most_rows)) {}
DenseProducts::~DenseProducts() = default;

void DenseProducts::multiply(const ProductArgs& args, cudaStream_t stream) {
  if (args.rows == 0 || args.outputs == 0) return;
  const Key key = {args.outputs,
                   args.inner,
                   args.x_stride,
                   args.y_stride,
                   static_cast<std::int64_t>(args.output),
                   args.batches,
                   args.weights_distance,
                   args.x_distance,
                   args.y_distance,
                   args.transposed ? 1 : 0};
  auto& plan = impl_->plans[key];
  if (!plan) {
    auto made = std::make_unique<Plan>(impl_->lib);
    made->make(impl_->handle, args, impl_->most_rows);
    plan = std::move(made);
  }
  plan->set_rows(args.rows);
  const float one = 1.0f, beta = args.output == ProductOutput::AddFloat ? 1.0f : 0.0f;
  check(impl_->lib.matmul(impl_->handle, plan->desc, &one, args.weights, plan->weights, args.x, plan->x, &beta, args.y, plan->y,
                          args.y, plan->y, &plan->algorithm, impl_->workspace.data(), kWorkspaceBytes, stream),
        "a product");
}

std::string DenseProducts::version() const { return fmt::format("cuBLASLt {}", impl_->lib.version()); }

}  // namespace gauntlet
