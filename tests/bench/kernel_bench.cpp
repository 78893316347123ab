#include "tests/bench/kernel_bench.h"

#include <fmt/format.h>

#include <algorithm>

#include "tests/bench/figure.h"
#include "tests/bench/matrix_peak.h"

namespace gauntlet::bench {
namespace {

constexpr void (*kFamilies[])(KernelTimes&) = {time_row_kernels, time_expert_kernels, time_attention_kernels};

/// FLOP/µs of the matrix units.
double matrix_peak_rate(const Stream& stream) {
  const DeviceBuffer<float> out(1);
  const MatrixPeakArgs args{.blocks = 1024, .steps = 2000, .out = out.data()};
  return args.flops() / kernels::time_us(stream, [&] { matrix_peak(args, stream.get()); });
}

Figure value(std::string name, std::string title, std::string unit, Better better, double found) {
  return {.name = std::move(name), .title = std::move(title), .unit = std::move(unit), .quantity = Quantity::Value, .better = better, .samples = {{.wall_s = 0, .cpu_s = 0, .items = found}}};
}

}  // namespace

std::vector<Figure> bench_kernels(const Settings& settings) {
  if (cuda_devices() == 0) {
    fmt::print(stderr, "kernels: skipped: no CUDA device\n");
    return {};
  }
  KernelTimes times(settings.quick);
  for (const auto family : kFamilies) family(times);
  const double bandwidth = kernels::peak_bandwidth(), matrix = matrix_peak_rate(times.stream());
  std::vector<Figure> figures;
  figures.push_back(value("kernels.peak.copy", "the device's own copy, bytes read and written", "GB/s", Better::Higher, bandwidth));
  figures.push_back(value("kernels.peak.matrix", "mma.sync of bf16 from registers", "TFLOP/s", Better::Higher, matrix / 1e6));
  for (const auto& row : times.rows()) {
    const double moved = row.work.bytes / row.us / 1000, computed = row.work.flops / row.us / 1e6;
    const double of_copy = 100 * moved / bandwidth, of_matrix = 100 * row.work.flops / row.us / matrix;
    figures.push_back(value("kernels." + row.name, fmt::format("{:.0f} GB/s, {:.1f} TFLOP/s", moved, computed), "us", Better::Lower, row.us));
    figures.push_back(value("kernels." + row.name + ".peak", fmt::format("of the measured {} peak, the nearer limit", of_copy >= of_matrix ? "copy" : "matrix"), "%", Better::Higher,
                            std::max(of_copy, of_matrix)));
  }
  return figures;
}

}  // namespace gauntlet::bench
