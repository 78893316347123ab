#pragma once

// Hopper's instructions that CUDA C++ has no names for: barriers in shared memory, bulk copies, clusters, register budgets. Each function is one
// instruction of the PTX ISA (sm_90a), or a loop around one. Addresses of shared memory are 32-bit, as shared_address() gives them.

#include <cuda.h>

#include <cstdint>

#include "inference/cuda/common.cuh"

namespace gauntlet::kernels::hopper {

inline constexpr int kWarpgroup = 128;

/// One thread of a converged warp, always the same.
__device__ inline bool elect_one() {
  unsigned elected = 0;
  asm volatile("{\n.reg .pred p;\nelect.sync _|p, 0xffffffff;\nselp.b32 %0, 1, 0, p;\n}\n" : "=r"(elected));
  return elected != 0;
}

// Registers a thread of this warpgroup, a multiple of 8 from 24 to 240. Every warp of the warpgroup must come by.
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}

// ---- Barriers in shared memory (mbarrier). A barrier completes its phase when all arrivals and all expected bytes have come; phases alternate in
// parity, from 0. wait(b, p) returns when the phase of parity p is complete, so a barrier that nobody has used lets wait(b, 1) pass.

__device__ inline void barrier_init(unsigned barrier, unsigned arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals)); }
/// Makes initialised barriers visible to bulk copies and to the cluster.
__device__ inline void fence_barrier_init() { asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory"); }
__device__ inline void arrive(unsigned barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory"); }
/// The same, when `loaded` has come. An arrival may overtake a load from shared memory that is under way, and what the load is to read is then written
/// over by those who waited. So who gives memory back right after reading it waits for what it has read last: the address depends on it, if by nothing
/// (blocks have one layer of threads, which the compiler does not know).
__device__ inline void arrive_after(unsigned barrier, unsigned loaded) { arrive(barrier + (loaded & (blockDim.z - 1))); }
/// Arrives, and makes the phase wait for so many bytes more.
__device__ inline void arrive_expecting(unsigned barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes) : "memory");
}
/// Arrives when this thread's cp.async copies so far have landed. The arrival is one of those that the barrier counts.
__device__ inline void arrive_after_copies(unsigned barrier) { asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];\n" ::"r"(barrier) : "memory"); }
__device__ inline void wait(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra ready;\nbra again;\nready:\n}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}
/// The same, acquiring what other blocks of the cluster wrote before they arrived.
__device__ inline void wait_cluster(unsigned barrier, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "again:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n@done bra ready;\nbra again;\nready:\n}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// ---- Named barriers of a block: `id` from 1 to 15, `threads` a multiple of 32.

__device__ inline void sync_threads(int id, int threads) { asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory"); }
__device__ inline void arrive_threads(int id, int threads) { asm volatile("bar.arrive %0, %1;\n" ::"r"(id), "r"(threads) : "memory"); }

/// Between ordinary writes to shared memory and their reading by wgmma or bulk copies: in each writing thread, before the barrier.
__device__ inline void fence_async_shared() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }

// ---- Clusters

__device__ inline void cluster_arrive() { asm volatile("barrier.cluster.arrive.release.aligned;\n" ::: "memory"); }
__device__ inline void cluster_arrive_relaxed() { asm volatile("barrier.cluster.arrive.relaxed.aligned;\n" ::: "memory"); }
__device__ inline void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;\n" ::: "memory"); }
/// The address of the same place in another block's shared memory.
__device__ inline unsigned map_shared(unsigned address, unsigned rank) {
  unsigned out = 0;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;\n" : "=r"(out) : "r"(address), "r"(rank));
  return out;
}

// ---- Bulk copies. Sizes and addresses are multiples of 16 bytes; one thread asks for a copy.

/// Policies of the L2 cache, as CUTLASS and CUDA's driver encode them.
inline constexpr std::uint64_t kEvictFirst = 0x12f0000000000000ULL, kEvictLast = 0x14f0000000000000ULL;

__device__ inline void copy_bulk(unsigned to, const void* from, unsigned bytes, unsigned barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier) : "memory");
}
__device__ inline void copy_bulk(unsigned to, const void* from, unsigned bytes, unsigned barrier, std::uint64_t policy) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;\n" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier), "l"(policy) : "memory");
}
__device__ inline void prefetch_map(const CUtensorMap* map) { asm volatile("prefetch.tensormap [%0];\n" ::"l"(map) : "memory"); }
__device__ inline void load_tile_2d(unsigned to, const CUtensorMap* map, unsigned barrier, int x, int y) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];\n" ::"r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y) : "memory");
}
__device__ inline void load_tile_3d(unsigned to, const CUtensorMap* map, unsigned barrier, int x, int y, int z) {
  asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];\n" ::"r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z) : "memory");
}
__device__ inline void load_tile_2d(unsigned to, const CUtensorMap* map, unsigned barrier, int x, int y, std::uint64_t policy) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%3, %4}], [%2], %5;\n" ::"r"(to), "l"(map), "r"(barrier), "r"(x), "r"(y), "l"(policy)
               : "memory");
}

/// 8 × 8 matrices of 16-bit elements from registers (as wgmma's accumulators lie) into shared memory; lane l gives the row l % 8 of matrix l / 8.
__device__ inline void store_matrices(unsigned row, unsigned a, unsigned b, unsigned c, unsigned d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(row), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

/// Two floats to packed bf16, `low` in the low half; to nearest even.
__device__ inline unsigned pack_bf16_pair(float low, float high) {
  unsigned out = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(out) : "f"(high), "f"(low));
  return out;
}

/// 2^x, to two units in the last place.
__device__ inline float exp2_fast(float x) {
  float out = 0;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(out) : "f"(x));
  return out;
}

}  // namespace gauntlet::kernels::hopper
