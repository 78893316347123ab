// A safetensors file: refused with Error(Input), or tensors that lie inside it and have the size that their shape asks for. And the index of a
// sharded checkpoint: refused with Error(Input), or read.

#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "core/error.h"
#include "inference/safetensors.h"
#include "inference/safetensors_header.h"

namespace gauntlet {
namespace {

template <class Body>
void refuse_as_input(Body body) {
  try {
    body();
  } catch (const Error& error) {
    promise(error.kind() == ErrorKind::Input, "a file is refused as input");
  }
}

void read(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  refuse_as_input([&] {
    for (const auto& [name, tensor] : parse_safetensors(bytes, "fuzz")) {
      promise(tensor.data.data() >= bytes.data() && tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size(), "a tensor lies in its file");
      std::size_t elements = 1;
      for (const auto size : tensor.shape) elements *= static_cast<std::size_t>(size);
      promise(tensor.data.size() == elements * dtype_bytes(tensor.dtype), "a tensor has the size of its shape");
    }
  });
  // The header alone, so that mutations need not keep its length right.
  if (text.size() > 8) refuse_as_input([&] { read_tensor_entries(text.substr(8), "fuzz"); });
  refuse_as_input([&] { read_weight_map(text, "fuzz"); });
}

}  // namespace
}  // namespace gauntlet

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  gauntlet::read({reinterpret_cast<const char*>(data), size});
  return 0;
}
