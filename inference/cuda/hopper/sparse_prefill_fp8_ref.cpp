#include <cmath>
#include <cstdint>
#include <vector>

#include "inference/cuda/hopper/sparse_prefill_fp8.h"

namespace gauntlet::kernels {

void sparse_prefill_fp8_ref(const SparsePrefillFp8Args& args) {
  constexpr std::size_t kLatent = 512, kRotary = 64, kWidth = kLatent + kRotary;
  SparseAttentionArgs attention = args.attention;
  const auto heads = static_cast<std::size_t>(attention.batch.tokens) * static_cast<std::size_t>(attention.heads);
  // e4m3 and bf16 values times a power of two: bf16 holds them.
  std::vector<Bf16> queries(heads * kWidth);
  for (std::size_t head = 0; head < heads; ++head) {
    const float scale = args.query_scales[head];
    for (std::size_t d = 0; d < kLatent; ++d) queries[head * kWidth + d] = to_bf16(to_float(Fp8{args.queries_fp8[head * kLatent + d]}) * scale);
    for (std::size_t d = 0; d < kRotary; ++d) queries[head * kWidth + kLatent + d] = to_bf16(to_float(args.query_rotary[head * kRotary + d]) * scale);
  }
  attention.queries = queries.data();
  sparse_attention_ref(attention);
}

}  // namespace gauntlet::kernels
