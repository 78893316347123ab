#include "datasets/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace gauntlet {
namespace {

constexpr std::size_t kBufferBytes = 1 << 18;

[[noreturn]] void fail_exists(const std::string& path) {
  fail(ErrorKind::Usage,
       fmt::format("could not write {}: it exists already; choose another folder, or give --overwrite", path));
}

/// So that the new name itself survives a power cut.
void sync_folder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::string path, Overwrite overwrite)
    : path_(std::move(path)), temporary_(fmt::format("{}.tmp-{}", path_, ::getpid())), overwrite_(overwrite) {
  std::error_code ignored;
  if (overwrite_ == Overwrite::Refuse && std::filesystem::exists(path_, ignored)) fail_exists(path_);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_system("make");
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      overwrite_(other.overwrite_),
      buffer_(std::move(other.buffer_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail_system(const char* doing) const {
  fail(ErrorKind::Infrastructure, fmt::format("could not {} {}: {}", doing, path_, std::strerror(errno)));
}

void AtomicFile::write(std::string_view bytes) {
  buffer_.append(bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t written = ::write(descriptor_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_system("write");
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  if (::fsync(descriptor_) != 0) fail_system("sync");
  int renamed = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(),
                            overwrite_ == Overwrite::Refuse ? RENAME_NOREPLACE : 0U);
  // Some file systems know no flags; then the look at opening has to do.
  if (renamed != 0 && errno == EINVAL) renamed = ::rename(temporary_.c_str(), path_.c_str());
  if (renamed != 0 && errno == EEXIST) fail_exists(path_);
  if (renamed != 0) fail_system("rename the temporary file to");
  ::close(std::exchange(descriptor_, -1));
  sync_folder(path_);
}

}  // namespace gauntlet
