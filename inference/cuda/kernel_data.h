#pragma once

// Data for tests and timed rows of kernels: random inputs, poisoned outputs, copies on the device, comparison.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "core/rng.h"
#include "inference/cuda/cuda.h"
#include "inference/float_types.h"

namespace gauntlet::kernels {

/// What an output holds before a kernel runs: NaN, or -7 in every member that is an integer, so that what was not written shows.
template <class T>
std::vector<T> poisoned(std::size_t count) {
  if constexpr (std::floating_point<T>) {
    return std::vector<T>(count, std::numeric_limits<T>::quiet_NaN());
  } else if constexpr (std::same_as<T, Bf16>) {
    return std::vector<T>(count, Bf16{0x7fc1});
  } else if constexpr (std::same_as<T, std::byte>) {
    return std::vector<T>(count, std::byte{0xff});
  } else {
    return std::vector<T>(count, T{-7});
  }
}

/// A vector's copy in device memory. Copies wait for whatever the device does, so any stream may be used in between.
template <class T>
class OnDevice {
 public:
  OnDevice() = default;
  explicit OnDevice(const std::vector<T>& values) : buffer_(values.size()) { set(values); }

  T* data() const { return buffer_.data(); }
  std::size_t size() const { return buffer_.size(); }

  void set(const std::vector<T>& values) {
    cuda_check(cudaDeviceSynchronize());
    buffer_.upload_blocking(values);
    cuda_check(cudaDeviceSynchronize());  // a copy from pageable memory may return before it has arrived
  }
  std::vector<T> get() const {
    cuda_check(cudaDeviceSynchronize());
    std::vector<T> out(buffer_.size());
    buffer_.download_blocking(out);
    return out;
  }

 private:
  DeviceBuffer<T> buffer_;
};

/// [count] poisoned elements of device memory.
template <class T>
OnDevice<T> poisoned_on_device(std::size_t count) {
  return OnDevice<T>(poisoned<T>(count));
}

/// Uniform in [low, high).
inline std::vector<float> random_floats(Rng& rng, std::size_t count, float low = -1.0f, float high = 1.0f) {
  std::vector<float> out(count);
  for (auto& v : out) v = low + (high - low) * static_cast<float>(rng.next() >> 40) * 0x1p-24f;
  return out;
}

inline std::vector<Bf16> to_bf16s(std::span<const float> values) {
  std::vector<Bf16> out(values.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_bf16(values[i]);
  return out;
}
inline std::vector<float> to_floats(std::span<const Bf16> values) {
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = to_float(values[i]);
  return out;
}
inline std::vector<Bf16> random_bf16s(Rng& rng, std::size_t count, float low = -1.0f, float high = 1.0f) { return to_bf16s(random_floats(rng, count, low, high)); }

/// Whole rows [first, first + count) of a matrix.
template <class T>
std::vector<T> rows_of(const std::vector<T>& matrix, std::size_t columns, std::size_t first, std::size_t count) {
  return {matrix.begin() + static_cast<std::ptrdiff_t>(first * columns), matrix.begin() + static_cast<std::ptrdiff_t>((first + count) * columns)};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// Euclidean.
inline double norm(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * v;
  return std::sqrt(sum);
}

/// The largest |found - expected| over the largest |expected|; infinite if sizes differ or one alone is NaN or infinite.
inline double relative_error(std::span<const float> found, std::span<const float> expected) {
  constexpr double kBad = std::numeric_limits<double>::infinity();
  if (found.size() != expected.size()) return kBad;
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i]) || !std::isfinite(expected[i])) {
      if (found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i]))) continue;
      return kBad;
    }
    error = std::max(error, std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
    scale = std::max(scale, std::fabs(static_cast<double>(expected[i])));
  }
  return error == 0 ? 0 : scale == 0 ? kBad : error / scale;
}
inline double relative_error(std::span<const Bf16> found, std::span<const Bf16> expected) { return relative_error(to_floats(found), to_floats(expected)); }

/// The largest |found - expected| / bound over all elements, each with its own bound (above 0): at most 1 is a pass. Infinite as above.
inline double error_over_bound(std::span<const float> found, std::span<const float> expected, std::span<const double> bound) {
  constexpr double kBad = std::numeric_limits<double>::infinity();
  if (found.size() != expected.size() || found.size() != bound.size()) return kBad;
  double worst = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i]) || !std::isfinite(expected[i])) return kBad;
    worst = std::max(worst, std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i])) / bound[i]);
  }
  return worst;
}

}  // namespace gauntlet::kernels
