#include "inference/cpu/kernels.h"

#include "core/error.h"
#include "inference/cpu/kernel_tables.h"

namespace gauntlet {

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::Avx512Vnni: return "AVX-512 with VNNI";
    case Isa::Avx512: return "AVX-512";
    case Isa::Avx2: return "AVX2";
    case Isa::Baseline: break;
  }
  return "baseline";
}

Isa detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return __builtin_cpu_supports("avx512vnni") ? Isa::Avx512Vnni : Isa::Avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::Avx2;
#endif
  return Isa::Baseline;
}

const CpuKernels& cpu_kernels(Isa isa) {
  require(isa <= detect_isa(), ErrorKind::Usage, "this processor lacks " + std::string(isa_name(isa)));
#if defined(__x86_64__)
  if (isa == Isa::Avx512Vnni) return avx512_vnni_kernels();
  if (isa == Isa::Avx512) return avx512_kernels();
  if (isa == Isa::Avx2) return avx2_kernels();
#endif
  return baseline_kernels();
}

}  // namespace gauntlet
