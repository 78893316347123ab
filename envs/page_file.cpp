#include "envs/page_file.h"

#include <algorithm>
#include <cstring>

#include "envs/world_sql.h"

namespace gauntlet {
namespace {

// SQLite's file format, 1.3: the file change counter, and the number for which the header's page count is valid.
constexpr std::size_t kChangeCounter = 24;
constexpr std::size_t kVersionValidFor = 92;
constexpr std::size_t kHeaderBytes = 100;
constexpr const char* kVfsName = "gauntlet-pages";

/// What SQLite allocates for an open file; its first member has to be the base. Without contents, which come right after opening, it is
/// an empty file.
struct OpenFile {
  sqlite3_file base;
  PageFile* contents;
};

PageFile& contents_of(sqlite3_file* file) { return *reinterpret_cast<OpenFile*>(file)->contents; }

std::string_view bytes_of(sqlite3_file* file) {
  const PageFile* contents = reinterpret_cast<OpenFile*>(file)->contents;
  return contents == nullptr ? std::string_view() : std::string_view(contents->bytes());
}

int close_file(sqlite3_file*) { return SQLITE_OK; }

int read_file(sqlite3_file* file, void* out, int count, sqlite3_int64 offset) {
  const std::string_view bytes = bytes_of(file);
  const auto wanted = static_cast<std::size_t>(count);
  const std::size_t at = std::min(static_cast<std::size_t>(offset), bytes.size());
  const std::size_t there = std::min(wanted, bytes.size() - at);
  if (there > 0) std::memcpy(out, bytes.data() + at, there);
  if (there == wanted) return SQLITE_OK;
  std::memset(static_cast<char*>(out) + there, 0, wanted - there);
  return SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* file, const void* data, int count, sqlite3_int64 offset) {
  try {
    std::string& bytes = contents_of(file).own();
    const std::size_t end = static_cast<std::size_t>(offset) + static_cast<std::size_t>(count);
    if (bytes.size() < end) bytes.resize(end);
    std::memcpy(bytes.data() + offset, data, static_cast<std::size_t>(count));
    return SQLITE_OK;
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;  // Called from C, which no exception may cross.
  }
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  try {
    contents_of(file).own().resize(static_cast<std::size_t>(size));
    return SQLITE_OK;
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  }
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(bytes_of(file).size());
  return SQLITE_OK;
}

// The file belongs to one connection and to no disk: locks and syncs have nothing to do.
int do_nothing(sqlite3_file*, int) { return SQLITE_OK; }

int no_reserved_lock(sqlite3_file*, int* held) {
  *held = 0;
  return SQLITE_OK;
}

int no_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return 512; }
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

constexpr sqlite3_io_methods kMethods = {
    1,          close_file, read_file,        write_file, truncate_file, do_nothing,      file_size, do_nothing,
    do_nothing, no_reserved_lock, no_control, sector_size, characteristics, nullptr, nullptr, nullptr,
    nullptr,    nullptr,    nullptr};

int open_file(sqlite3_vfs*, const char*, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  if ((flags & SQLITE_OPEN_MAIN_DB) == 0) return SQLITE_CANTOPEN;  // Journals and temporary tables are kept in memory by pragma.
  auto* opened = reinterpret_cast<OpenFile*>(file);
  opened->contents = nullptr;
  opened->base.pMethods = &kMethods;
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs*, const char*, int) { return SQLITE_OK; }

int no_such_file(sqlite3_vfs*, const char*, int, int* found) {
  *found = 0;
  return SQLITE_OK;
}

int full_name(sqlite3_vfs*, const char* name, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", name);
  return SQLITE_OK;
}

/// The default file system's entry with the files replaced: clock and randomness stay its own. SQLite keeps the address.
void register_once() {
  static sqlite3_vfs vfs = [] {
    sqlite3_initialize();
    sqlite3_vfs made = *sqlite3_vfs_find(nullptr);
    made.szOsFile = sizeof(OpenFile);
    made.pNext = nullptr;
    made.zName = kVfsName;
    made.xOpen = open_file;
    made.xDelete = delete_file;
    made.xAccess = no_such_file;
    made.xFullPathname = full_name;
    return made;
  }();
  static const int registered = sqlite3_vfs_register(&vfs, 0);
  check_sqlite(registered, nullptr, ErrorKind::Infrastructure, "register the file system of worlds");
}

void put_big_endian(std::string& bytes, std::size_t at, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>((value >> (24 - 8 * i)) & 0xFF);
}

}  // namespace

void PageFile::show(std::shared_ptr<const PageImage> image) {
  image_ = std::move(image);
  own_.clear();
}

std::shared_ptr<const PageImage> PageFile::copy(std::uint32_t stamp) const {
  require(stamp % 2 == 0, ErrorKind::Internal, "the stamp of an image is odd");
  auto image = std::make_shared<std::string>(bytes());
  require(image->size() >= kHeaderBytes, ErrorKind::Internal, "a world's database has no header");
  put_big_endian(*image, kChangeCounter, stamp);
  put_big_endian(*image, kVersionValidFor, stamp);
  return image;
}

std::string& PageFile::own() {
  if (image_) {
    own_ = *image_;
    image_.reset();
  }
  return own_;
}

PageDatabase open_page_database() {
  register_once();
  sqlite3* raw = nullptr;
  // One thread uses a connection at a time, so SQLite's own mutexes would only cost.
  const int opened = sqlite3_open_v2("world", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, kVfsName);
  PageDatabase result{.file = std::make_unique<PageFile>(), .db = SqliteDb(raw)};
  check_sqlite(opened, raw, ErrorKind::Infrastructure, "open a world's database");
  sqlite3_file* file = nullptr;
  check_sqlite(sqlite3_file_control(raw, "main", SQLITE_FCNTL_FILE_POINTER, &file), raw, ErrorKind::Infrastructure, "find a world's file");
  reinterpret_cast<OpenFile*>(file)->contents = result.file.get();
  // Small pages: a world's tables are small, and each has pages of its own.
  execute(raw, "PRAGMA page_size=1024; PRAGMA temp_store=MEMORY; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF");
  return result;
}

}  // namespace gauntlet
