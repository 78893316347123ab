#include "inference/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "core/error.h"
#include "core/json.h"

namespace gauntlet {
namespace {

constexpr std::size_t kMaxRank = 16;
constexpr int kMaxSkippedDepth = 200;

/// Hands every event to one of four functions.
class Events : public nlohmann::json_sax<Json> {
 public:
  explicit Events(const std::string& what) : what_(what) {}

  bool null() final { return other("null"); }
  bool boolean(bool value) final { return other(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) final { return other(fmt::format("{}", value)); }
  bool number_float(double, const std::string& text) final { return other(text); }
  bool binary(Json::binary_t&) final { return other("bytes"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) final {
    fail(ErrorKind::Input, fmt::format("could not read {} as JSON: byte {}: {:.240}", what_, position, error.what()));
  }

 protected:
  /// A value that neither format has a place for.
  virtual bool other(const std::string& found) = 0;

  const std::string& what_;
};

void parse(std::string_view text, Events& events, const std::string& what) {
  // The parser takes NUL for the end of its input, and would not see what follows.
  const auto nul = text.find('\0');
  require(nul == std::string_view::npos, ErrorKind::Input, fmt::format("could not read {} as JSON: byte {}: found a NUL character", what, nul + 1));
  require(Json::sax_parse(text.begin(), text.end(), &events), ErrorKind::Input, fmt::format("could not read {} as JSON", what));
}

/// Messages are formatted only when something is wrong: a header has a hundred thousand tensors.
class HeaderReader final : public Events {
 public:
  using Events::Events;
  std::vector<TensorEntry> entries;

  bool start_object(std::size_t) override {
    if (at_ == At::Start) {
      at_ = At::File;
    } else if (at_ == At::File && key_ == "__metadata__") {
      at_ = At::Metadata;
    } else if (at_ == At::File) {
      at_ = At::Tensor;
      entries.push_back({.name = key_, .shape = {}});
      seen_.clear();
      offsets_.clear();
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& name) override {
    if (at_ == At::Tensor) {
      const bool known = name == "dtype" || name == "shape" || name == "data_offsets";
      const bool fresh = std::find(seen_.begin(), seen_.end(), name) == seen_.end();
      if (!known || !fresh) fail(ErrorKind::Input, fmt::format("{}: expected exactly dtype, shape and data_offsets, found {}", where(), shown_name(name)));
      seen_.push_back(name);
      field_ = std::move(name);
    } else if (at_ == At::Metadata) {
      require(metadata_.insert(name).second, ErrorKind::Input, fmt::format("{}: the key {} appears twice in __metadata__", what_, shown_name(name)));
      field_ = std::move(name);
    } else {
      key_ = std::move(name);
      require(key_ != "__metadata__" || !std::exchange(had_metadata_, true), ErrorKind::Input, what_ + ": the key \"__metadata__\" appears twice");
    }
    return true;
  }

  bool end_object() override {
    if (at_ == At::Tensor) finish();
    at_ = at_ == At::File ? At::Start : At::File;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::Tensor || field_ == "dtype") unexpected("an array");
    at_ = field_ == "shape" ? At::Shape : At::Offsets;
    return true;
  }
  bool end_array() override {
    at_ = At::Tensor;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (at_ == At::Shape) {
      auto& shape = entries.back().shape;
      if (shape.size() >= kMaxRank) fail(ErrorKind::Input, fmt::format("{}: shape must be an array of at most {} sizes", where(), kMaxRank));
      if (value > static_cast<std::uint64_t>(INT64_MAX)) fail(ErrorKind::Input, where() + ": shape is too large");
      shape.push_back(static_cast<std::int64_t>(value));
    } else if (at_ == At::Offsets) {
      if (offsets_.size() >= 2) fail(ErrorKind::Input, where() + ": data_offsets must be [begin, end]");
      offsets_.push_back(value);
    } else {
      unexpected(fmt::format("{}", value));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (at_ == At::Metadata) return true;
    if (at_ != At::Tensor || field_ != "dtype") unexpected(shown_name(value));
    const auto type = find_dtype(value);
    if (!type) unexpected(shown_name(value));
    entries.back().dtype = *type;
    return true;
  }

 private:
  enum class At { Start, File, Metadata, Tensor, Shape, Offsets };

  bool other(const std::string& found) override { unexpected(found); }

  std::string where() const { return fmt::format("{}: tensor {}", what_, shown_name(key_)); }

  [[noreturn]] void unexpected(const std::string& found) const {
    const auto refuse = [&](const std::string& text) { fail(ErrorKind::Input, fmt::format("{}, found {:.80}", text, found)); };
    if (at_ == At::Start) refuse(what_ + ": the header must be an object");
    if (at_ == At::Metadata) refuse(fmt::format("{}: __metadata__ must hold strings only; at {}", what_, shown_name(field_)));
    if (at_ == At::File && key_ == "__metadata__") refuse(what_ + ": __metadata__ must be an object of strings");
    if (at_ == At::File) refuse(where() + ": expected exactly dtype, shape and data_offsets");
    if (at_ == At::Shape || at_ == At::Offsets) refuse(fmt::format("{}: {}: expected a whole number from 0", where(), field_));
    if (field_ == "dtype") refuse(where() + ": dtype must be one of F32, F16, BF16, F8_E4M3, F8_E5M2, F64, BOOL and the integer types");
    if (field_ == "shape") refuse(fmt::format("{}: shape must be an array of at most {} sizes", where(), kMaxRank));
    refuse(where() + ": data_offsets must be [begin, end]");
    fail(ErrorKind::Internal, "a header's event without a place");
  }

  void finish() {
    TensorEntry& entry = entries.back();
    if (seen_.size() != 3) fail(ErrorKind::Input, where() + ": expected exactly dtype, shape and data_offsets");
    if (offsets_.size() != 2) fail(ErrorKind::Input, where() + ": data_offsets must be [begin, end]");
    entry.begin = offsets_[0];
    entry.end = offsets_[1];
    std::uint64_t bytes = dtype_bytes(entry.dtype);
    bool fits = entry.begin <= entry.end;
    for (const auto size : entry.shape) fits = fits && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes);
    if (fits && bytes == entry.end - entry.begin) return;
    fail(ErrorKind::Input,
         fmt::format("{}: shape and dtype do not give the {} bytes of data_offsets [{}, {}]", where(), entry.end >= entry.begin ? entry.end - entry.begin : 0, entry.begin, entry.end));
  }

  At at_ = At::Start;
  std::string key_;                 ///< of the file's object: a tensor's name
  std::string field_;               ///< of the tensor or of __metadata__
  std::vector<std::string> seen_;   ///< fields of this tensor
  std::vector<std::uint64_t> offsets_;
  std::unordered_set<std::string> metadata_;
  bool had_metadata_ = false;
};

class IndexReader final : public Events {
 public:
  using Events::Events;
  std::map<std::string, std::string> shards;
  bool found = false;

  bool start_object(std::size_t) override { return enter(true); }
  bool start_array(std::size_t) override {
    require(depth_ > 0, ErrorKind::Input, what_ + ": expected an object with weight_map, found an array");
    return enter(false);
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      in_map_ = name == "weight_map";
      require(!in_map_ || !std::exchange(found, true), ErrorKind::Input, what_ + ": the key \"weight_map\" appears twice");
    } else if (in_map_) {
      const auto [place, fresh] = shards.emplace(std::move(name), "");
      require(fresh, ErrorKind::Input, fmt::format("{}: weight_map names tensor {} twice", what_, shown_name(place->first)));
      current_ = &place->second;
    }
    return true;
  }
  bool string(std::string& value) override {
    if (in_map_ && depth_ == 2) {
      *current_ = std::move(value);
      return true;
    }
    return other("a string");
  }
  bool number_unsigned(std::uint64_t value) override { return other(fmt::format("{}", value)); }

 private:
  bool other(const std::string& value) override {
    require(depth_ > 0, ErrorKind::Input, fmt::format("{}: expected an object with weight_map, found {:.80}", what_, value));
    require(!in_map_, ErrorKind::Input, fmt::format("{}: weight_map must be an object of file names, found {:.80}", what_, value));
    return true;
  }
  bool enter(bool object) {
    require(++depth_ <= kMaxSkippedDepth, ErrorKind::Input, fmt::format("{}: nesting is deeper than {}", what_, kMaxSkippedDepth));
    require(!in_map_ || (object && depth_ == 2), ErrorKind::Input, fmt::format("{}: weight_map must be an object of file names, found {}", what_, object ? "an object" : "an array"));
    return true;
  }
  bool leave() {
    if (--depth_ == 1) in_map_ = false;
    return true;
  }

  int depth_ = 0;
  bool in_map_ = false;
  std::string* current_ = nullptr;
};

}  // namespace

std::string shown_name(const std::string& name) {
  const std::string text = dump_json(Json(name.substr(0, 200)));
  return name.size() <= 200 ? text : text + "…";
}

std::vector<TensorEntry> read_tensor_entries(std::string_view header, const std::string& what) {
  HeaderReader reader(what);
  parse(header, reader, what);
  std::vector<std::string_view> names;
  for (const auto& entry : reader.entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require(twice == names.end(), ErrorKind::Input, fmt::format("{}: the tensor {} appears twice", what, twice == names.end() ? "" : shown_name(std::string(*twice))));
  return std::move(reader.entries);
}

std::map<std::string, std::string> read_weight_map(std::string_view index, const std::string& what) {
  IndexReader reader(what);
  parse(index, reader, what);
  require(reader.found, ErrorKind::Input, what + ": the member \"weight_map\" is missing");
  return std::move(reader.shards);
}

}  // namespace gauntlet
