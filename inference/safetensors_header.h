#pragma once

// The JSON of a checkpoint: a safetensors file's header and the index of a sharded one. Both may hold a hundred thousand names and come from
// strangers, so they are read event by event: linear time, memory in proportion to the text, and nothing is built that the format lacks.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "inference/safetensors.h"

namespace gauntlet {

struct TensorEntry {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes of the data; end - begin is what shape and dtype ask for
};

/// In the order of the text. Throws Error(Input) naming `what` and the tensor; where the ranges lie is for the caller to check.
std::vector<TensorEntry> read_tensor_entries(std::string_view header, const std::string& what);

/// `weight_map` of an index: tensor name to shard file name. Throws Error(Input).
std::map<std::string, std::string> read_weight_map(std::string_view index, const std::string& what);

/// A stranger's name as messages show it: quoted, control characters escaped, not too long.
std::string shown_name(const std::string& name);

}  // namespace gauntlet
