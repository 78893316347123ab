#pragma once

// Time of kernels on the device, and what the device can do at best, measured.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "inference/cuda/cuda.h"
#include "inference/cuda/make_cuda_backend.h"

namespace gauntlet::kernels {

/// Median time of one `body` in microseconds. `body` launches on `stream` and must be capturable: it is recorded several times into one
/// graph, so that the host's launches do not count.
template <class Body>
double time_us(const Stream& stream, Body body) {
  constexpr double kMeasuredUs = 2000;
  constexpr int kRepeats = 15;
  const auto once = [&](const Graph& graph) {
    Event start, end;
    start.record(stream);
    graph.launch(stream);
    end.record(stream);
    return static_cast<double>(end.ms_since_blocking(start)) * 1000;
  };
  const Graph one = Graph::record(stream, body);
  once(one);
  const int inner = std::clamp(static_cast<int>(kMeasuredUs / std::max(once(one), 1.0)), 1, 200);
  const Graph many = Graph::record(stream, [&] {
    for (int i = 0; i < inner; ++i) body();
  });
  once(many);
  std::vector<double> times(kRepeats);
  for (auto& t : times) t = once(many) / inner;
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// GB/s read and written by the device's own copy of 512 MiB, measured once.
inline double peak_bandwidth() {
  static const double measured = measure_cuda_copy_rate(std::size_t{1} << 30) / 1e9;
  return measured;
}

}  // namespace gauntlet::kernels
