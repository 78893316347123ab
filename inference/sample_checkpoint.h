#pragma once

// Test support: checkpoints made in memory or in folders that vanish. Included by tests only.

#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/error.h"
#include "inference/safetensors.h"

namespace gauntlet::sample {

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gauntlet-model-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("could not make " + name);
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream out(file(name), std::ios::binary | std::ios::trunc);
    out << bytes;
    if (!out.flush()) throw std::runtime_error("could not write " + file(name));
    return file(name);
  }

 private:
  std::string path_;
};

/// A file's bytes: the header's length, the header, the data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

/// Tensors that own their bytes.
class TensorBox {
 public:
  template <class T>
  void put(const std::string& name, DType dtype, std::vector<std::int64_t> shape, const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    bytes_[name] = std::move(bytes);
    views_[name] = {.dtype = dtype, .shape = std::move(shape), .data = bytes_[name]};
  }
  /// Small floats that differ from tensor to tensor.
  void put_floats(const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t elements = 1;
    for (const auto size : shape) elements *= size;
    std::vector<float> values(static_cast<std::size_t>(elements));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 37 + name.size() * 11) % 101) / 101.0f - 0.5f;
    put(name, DType::F32, std::move(shape), values);
  }
  void erase(const std::string& name) { views_.erase(name); }
  const std::map<std::string, Tensor>& tensors() const { return views_; }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
  std::map<std::string, Tensor> views_;
};

/// The message of the Error that `action` throws, without the folder's name; "" if it throws none.
template <class Action>
std::string error_of(Action&& action, const std::string& folder = "") {
  try {
    action();
  } catch (const Error& error) {
    std::string text = error.what();
    for (auto at = text.find(folder); !folder.empty() && at != std::string::npos; at = text.find(folder)) text.replace(at, folder.size(), "DIR");
    return text;
  }
  return "";
}

}  // namespace gauntlet::sample
