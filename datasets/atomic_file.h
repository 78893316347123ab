#pragma once

// A file that appears under its name only when it is complete: written beside it under a temporary name, synced, renamed.
// Tested by export_rl_test.cpp.

#include <cstdint>
#include <string>
#include <string_view>

namespace gauntlet {

enum class Overwrite { Refuse, Replace };

class AtomicFile {
 public:
  /// Throws Error(Usage) if the file exists and may not be replaced, Error(Infrastructure) if it cannot be made.
  AtomicFile(std::string path, Overwrite overwrite);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();  ///< removes the temporary file unless committed

  void write(std::string_view bytes);
  /// The complete file is on the disk under its name when this returns.
  void commit();

  const std::string& path() const { return path_; }

 private:
  void flush();
  [[noreturn]] void fail_system(const char* doing) const;

  std::string path_;
  std::string temporary_;
  Overwrite overwrite_;
  std::string buffer_;
  int descriptor_ = -1;
};

}  // namespace gauntlet
