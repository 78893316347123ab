#pragma once

// A file's bytes, read-only, mapped into memory. The mapping lives as long as the object; it is private, so another process's later
// truncation can fault a reader, as with every memory-mapped checkpoint.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace gauntlet {

class MappedFile {
 public:
  /// Throws Error(Input), naming the path.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace gauntlet
