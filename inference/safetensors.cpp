#include "inference/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "inference/safetensors_header.h"

namespace gauntlet {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::uint64_t kMaxIndexBytes = 100'000'000;
constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";

struct TypeRow {
  DType type;
  std::string_view name;
  std::size_t bytes;
};

constexpr TypeRow kTypes[] = {{DType::Bool, "BOOL", 1},   {DType::U8, "U8", 1},   {DType::I8, "I8", 1},   {DType::Fp8E4M3, "F8_E4M3", 1}, {DType::Fp8E5M2, "F8_E5M2", 1},
                              {DType::I16, "I16", 2},     {DType::U16, "U16", 2}, {DType::F16, "F16", 2}, {DType::BF16, "BF16", 2},       {DType::I32, "I32", 4},
                              {DType::U32, "U32", 4},     {DType::F32, "F32", 4}, {DType::I64, "I64", 8}, {DType::U64, "U64", 8},         {DType::F64, "F64", 8}};

const TypeRow& row_of(DType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes), [type](const TypeRow& row) { return row.type == type; });
}

}  // namespace

std::string_view dtype_name(DType type) { return row_of(type).name; }
std::size_t dtype_bytes(DType type) { return row_of(type).bytes; }

std::optional<DType> find_dtype(std::string_view name) {
  const auto row = std::find_if(std::begin(kTypes), std::end(kTypes), [name](const TypeRow& candidate) { return candidate.name == name; });
  return row == std::end(kTypes) ? std::nullopt : std::optional(row->type);
}

std::int64_t Tensor::elements() const { return static_cast<std::int64_t>(data.size() / dtype_bytes(dtype)); }

std::string describe(const Tensor& tensor) { return fmt::format("{} [{}]", dtype_name(tensor.dtype), fmt::join(tensor.shape, ", ")); }

std::map<std::string, Tensor> parse_safetensors(std::span<const std::byte> bytes, const std::string& what) {
  static_assert(std::endian::native == std::endian::little, "tensors are read in place");
  std::uint64_t header = 0;
  require(bytes.size() >= sizeof header, ErrorKind::Input, fmt::format("{}: found {} bytes; a safetensors file has at least 8", what, bytes.size()));
  std::memcpy(&header, bytes.data(), sizeof header);
  require(header <= kMaxHeaderBytes && header <= bytes.size() - sizeof header, ErrorKind::Input,
          fmt::format("{}: the header claims {} bytes; the file has {} (and at most {} are accepted)", what, header, bytes.size() - sizeof header, kMaxHeaderBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof header, static_cast<std::size_t>(header));
  require(!text.empty() && text.front() == '{', ErrorKind::Input, what + ": the header does not start with {");
  std::vector<TensorEntry> entries = read_tensor_entries(text.substr(0, text.find_last_not_of(' ') + 1), what);
  const auto data = bytes.subspan(sizeof header + static_cast<std::size_t>(header));
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const auto& entry : entries) {
    require(entry.begin == at, ErrorKind::Input, fmt::format("{}: tensor {} begins at byte {} of the data, where {} is next: holes and overlaps are not allowed", what, shown_name(entry.name), entry.begin, at));
    at = entry.end;
  }
  require(at == data.size(), ErrorKind::Input, fmt::format("{}: the tensors cover {} bytes, the file has {} bytes of data", what, at, data.size()));
  std::map<std::string, Tensor> tensors;
  for (auto& entry : entries) {
    const auto range = data.subspan(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(entry.end - entry.begin));
    tensors.emplace(std::move(entry.name), Tensor{.dtype = entry.dtype, .shape = std::move(entry.shape), .data = range});
  }
  return tensors;
}

Checkpoint::Checkpoint(const std::string& path) {
  std::error_code error;  // what cannot be looked at counts as absent
  const fs::path folder(path);
  std::string file = path;
  if (fs::is_directory(folder, error)) {
    if (fs::exists(folder / kIndexName, error)) {
      add_shards(path);
      return;
    }
    require(fs::exists(folder / kSingleName, error), ErrorKind::Input, fmt::format("{}: found neither {} nor {}", path, kSingleName, kIndexName));
    file = (folder / kSingleName).string();
  } else {
    require(fs::exists(folder, error), ErrorKind::Input, fmt::format("{}: found no such folder or file; expected a folder with config.json and {}, or a .safetensors file", path, kSingleName));
  }
  files_.emplace_back(file);
  tensors_ = parse_safetensors(files_.back().bytes(), file);
}

void Checkpoint::add_shards(const std::string& folder) {
  const std::string index_path = (fs::path(folder) / kIndexName).string();
  const MappedFile index(index_path);
  require(index.bytes().size() <= kMaxIndexBytes, ErrorKind::Input, fmt::format("{}: found {} bytes; accepted: at most {}", index_path, index.bytes().size(), kMaxIndexBytes));
  const auto placed = read_weight_map(index.text(), index_path);
  std::set<std::string> shards;
  for (const auto& [name, shard] : placed) {
    const bool plain = !shard.empty() && shard.find('/') == std::string::npos && shard != ".." && shard != "." && shard.find('\0') == std::string::npos;
    require(plain, ErrorKind::Input, fmt::format("{}: found the shard name {}; accepted: names of files in the same folder", index_path, shown_name(shard)));
    shards.insert(shard);
  }
  for (const auto& shard : shards) {
    // A shard may be a link (caches are laid out so), but only to a regular file.
    const std::string path = (fs::path(folder) / shard).string();
    files_.emplace_back(path);
    for (auto& [name, tensor] : parse_safetensors(files_.back().bytes(), path)) {
      const auto place = placed.find(name);
      require(place != placed.end(), ErrorKind::Input, fmt::format("{}: holds tensor {}, which {} does not name", path, shown_name(name), kIndexName));
      require(place->second == shard, ErrorKind::Input, fmt::format("{}: holds tensor {}, which {} places in {}", path, shown_name(name), kIndexName, place->second));
      tensors_.emplace(name, std::move(tensor));
    }
  }
  for (const auto& [name, shard] : placed) {
    require(tensors_.contains(name), ErrorKind::Input, fmt::format("{}: places tensor {} in {}, which does not hold it", index_path, shown_name(name), shard));
  }
}

const Tensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

std::size_t Checkpoint::bytes() const {
  std::size_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += tensor.data.size();
  return total;
}

std::size_t Checkpoint::file_bytes() const {
  std::size_t total = 0;
  for (const auto& file : files_) total += file.bytes().size();
  return total;
}

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  std::string text = "{";
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    std::uint64_t elements = 1;
    for (const auto size : tensor.shape) elements *= static_cast<std::uint64_t>(size);
    require(elements * dtype_bytes(tensor.dtype) == tensor.data.size(), ErrorKind::Internal, fmt::format("tensor {}: {} does not take {} bytes", name, describe(tensor), tensor.data.size()));
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", text.size() == 1 ? "" : ",", dump_json(name), dtype_name(tensor.dtype), fmt::join(tensor.shape, ","), at,
                        at + tensor.data.size());
    at += tensor.data.size();
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::string partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  const std::uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto& [name, tensor] : tensors) file.write(reinterpret_cast<const char*>(tensor.data.data()), static_cast<std::streamsize>(tensor.data.size()));
  file.close();
  const int problem = errno;
  std::error_code error;
  if (file) fs::rename(partial, path, error);
  if (!file || error) {
    std::remove(partial.c_str());
    fail(ErrorKind::Infrastructure, fmt::format("could not write {}: {}", path, error ? error.message() : std::strerror(problem)));
  }
}

}  // namespace gauntlet
