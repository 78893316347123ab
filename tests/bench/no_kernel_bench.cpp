// In place of kernel_bench.cpp where the build has no CUDA.

#include <fmt/format.h>

#include "tests/bench/figure.h"

namespace gauntlet::bench {

std::vector<Figure> bench_device_peaks(const Settings&) {
  fmt::print(stderr, "kernels: skipped: built without CUDA\n");
  return {};
}
std::vector<Figure> bench_row_kernels(const Settings&) { return {}; }
std::vector<Figure> bench_expert_kernels(const Settings&) { return {}; }
std::vector<Figure> bench_attention_kernels(const Settings&) { return {}; }
std::vector<Figure> bench_prompt_kernels(const Settings&) { return {}; }

}  // namespace gauntlet::bench
