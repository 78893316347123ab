#include "inference/cpu/read_rate.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

namespace gauntlet {
namespace {

constexpr std::size_t kPiece = std::size_t{64} << 10;
constexpr double kTrySeconds = 0.03;
constexpr int kTries = 5;

}  // namespace

double measure_read_rate(const CpuKernels& kernels, ThreadPool& pool, std::size_t bytes) {
  const std::size_t pieces = std::max<std::size_t>(1, (bytes + kPiece - 1) / kPiece);
  // Written, so that every page is there.
  std::vector<std::uint32_t> buffer(pieces * kPiece / sizeof(std::uint32_t), 1);
  std::atomic<std::uint32_t> kept{0};
  const auto pass = [&] {
    pool.run(pieces, [&](std::size_t piece, int) { kept.fetch_xor(kernels.read(buffer.data() + piece * (kPiece / sizeof(std::uint32_t)), kPiece), std::memory_order_relaxed); });
  };
  pass();
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    double seconds = 0, read = 0;
    while (seconds < kTrySeconds) {
      pass();
      read += static_cast<double>(pieces * kPiece);
      seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    best = std::max(best, read / seconds);
  }
  return best;
}

}  // namespace gauntlet
