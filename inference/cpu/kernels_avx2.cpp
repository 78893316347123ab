#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Avx2 {
  static constexpr int kTokens = 3;
  static constexpr int kPanels = 2;
};

constexpr CpuKernels kTable = simd::Kernels<Avx2>::table(Isa::Avx2);

}  // namespace

const CpuKernels& avx2_kernels() { return kTable; }

}  // namespace gauntlet
