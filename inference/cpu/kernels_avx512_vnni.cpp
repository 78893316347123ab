#include <immintrin.h>

#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Avx512Vnni {
  static constexpr int kTokens = 6, kPanels = 4;
  static constexpr int kTokens8 = 3, kPanels8 = 4;
  static constexpr int kHeads = 6, kRows = 4;

  [[gnu::always_inline]] static simd::Integers dot4(simd::Integers acc, simd::Words w, std::int32_t x) {
    return reinterpret_cast<simd::Integers>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(w), _mm512_set1_epi32(x)));
  }
  [[gnu::always_inline]] static void narrow(simd::Integers v, std::int8_t* out) { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v))); }
};

constexpr CpuKernels kTable = simd::Kernels<Avx512Vnni>::table(Isa::Avx512Vnni);

}  // namespace

const CpuKernels& avx512_vnni_kernels() { return kTable; }

}  // namespace gauntlet
