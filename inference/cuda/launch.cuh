#pragma once

// Launches that may begin before the kernel before them has ended (programmatic dependent launch): on devices that can, a kernel's blocks are placed
// while the last ones of its predecessor still run, and wait in begin_after_previous(). So a chain of short kernels costs less than their starts.

#include <cuda_runtime.h>

#include <utility>

#include "inference/cuda/cuda.h"

namespace gauntlet::kernels {

/// Lets the next kernel come in as far as its own wait_for_previous().
__device__ inline void let_next_begin() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\n" ::);
#endif
}
/// What was launched before on the stream is done and visible after it.
__device__ inline void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}
/// First in a kernel, before it reads or writes device memory.
__device__ inline void begin_after_previous() {
  let_next_begin();
  wait_for_previous();
}

/// Launches a kernel that waits for what was launched before it: all must, also one that needs nothing of it, since the next waits for this one alone.
template <class... Parameters, class... Arguments>
void start_kernel(void (*kernel)(Parameters...), dim3 grid, unsigned threads, std::size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = can_overlap_launches() ? 1 : 0;
  cuda_check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

}  // namespace gauntlet::kernels
