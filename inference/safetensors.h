#pragma once

// Tensors from safetensors files: one file, or shards with an index. Files are untrusted: every number is checked with checked arithmetic
// against the bytes that are there before anything is read or allocated, and a file that breaks a rule of the format is refused as a whole.
//
// Format: u64 little-endian header length n; n bytes of JSON {"__metadata__"?: {string: string}, NAME: {"dtype", "shape", "data_offsets":
// [begin, end]}, …}; then the data. Sorted by offset the ranges are contiguous from 0 to the end of the file, without holes or overlap.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "inference/mapped_file.h"

namespace gauntlet {

enum class DType { Bool, U8, I8, Fp8E4M3, Fp8E5M2, I16, U16, F16, BF16, I32, U32, F32, I64, U64, F64 };

std::string_view dtype_name(DType type);
std::size_t dtype_bytes(DType type);
std::optional<DType> find_dtype(std::string_view name);

/// A view: `data` belongs to the Checkpoint (or to whoever made the view) and is not aligned beyond the type's needs in files that
/// were written so; use memcpy-like reads. `shape` [] is a scalar.
struct Tensor {
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  std::int64_t elements() const;
};

/// "F32 [2, 3]"
std::string describe(const Tensor& tensor);

/// Parses one file's bytes. Throws Error(Input) naming `what` and the rule that is broken.
std::map<std::string, Tensor> parse_safetensors(std::span<const std::byte> bytes, const std::string& what);

/// All tensors of a folder with model.safetensors, or model.safetensors.index.json and its shards; or of one .safetensors file.
class Checkpoint {
 public:
  /// Throws Error(Input): missing files, a shard's name that leaves the folder, a tensor that is not in exactly the shard that the index
  /// places it in, and all of parse_safetensors.
  explicit Checkpoint(const std::string& path);

  /// Null if absent.
  const Tensor* find(const std::string& name) const;
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  /// Of all tensors.
  std::size_t bytes() const;
  /// Of all files, headers included.
  std::size_t file_bytes() const;

 private:
  void add_shards(const std::string& folder);

  std::vector<MappedFile> files_;
  std::map<std::string, Tensor> tensors_;
};

/// Writes one file, tensors in the order of their names. Replaces an existing file only
/// when the new one is complete. Throws Error(Infrastructure).
void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors);

}  // namespace gauntlet
