#pragma once

// Timed rows of the CUDA kernels: each family's file times its kernels at shapes of real models and says what they must move and compute.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "inference/cuda/kernel_time.h"
#include "tests/bench/matrix_peak.h"

namespace gauntlet::bench {

/// The least that a launch has to do: bytes of device memory read and written once, and floating-point operations of the matrix units
/// (0 where they are not used).
struct KernelWork {
  double bytes = 0;
  double flops = 0;
  MatrixUnit unit = MatrixUnit::Mma;
};

struct KernelTime {
  std::string name;             ///< "rms_norm.64x7168"
  KernelWork work;
  std::string kernel = {};      ///< which of several, in words; empty where there is one
  double target_us = 0;         ///< 0: none
  double us = 0;
  double error = 0;             ///< of some rows against the reference in float64: the largest difference over the largest value; of choices the share that differs
  double error_bound = 0;       ///< above it the kernel is wrong
};

/// Bounds of errors as above.
inline constexpr double kBf16Error = 1e-2;   ///< results in bf16 (2^-9 each), or weights that are
inline constexpr double kFloatError = 1e-4;  ///< sums in float32
inline constexpr double kFp8SumError = 0x1p-11;  ///< products of e4m3 by the matrix unit: four steps, each of whose sums keeps 13 bits
inline constexpr double kNoError = 0;        ///< choices, copies, whole numbers

/// What a family's function writes its rows into.
class KernelTimes {
 public:
  explicit KernelTimes(bool quick) : quick_(quick) {}

  /// Rows of a smoke test may be small.
  bool quick() const { return quick_; }
  const Stream& stream() const { return stream_; }
  const std::vector<KernelTime>& rows() const { return rows_; }

  /// `body` launches on stream() and can be captured into a graph. `error` runs it once more and compares; row.error_bound is its bound.
  template <class Body>
  void add(KernelTime row, Body body, const std::function<double()>& error) {
    row.us = kernels::time_us(stream_, body);
    row.error = error();
    rows_.push_back(std::move(row));
  }
  template <class Body>
  void add(std::string name, KernelWork work, Body body, double bound, const std::function<double()>& error) {
    add(KernelTime{.name = std::move(name), .work = work, .error_bound = bound}, body, error);
  }

 private:
  bool quick_ = false;
  Stream stream_;
  std::vector<KernelTime> rows_;
};

// Each a benchmark of its own (kernel_bench.cpp), so that what one finds is told before the next begins.
void time_row_kernels(KernelTimes& times);        ///< kernel_bench_rows.cpp: embed, rms_norm, silu_multiply, float_linear, term_product, draw
void time_expert_kernels(KernelTimes& times);     ///< kernel_bench_experts.cpp: route, dispatch, combine, grouped products
void time_prompt_kernels(KernelTimes& times);     ///< kernel_bench_prompts.cpp: select_positions, masked_attention
void time_attention_kernels(KernelTimes& times);  ///< kernel_bench_attention.cpp: write_latents, split_queries, index_scores, top_positions, sparse_attention

}  // namespace gauntlet::bench
