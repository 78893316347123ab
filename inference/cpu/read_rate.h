#pragma once

// How fast the threads of a pool can read: what no forward pass on them can beat.

#include <cstddef>

#include "inference/cpu/kernels.h"
#include "inference/cpu/thread_pool.h"

namespace gauntlet {

/// Bytes a second when all threads together read a buffer of so many bytes over and over; the best of several tries. A buffer that fits a
/// cache is read from there.
double measure_read_rate(const CpuKernels& kernels, ThreadPool& pool, std::size_t bytes);

}  // namespace gauntlet
