#include "inference/cuda/draw.h"

#include "inference/cuda/common.cuh"
#include "inference/cuda/launch.cuh"
#include "inference/token_mass.h"

namespace gauntlet::kernels {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kDigits = 256;
constexpr int kMostPieces = 128;

/// Sorts as the logits; -0 equals +0. 0 for what is never chosen: NaN and -infinity.
__device__ unsigned candidate_key(float logit) {
  if (!(logit > -INFINITY)) return 0;
  const unsigned bits = __float_as_uint(logit == 0.0f ? 0.0f : logit);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ float key_value(unsigned key) { return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key); }

struct Row {
  const float* logits = nullptr;
  int vocab = 0;

  /// NaN beyond the end.
  __device__ float at(int id) const { return id < vocab ? logits[id] : NAN; }
};

/// What stays: tokens with larger keys, and the first `ties`, by id, of those with this key.
struct Cut {
  unsigned key = 0;
  int ties = 0;
};

struct Shared {
  std::uint64_t sums[kWarps][kDigits];
  std::uint64_t scratch[32];
  std::uint64_t piece_mass[kMostPieces];
  int piece_ties[kMostPieces];
  std::uint64_t above;
  std::uint64_t wanted;
  unsigned prefix;
  int id;
};

__device__ std::uint64_t larger(std::uint64_t a, std::uint64_t b) { return a > b ? a : b; }
__device__ std::uint64_t sum_of(std::uint64_t a, std::uint64_t b) { return a + b; }

template <class Join>
__device__ std::uint64_t warp_join(std::uint64_t value, Join join) {
  for (int step = 16; step > 0; step /= 2) value = join(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}
/// In every thread. `join` has 0 as neutral element.
template <class Join>
__device__ std::uint64_t block_join(std::uint64_t value, std::uint64_t* scratch, Join join) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  value = warp_join(value, join);
  if (lane == 0) scratch[warp] = value;
  __syncthreads();
  value = warp_join(lane < kWarps ? scratch[lane] : 0, join);
  __syncthreads();
  return value;
}
__device__ std::uint64_t warp_prefix(std::uint64_t value) {
  for (int step = 1; step < 32; step *= 2) {
    const std::uint64_t left = __shfl_up_sync(kAllLanes, value, step);
    if (static_cast<int>(threadIdx.x) % 32 >= step) value += left;
  }
  return value;
}

/// Of what `before` left, the smallest set of best tokens whose weights reach target(total weight), which must lie in [1, total]. Finds the key
/// of the last one digit by digit, from sums of weights for each value of a digit. Warps sum apart, so no order of threads matters, and none
/// waits for another. weight(logit) is at most 2^40.
template <class Weight, class Target>
__device__ Cut narrow(const Row& row, Shared& shared, Cut before, Weight weight, Target target) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const std::uint64_t tie_weight = before.ties > 0 ? static_cast<std::uint64_t>(before.ties) * weight(key_value(before.key)) : 0;
  std::uint64_t prefix = 0, above = 0, wanted = 0;  // digits so far, in their places; weight of keys beyond them; target
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = thread; i < kWarps * kDigits; i += kThreads) shared.sums[i / kDigits][i % kDigits] = 0;
    __syncthreads();
    for (int base = warp * 32; base < row.vocab; base += kThreads) {
      const float value = row.at(base + lane);
      const std::uint64_t key = candidate_key(value);
      const bool here = key > before.key && key >> (shift + 8) == prefix >> (shift + 8);
      if (!__any_sync(kAllLanes, here)) continue;
      const unsigned digit = here ? static_cast<unsigned>(key >> shift) % kDigits : kDigits;
      const std::uint64_t mine = here ? weight(value) : 0;
      const unsigned peers = __match_any_sync(kAllLanes, digit);
      // In halves, so that sums of 32 stay below 2^32.
      const unsigned low = __reduce_add_sync(peers, static_cast<unsigned>(mine & 0xfffffU)), high = __reduce_add_sync(peers, static_cast<unsigned>(mine >> 20));
      if (here && lane == __ffs(static_cast<int>(peers)) - 1) shared.sums[warp][digit] += (static_cast<std::uint64_t>(high) << 20) + low;
      __syncwarp();
    }
    __syncthreads();
    if (thread < kDigits) {
      std::uint64_t total = 0;
      for (int w = 0; w < kWarps; ++w) total += shared.sums[w][thread];
      const bool tied = (before.key >> shift) % kDigits == static_cast<unsigned>(thread) && static_cast<std::uint64_t>(before.key) >> (shift + 8) == prefix >> (shift + 8);
      shared.sums[0][thread] = total + (tied ? tie_weight : 0);
    }
    __syncthreads();
    if (warp == 0) {  // lane l looks at digits 255 - 8 l and the seven below
      std::uint64_t own = 0;
      for (int j = 0; j < kDigits / 32; ++j) own += shared.sums[0][kDigits - 1 - lane * (kDigits / 32) - j];
      const std::uint64_t through = warp_prefix(own);
      if (shift == 24) wanted = target(__shfl_sync(kAllLanes, through, 31));
      std::uint64_t reached = above + through - own;
      if (reached < wanted && wanted <= reached + own) {  // true in one lane
        int digit = kDigits - 1 - lane * (kDigits / 32);
        while (reached + shared.sums[0][digit] < wanted) reached += shared.sums[0][digit--];
        shared.prefix = static_cast<unsigned>(prefix) | static_cast<unsigned>(digit) << shift;
        shared.above = reached;
        shared.wanted = wanted;
      }
    }
    __syncthreads();
    prefix = shared.prefix;
    above = shared.above;
    wanted = shared.wanted;
  }
  const auto key = static_cast<unsigned>(prefix);
  const std::uint64_t each = weight(key_value(key));
  return {.key = key, .ties = static_cast<int>((wanted - above + each - 1) / each)};
}

/// The first id with which the masses of what the cut leaves, tokens below `least` left out, exceed `uniform` of their sum.
template <class Mass>
__device__ int draw_id(const Row& row, Shared& shared, Cut cut, Mass mass, std::uint64_t least, double uniform) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const auto mass_of = [&](float value) {
    if (candidate_key(value) <= cut.key) return std::uint64_t{0};
    const std::uint64_t found = mass(value);
    return found < least ? std::uint64_t{0} : found;
  };
  const std::uint64_t tie = cut.ties > 0 && mass(key_value(cut.key)) >= least ? mass(key_value(cut.key)) : 0;

  // Pieces of the row, so that only one has to be looked at again.
  const int piece = ((row.vocab + kMostPieces - 1) / kMostPieces + 31) / 32 * 32, pieces = (row.vocab + piece - 1) / piece;
  for (int p = warp; p < pieces; p += kWarps) {
    std::uint64_t sum = 0;
    int ties = 0;
    for (int i = lane; i < piece; i += 32) {
      const float value = row.at(p * piece + i);
      sum += mass_of(value);
      ties += candidate_key(value) == cut.key ? 1 : 0;
    }
    sum = warp_join(sum, sum_of);
    ties = __reduce_add_sync(kAllLanes, ties);
    if (lane == 0) {
      shared.piece_mass[p] = sum;
      shared.piece_ties[p] = ties;
    }
  }
  __syncthreads();
  if (warp == 0) {
    std::uint64_t total = static_cast<std::uint64_t>(cut.ties) * tie;
    for (int p = 0; p < pieces; ++p) total += shared.piece_mass[p];
    const std::uint64_t drawn = mass_drawn(uniform, total);
    std::uint64_t reached = 0;
    int p = 0, ties_left = cut.ties;
    for (; p + 1 < pieces; ++p) {
      const int ties = min(ties_left, shared.piece_ties[p]);
      const std::uint64_t here = shared.piece_mass[p] + static_cast<std::uint64_t>(ties) * tie;
      if (reached + here > drawn) break;
      reached += here;
      ties_left -= ties;
    }
    for (int base = p * piece; base < row.vocab; base += 32) {
      const float value = row.at(base + lane);
      const bool equal = candidate_key(value) == cut.key;
      const unsigned equals = __ballot_sync(kAllLanes, equal);
      const bool stays = equal && __popc(equals & ((1U << lane) - 1)) < ties_left;
      const std::uint64_t through = warp_prefix(stays ? tie : mass_of(value));
      const unsigned past = __ballot_sync(kAllLanes, reached + through > drawn);
      if (past != 0) {
        if (lane == 0) shared.id = base + __ffs(static_cast<int>(past)) - 1;
        break;
      }
      reached += __shfl_sync(kAllLanes, through, 31);
      ties_left -= min(ties_left, __popc(equals));
    }
  }
  __syncthreads();
  return shared.id;
}

/// Grid: rows; a block draws one token.
__global__ void __launch_bounds__(kThreads) draw_kernel(DrawArgs args) {
  begin_after_previous();
  __shared__ Shared shared;
  const Row row{.logits = args.logits + static_cast<std::int64_t>(blockIdx.x) * args.vocab, .vocab = args.vocab};
  const DrawRow p = args.parameters[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x);

  std::uint64_t first = 0, candidates = 0;  // the best key, with the lowest id as the largest number below it
#pragma unroll 4
  for (int id = thread; id < row.vocab; id += kThreads) {
    const unsigned key = candidate_key(row.logits[id]);
    first = larger(first, static_cast<std::uint64_t>(key) << 32 | (0xffffffffU - static_cast<unsigned>(id)));
    candidates += key > 0 ? 1 : 0;
  }
  first = block_join(first, shared.scratch, larger);
  if (first >> 32 == 0) {
    if (thread == 0) args.out[blockIdx.x] = {};
    return;
  }
  int id = static_cast<int>(0xffffffffU - static_cast<unsigned>(first));
  const float best = row.logits[id];

  std::uint64_t total = 0;
  const double own_scale = mass_scale(1.0f);
#pragma unroll 4
  for (int i = thread; i < row.vocab; i += kThreads) {
    const float value = row.logits[i];
    if (candidate_key(value) > 0) total += token_mass(value, best, own_scale);
  }
  total = block_join(total, shared.scratch, sum_of);

  if (p.temperature > 0.0f) {
    const double scale = mass_scale(p.temperature);
    const auto mass = [&](float value) { return token_mass(value, best, scale); };
    Cut cut;
    if (p.top_k > 0) {
      candidates = block_join(candidates, shared.scratch, sum_of);
      const auto k = static_cast<std::uint64_t>(p.top_k);
      if (k < candidates) cut = narrow(row, shared, cut, [](float) { return std::uint64_t{1}; }, [&](std::uint64_t) { return k; });
    }
    if (p.top_p < 1.0f) {
      cut = narrow(row, shared, cut, mass, [&](std::uint64_t total) { return mass_reaching(static_cast<double>(p.top_p), total); });
    }
    const std::uint64_t least = p.min_p > 0.0f ? mass_reaching(static_cast<double>(p.min_p), kBestMass) : 0;
    id = draw_id(row, shared, cut, mass, least, p.uniform);
  }
  if (thread == 0) args.out[blockIdx.x] = {.id = id, .value = row.logits[id], .best = best, .total = total};
}

}  // namespace

void draw(const DrawArgs& args, CudaStream stream) {
  require(args.rows >= 0 && args.vocab > 0 && args.vocab <= kMostDrawVocab, ErrorKind::Internal, "draw: rows must not be negative, vocab 1 to 8388608");
  if (args.rows == 0) return;
  start_kernel(draw_kernel, static_cast<unsigned>(args.rows), kThreads, 0, stream, args);
}

}  // namespace gauntlet::kernels
