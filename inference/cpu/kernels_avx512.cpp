#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Avx512 {
  static constexpr int kTokens = 6;
  static constexpr int kPanels = 4;
};

constexpr CpuKernels kTable = simd::Kernels<Avx512>::table(Isa::Avx512);

}  // namespace

const CpuKernels& avx512_kernels() { return kTable; }

}  // namespace gauntlet
