// In place of kernel_bench.cpp where the build has no CUDA.

#include <fmt/format.h>

#include "tests/bench/figure.h"

namespace gauntlet::bench {

std::vector<Figure> bench_kernels(const Settings&) {
  fmt::print(stderr, "kernels: skipped: built without CUDA\n");
  return {};
}

}  // namespace gauntlet::bench
