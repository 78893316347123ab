#include "inference/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "core/error.h"
#include "core/json.h"

namespace gauntlet {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxRank = 16;
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

std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::uint64_t unsigned_at(const Json& value, const std::string& where) {
  require(value.is_number_unsigned(), ErrorKind::Input, fmt::format("{}: expected a whole number from 0, found {:.60}", where, dump_json(value)));
  return value.get<std::uint64_t>();
}

void check_metadata(const Json& value, const std::string& what) {
  require(value.is_object(), ErrorKind::Input, fmt::format("{}: __metadata__ must be an object of strings", what));
  for (const auto& item : value.items()) {
    require(item.value().is_string(), ErrorKind::Input, fmt::format("{}: __metadata__ must hold strings only, found {:.60} at \"{}\"", what, dump_json(item.value()), item.key()));
  }
}

struct Entry {
  std::string name;
  Tensor tensor;
  std::uint64_t begin = 0, end = 0;
};

Entry read_entry(const std::string& name, const Json& value, const std::string& what) {
  const std::string where = fmt::format("{}: tensor \"{:.200}\"", what, name);
  require(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") && value.contains("data_offsets"), ErrorKind::Input,
          where + ": expected exactly dtype, shape and data_offsets");
  Entry entry{.name = name, .tensor = {}};
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& row) { return value.at("dtype").is_string() && row.name == value.at("dtype").get_ref<const std::string&>(); });
  require(type != std::end(kTypes), ErrorKind::Input, fmt::format("{}: found dtype {:.60}; accepted: F32, F16, BF16, F8_E4M3, F8_E5M2, F64, BOOL and the integer types", where, dump_json(value.at("dtype"))));
  entry.tensor.dtype = type->type;
  const Json& shape = value.at("shape");
  require(shape.is_array() && shape.size() <= kMaxRank, ErrorKind::Input, fmt::format("{}: shape must be an array of at most {} sizes", where, kMaxRank));
  std::optional<std::uint64_t> bytes = type->bytes;
  for (const auto& size : shape) {
    const std::uint64_t n = unsigned_at(size, where + ": shape");
    bytes = bytes ? product(*bytes, n) : std::nullopt;
    require(n <= static_cast<std::uint64_t>(INT64_MAX), ErrorKind::Input, where + ": shape is too large");
    entry.tensor.shape.push_back(static_cast<std::int64_t>(n));
  }
  const Json& offsets = value.at("data_offsets");
  require(offsets.is_array() && offsets.size() == 2, ErrorKind::Input, where + ": data_offsets must be [begin, end]");
  entry.begin = unsigned_at(offsets[0], where + ": data_offsets");
  entry.end = unsigned_at(offsets[1], where + ": data_offsets");
  require(entry.begin <= entry.end && bytes && *bytes == entry.end - entry.begin, ErrorKind::Input,
          fmt::format("{}: shape and dtype do not give the {} bytes of data_offsets [{}, {}]", where, entry.end >= entry.begin ? entry.end - entry.begin : 0, entry.begin, entry.end));
  return entry;
}

}  // namespace

std::string_view dtype_name(DType type) { return row_of(type).name; }
std::size_t dtype_bytes(DType type) { return row_of(type).bytes; }

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
  const Json json = parse_json(text.substr(0, text.find_last_not_of(' ') + 1), what + " (header)");
  const auto data = bytes.subspan(sizeof header + static_cast<std::size_t>(header));

  std::vector<Entry> entries;
  for (const auto& item : json.items()) {
    if (item.key() == "__metadata__") {
      check_metadata(item.value(), what);
    } else {
      entries.push_back(read_entry(item.key(), item.value(), what));
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const auto& entry : entries) {
    require(entry.begin == at, ErrorKind::Input, fmt::format("{}: tensor \"{:.200}\" begins at byte {} of the data, where {} is next: holes and overlaps are not allowed", what, entry.name, entry.begin, at));
    at = entry.end;
  }
  require(at == data.size(), ErrorKind::Input, fmt::format("{}: the tensors cover {} bytes, the file has {} bytes of data", what, at, data.size()));
  std::map<std::string, Tensor> tensors;
  for (auto& entry : entries) {
    entry.tensor.data = data.subspan(static_cast<std::size_t>(entry.begin), static_cast<std::size_t>(entry.end - entry.begin));
    tensors.emplace(std::move(entry.name), std::move(entry.tensor));
  }
  return tensors;
}

Checkpoint::Checkpoint(const std::string& path) {
  if (fs::is_regular_file(path)) {
    add(path);
    return;
  }
  require(fs::is_directory(path), ErrorKind::Input, fmt::format("{}: found no such folder or file; expected a folder with config.json and {}, or a .safetensors file", path, kSingleName));
  const fs::path folder(path);
  if (!fs::exists(folder / kIndexName)) {
    require(fs::exists(folder / kSingleName), ErrorKind::Input, fmt::format("{}: found neither {} nor {}", path, kSingleName, kIndexName));
    add((folder / kSingleName).string());
    return;
  }
  const std::string index_path = (folder / kIndexName).string();
  const Json index = read_json_file(index_path);
  const Json& map = get_object(index, "weight_map", index_path);
  std::map<std::string, std::size_t> shards;  // to the number of tensors named
  for (const auto& item : map.items()) {
    require(item.value().is_string(), ErrorKind::Input, fmt::format("{}: weight_map must hold file names", index_path));
    const auto& shard = item.value().get_ref<const std::string&>();
    const bool plain = !shard.empty() && shard.find('/') == std::string::npos && shard != ".." && shard != "." && shard.find('\0') == std::string::npos;
    require(plain, ErrorKind::Input, fmt::format("{}: found the shard name \"{:.200}\"; accepted: names of files in the same folder", index_path, shard));
    ++shards[shard];
  }
  for (const auto& [shard, named] : shards) {
    // A shard may be a link (caches are laid out so), but only to a regular file.
    const std::size_t before = tensors_.size();
    add((folder / shard).string());
    require(tensors_.size() - before == named, ErrorKind::Input, fmt::format("{}: names {} tensors in {}, which holds {}", index_path, named, shard, tensors_.size() - before));
  }
  for (const auto& item : map.items()) require(tensors_.contains(item.key()), ErrorKind::Input, fmt::format("{}: names tensor \"{:.200}\", which no shard holds", index_path, item.key()));
}

void Checkpoint::add(const std::string& path) {
  files_.emplace_back(path);
  for (auto& [name, tensor] : parse_safetensors(files_.back().bytes(), path)) {
    require(tensors_.emplace(name, std::move(tensor)).second, ErrorKind::Input, fmt::format("{}: tensor \"{:.200}\" is in another shard too", path, name));
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

void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors) {
  Json header = Json::object();
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {{"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {at, at + tensor.data.size()}}};
    at += tensor.data.size();
  }
  std::string text = dump_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::string partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  const std::uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (const auto& [name, tensor] : tensors) file.write(reinterpret_cast<const char*>(tensor.data.data()), static_cast<std::streamsize>(tensor.data.size()));
  file.close();
  std::error_code error;
  if (file) fs::rename(partial, path, error);
  if (!file || error) {
    std::remove(partial.c_str());
    fail(ErrorKind::Infrastructure, fmt::format("could not write {}: {}", path, error ? error.message() : std::strerror(errno)));
  }
}

}  // namespace gauntlet
