#include <immintrin.h>

#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Avx512 {
  static constexpr int kTokens = 6, kPanels = 4;
  static constexpr int kTokens8 = 3, kPanels8 = 4;
  static constexpr int kHeads = 6, kRows = 4;

  /// Even and odd bytes apart, as pairs of 16 bits: no product of two can overflow there.
  [[gnu::always_inline]] static simd::Integers dot4(simd::Integers acc, simd::Words w, std::int32_t x) {
    const auto weights = reinterpret_cast<__m512i>(w), values = _mm512_set1_epi32(x), low = _mm512_set1_epi16(0xff);
    const __m512i even = _mm512_madd_epi16(_mm512_and_si512(weights, low), _mm512_srai_epi16(_mm512_slli_epi16(values, 8), 8));
    const __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(weights, 8), _mm512_srai_epi16(values, 8));
    return acc + reinterpret_cast<simd::Integers>(even) + reinterpret_cast<simd::Integers>(odd);
  }
  [[gnu::always_inline]] static void narrow(simd::Integers v, std::int8_t* out) { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v))); }
};

constexpr CpuKernels kTable = simd::Kernels<Avx512>::table(Isa::Avx512);

}  // namespace

const CpuKernels& avx512_kernels() { return kTable; }

}  // namespace gauntlet
