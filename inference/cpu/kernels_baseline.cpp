#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Baseline {
  static constexpr int kTokens = 1;
  static constexpr int kPanels = 1;
};

constexpr CpuKernels kTable = simd::Kernels<Baseline>::table(Isa::Baseline);

}  // namespace

const CpuKernels& baseline_kernels() { return kTable; }

}  // namespace gauntlet
