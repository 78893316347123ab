#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Baseline {
  static constexpr int kTokens = 1, kPanels = 1;
  static constexpr int kTokens8 = 1, kPanels8 = 1;
  static constexpr int kHeads = 1, kRows = 1;

  [[gnu::always_inline]] static simd::Integers dot4(simd::Integers acc, simd::Words w, std::int32_t x) {
    for (int i = 0; i < 4; ++i) {
      const simd::Words byte = (w >> (8 * i)) & 0xffU;
      simd::Integers weight;
      __builtin_memcpy(&weight, &byte, sizeof weight);
      acc += weight * static_cast<std::int32_t>(static_cast<std::int8_t>(static_cast<std::uint32_t>(x) >> (8 * i)));
    }
    return acc;
  }
  [[gnu::always_inline]] static void narrow(simd::Integers v, std::int8_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = static_cast<std::int8_t>(v[i]);
  }
};

constexpr CpuKernels kTable = simd::Kernels<Baseline>::table(Isa::Baseline);

}  // namespace

const CpuKernels& baseline_kernels() { return kTable; }

}  // namespace gauntlet
