#include "inference/cuda/hopper/sparse_few_heads.h"

#include <algorithm>
#include <bit>

#include "inference/cuda/hopper/sparse_decode.h"  // join_attention_parts
#include "inference/cuda/hopper/sparse_few_heads.cuh"

namespace gauntlet::kernels {
namespace {

constexpr int kPartUnit = 64;

/// Heads of a block: 16 share the fetching of keys and more; 8 take less time where there are processors for all blocks. A head's bits are the same.
/// As many tiles are on their way as two blocks of a multiprocessor have room for.
template <CacheFormat kFormat>
void choose_heads(const SparseAttentionArgs& args, CudaStream stream) {
  constexpr bool kFp8 = kFormat == CacheFormat::Fp8;
  const std::int64_t blocks = static_cast<std::int64_t>(args.rows) * args.parts() * ((args.heads + 7) / 8);
  if (args.heads <= 8 || blocks <= multiprocessors()) return few_heads::launch<1, kFormat, kFp8 ? 4 : 2>(args, stream);
  few_heads::launch<2, kFormat, kFp8 ? 3 : 2>(args, stream);
}

}  // namespace

bool sparse_few_heads_takes(const SparseAttentionArgs& args) {
  return args.layout.latent == few_heads::kLatent && args.layout.rope == few_heads::kRope && args.heads >= 1 && args.heads <= 32 && args.queries_low == nullptr;
}

int few_heads_part(int rows, int longest) {
  // A block for each multiprocessor, and the number of parts a power of two, as clusters have it.
  const int most = rows > 4 ? kFewHeadsParts / 2 : kFewHeadsParts;
  const auto parts = static_cast<int>(std::bit_floor(static_cast<unsigned>(std::clamp(multiprocessors() / std::max(rows, 1), 1, most))));
  return std::max((longest + parts - 1) / parts + kPartUnit - 1, kPartUnit) / kPartUnit * kPartUnit;
}

void sparse_few_heads(const SparseAttentionArgs& args, CudaStream stream) {
  require(sparse_few_heads_takes(args), ErrorKind::Internal, "sparse_few_heads: sizes that it does not take");
  require(args.longest >= 0 && (args.chosen == nullptr || args.longest >= args.k), ErrorKind::Internal, "sparse_few_heads: lists longer than said");
  require(args.part >= kPartUnit && args.part % kPartUnit == 0, ErrorKind::Internal, "sparse_few_heads: a part must be a multiple of 64 positions");
  if (args.rows == 0) return;
  SparseAttentionArgs work = args;
  work.longest = std::max(args.longest, 1);  // one part at least, to write the rows without a list
  require(work.parts() <= 65535, ErrorKind::Internal, "sparse_few_heads: too many parts");
  require(work.parts() <= kFewHeadsParts || (args.part_out != nullptr && args.part_stats != nullptr), ErrorKind::Internal, "sparse_few_heads: no workspace for parts");
  if (args.layout.format == CacheFormat::Bf16) {
    choose_heads<CacheFormat::Bf16>(work, stream);
  } else {
    choose_heads<CacheFormat::Fp8>(work, stream);
  }
  if (work.parts() > kFewHeadsParts) join_attention_parts(work, stream);
}

}  // namespace gauntlet::kernels
