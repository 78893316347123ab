#pragma once

// Zeroed floats that take memory only once they are written: a large cache costs nothing until it is used.

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <span>
#include <utility>

namespace gauntlet {

class LazyFloats {
 public:
  LazyFloats() = default;
  /// Throws std::bad_alloc when the address space cannot be had.
  explicit LazyFloats(std::size_t count) : count_(count) {
    if (count == 0) return;
    void* mapping = ::mmap(nullptr, count * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<float*>(mapping);
  }
  ~LazyFloats() {
    if (data_ != nullptr) ::munmap(data_, count_ * sizeof(float));
  }
  LazyFloats(LazyFloats&& other) noexcept : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  LazyFloats& operator=(LazyFloats&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  float* data() { return data_; }
  const float* data() const { return data_; }
  std::span<float> span() { return {data_, count_}; }

 private:
  float* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace gauntlet
