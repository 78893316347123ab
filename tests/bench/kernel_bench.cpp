#include "tests/bench/kernel_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/bench/figure.h"
#include "tests/bench/matrix_peak.h"

namespace gauntlet::bench {
namespace {

Figure value(std::string name, std::string title, std::string unit, Better better, double found) {
  return {.name = std::move(name), .title = std::move(title), .unit = std::move(unit), .quantity = Quantity::Value, .better = better, .samples = {{.wall_s = 0, .cpu_s = 0, .items = found}}};
}

/// What the device does at best.
struct Peaks {
  double bandwidth = 0;                  ///< GB/s, read and written
  std::map<MatrixUnit, double> matrix;   ///< FLOP/µs
};

const char* name_of(MatrixUnit unit) {
  switch (unit) {
    case MatrixUnit::Mma: return "mma.sync bf16";
    case MatrixUnit::WgmmaBf16: return "wgmma bf16";
    case MatrixUnit::WgmmaFp8: return "wgmma e4m3";
  }
  return "";
}

/// In a figure's name.
const char* key_of(MatrixUnit unit) { return unit == MatrixUnit::Mma ? "mma_bf16" : unit == MatrixUnit::WgmmaBf16 ? "wgmma_bf16" : "wgmma_fp8"; }

Peaks measure_peaks(const Stream& stream) {
  Peaks out{.bandwidth = kernels::peak_bandwidth(), .matrix = {}};
  const DeviceBuffer<float> written(1);
  for (const auto unit : {MatrixUnit::Mma, MatrixUnit::WgmmaBf16, MatrixUnit::WgmmaFp8}) {
    if (unit != MatrixUnit::Mma && compute_capability() != 90) continue;
    const MatrixPeakArgs args{.unit = unit, .steps = 2000, .out = written.data()};
    out.matrix[unit] = args.flops() / kernels::time_us(stream, [&] { matrix_peak(args, stream.get()); });
  }
  return out;
}

Figure figure_of(const KernelTime& row, const Peaks& peaks) {
  const double moved = row.work.bytes / row.us / 1000, computed = row.work.flops / row.us / 1e6;
  const double of_copy = 100 * moved / peaks.bandwidth, of_matrix = row.work.flops == 0 ? 0 : 100 * row.work.flops / row.us / peaks.matrix.at(row.work.unit);
  const char* limit = of_copy >= of_matrix ? "copy" : name_of(row.work.unit);
  const double percent = std::max(of_copy, of_matrix);
  Figure out = value("kernels." + row.name, fmt::format("{:.0f} GB/s, {:.1f} TFLOP/s, {:.1f} % of {}", moved, computed, percent, limit), "us", Better::Lower, row.us);
  out.target = row.target_us;
  out.details = {{"gb_per_s", moved}, {"tflops", computed}, {"percent_of_limit", percent}, {"limit", limit}};
  if (!row.kernel.empty()) {
    out.details["kernel"] = row.kernel;
    out.title += ", kernel: " + row.kernel;
  }
  out.wrong = !(row.error <= row.error_bound);
  out.details["error"] = std::isfinite(row.error) ? Json(row.error) : Json("infinite");
  out.details["error_bound"] = row.error_bound;
  out.details["right"] = !out.wrong;
  out.title += fmt::format(", error {:.1e}", row.error);
  if (out.wrong) out.title += fmt::format(": WRONG, at most {:.1e}", row.error_bound);
  return out;
}

std::vector<Figure> bench_family(const Settings& settings, void (*family)(KernelTimes&)) {
  if (cuda_devices() == 0) return {};
  KernelTimes times(settings.quick);
  const Peaks peaks = measure_peaks(times.stream());
  family(times);
  std::vector<Figure> figures;
  for (const auto& row : times.rows()) figures.push_back(figure_of(row, peaks));
  return figures;
}

}  // namespace

std::vector<Figure> bench_device_peaks(const Settings&) {
  if (cuda_devices() == 0) {
    fmt::print(stderr, "kernels: skipped: no CUDA device\n");
    return {};
  }
  const Peaks peaks = measure_peaks(Stream());
  std::vector<Figure> figures = {value("kernels.peak.copy", "the device's own copy, bytes read and written", "GB/s", Better::Higher, peaks.bandwidth)};
  for (const auto& [unit, rate] : peaks.matrix) figures.push_back(value(fmt::format("kernels.peak.{}", key_of(unit)), name_of(unit), "TFLOP/s", Better::Higher, rate / 1e6));
  return figures;
}

std::vector<Figure> bench_row_kernels(const Settings& settings) { return bench_family(settings, time_row_kernels); }
std::vector<Figure> bench_expert_kernels(const Settings& settings) { return bench_family(settings, time_expert_kernels); }
std::vector<Figure> bench_attention_kernels(const Settings& settings) { return bench_family(settings, time_attention_kernels); }
std::vector<Figure> bench_prompt_kernels(const Settings& settings) { return bench_family(settings, time_prompt_kernels); }

}  // namespace gauntlet::bench
