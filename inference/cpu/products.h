#pragma once

// Matrix products over the threads. What they read in 8 bits is rounded once for all the products that read it.

#include <cstdint>
#include <span>
#include <vector>

#include "inference/cpu/packed_matrix.h"
#include "inference/cpu/thread_pool.h"

namespace gauntlet {

/// Rows of floats, `stride` apart.
struct InputRows {
  const float* data = nullptr;
  std::ptrdiff_t stride = 0;
  int count = 0;
};
struct OutputRows {
  float* data = nullptr;
  std::ptrdiff_t stride = 0;
};

/// One of several products at once: some of the input rows times a matrix, to rows of its own.
struct PartProduct {
  const PackedMatrix* matrix = nullptr;
  int first = 0, count = 0;            ///< of the input rows
  OutputRows out;                      ///< for row `first` and those that follow
};

/// Used from one thread at a time.
class Products {
 public:
  /// Both must outlive it.
  Products(const CpuKernels& kernels, ThreadPool& pool) : kernels_(kernels), pool_(pool) {}

  const CpuKernels& kernels() const { return kernels_; }
  ThreadPool& pool() const { return pool_; }

  /// out[t] = matrix · in[t]
  void multiply(const PackedMatrix& matrix, InputRows in, OutputRows out);
  /// All matrices have the input's width.
  void multiply(std::span<const PartProduct> parts, InputRows in);

 private:
  QuantisedRows quantise(InputRows in, int cols);

  const CpuKernels& kernels_;
  ThreadPool& pool_;
  std::vector<std::int8_t> values_;
  std::vector<float> scales_;
  std::vector<std::int32_t> offsets_;
  std::vector<MatmulArgs> tasks_;
};

}  // namespace gauntlet
