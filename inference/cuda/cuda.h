#pragma once

// Ownership of CUDA's resources, and its error codes as Error(Infrastructure). The only place that allocates device memory.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <source_location>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"

namespace gauntlet {

inline void cuda_check(cudaError_t status, std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // told here, so that no later check finds it again; what cannot be recovered from stays
  fail(ErrorKind::Infrastructure, std::string("CUDA: ") + cudaGetErrorName(status) + ": " + cudaGetErrorString(status), where);
}

/// [count] elements of device memory, not initialised.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t count, std::source_location where = std::source_location::current()) : count_(count) {
    if (count == 0) return;
    const cudaError_t status = cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T));
    if (status == cudaErrorMemoryAllocation) {
      std::size_t free = 0, total = 0;
      cudaGetLastError();
      cudaMemGetInfo(&free, &total);
      fail(ErrorKind::Infrastructure, "CUDA: " + std::to_string(count * sizeof(T)) + " bytes of device memory are needed; " + std::to_string(free) + " of " + std::to_string(total) + " are free", where);
    }
    cuda_check(status, where);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~DeviceBuffer() { cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::size_t size_bytes() const { return count_ * sizeof(T); }

  void upload_blocking(std::span<const T> from) { cuda_check(cudaMemcpy(data_, from.data(), from.size_bytes(), cudaMemcpyHostToDevice)); }
  void download_blocking(std::span<T> into) const { cuda_check(cudaMemcpy(into.data(), data_, into.size_bytes(), cudaMemcpyDeviceToHost)); }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

/// [count] elements of page-locked host memory, not initialised.
template <class T>
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t count) : count_(count) {
    if (count > 0) cuda_check(cudaMallocHost(reinterpret_cast<void**>(&data_), count * sizeof(T)));
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~PinnedBuffer() { cudaFreeHost(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

class Stream {
 public:
  Stream() { cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void wait_blocking() const { cuda_check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { cuda_check(cudaEventCreate(&event_)); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream) { cuda_check(cudaEventRecord(event_, stream.get())); }
  /// From `start` to this, both reached.
  float ms_since_blocking(const Event& start) const {
    float out = 0;
    cuda_check(cudaEventSynchronize(event_));
    cuda_check(cudaEventElapsedTime(&out, start.event_, event_));
    return out;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// A recorded sequence of launches.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : exec_(std::exchange(other.exec_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(exec_, other.exec_);
    return *this;
  }
  ~Graph() {
    if (exec_ != nullptr) cudaGraphExecDestroy(exec_);
  }

  /// Records what `body` launches on `stream`; nothing runs yet.
  template <class Body>
  static Graph record(const Stream& stream, Body body) {
    cuda_check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
      body();
    } catch (...) {
      cudaStreamEndCapture(stream.get(), &graph);
      if (graph != nullptr) cudaGraphDestroy(graph);
      throw;
    }
    cuda_check(cudaStreamEndCapture(stream.get(), &graph));
    Graph out;
    const cudaError_t status = cudaGraphInstantiate(&out.exec_, graph, 0);
    cudaGraphDestroy(graph);
    cuda_check(status);
    return out;
  }

  explicit operator bool() const { return exec_ != nullptr; }
  void launch(const Stream& stream) const { cuda_check(cudaGraphLaunch(exec_, stream.get())); }

 private:
  cudaGraphExec_t exec_ = nullptr;
};

/// Shared memory that a block of the current device may ask for.
inline int shared_limit() {
  int device = 0, bytes = 0;
  cuda_check(cudaGetDevice(&device));
  cuda_check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return bytes;
}

/// Compute capability of the current device, as 10 major + minor: 90 for Hopper. Asked for at every launch, so each thread remembers the last device's.
inline int compute_capability() {
  thread_local int known_device = -1, known = 0;
  int device = 0;
  cuda_check(cudaGetDevice(&device));
  if (device == known_device) return known;
  int major = 0, minor = 0;
  cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  cuda_check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  known_device = device;
  known = 10 * major + minor;
  return known;
}

/// Whether a kernel may be placed before its predecessor has ended.
inline bool can_overlap_launches() { return compute_capability() >= 90; }

/// Multiprocessors of the current device.
inline int multiprocessors() {
  int device = 0, count = 0;
  cuda_check(cudaGetDevice(&device));
  cuda_check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

/// Devices that this process could use; 0 without a driver.
inline int cuda_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

}  // namespace gauntlet
