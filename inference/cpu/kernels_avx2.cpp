#include <immintrin.h>

#include "inference/cpu/kernel_tables.h"
#include "inference/cpu/simd_kernels.h"

namespace gauntlet {
namespace {

struct Avx2 {
  static constexpr int kTokens = 3, kPanels = 2;
  static constexpr int kTokens8 = 1, kPanels8 = 2;
  static constexpr int kHeads = 1, kRows = 4;

  /// Even and odd bytes apart, as pairs of 16 bits: no product of two can overflow there.
  [[gnu::always_inline]] static simd::Integers dot4(simd::Integers acc, simd::Words w, std::int32_t x) {
    const __m256i values = _mm256_set1_epi32(x), low = _mm256_set1_epi16(0xff);
    const __m256i x_even = _mm256_srai_epi16(_mm256_slli_epi16(values, 8), 8), x_odd = _mm256_srai_epi16(values, 8);
    __m256i half[2], sums[2];
    __builtin_memcpy(half, &w, sizeof w);
    for (int i = 0; i < 2; ++i) sums[i] = _mm256_add_epi32(_mm256_madd_epi16(_mm256_and_si256(half[i], low), x_even), _mm256_madd_epi16(_mm256_srli_epi16(half[i], 8), x_odd));
    simd::Integers both;
    __builtin_memcpy(&both, sums, sizeof both);
    return acc + both;
  }
  [[gnu::always_inline]] static void narrow(simd::Integers v, std::int8_t* out) {
    for (int i = 0; i < 16; ++i) out[i] = static_cast<std::int8_t>(v[i]);
  }
};

constexpr CpuKernels kTable = simd::Kernels<Avx2>::table(Isa::Avx2);

}  // namespace

const CpuKernels& avx2_kernels() { return kTable; }

}  // namespace gauntlet
