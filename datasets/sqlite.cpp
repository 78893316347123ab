#include "datasets/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

#include "core/error.h"

namespace gauntlet {
namespace {

/// What to tell a person about an SQLite result code.
std::string explain(int extended_code, const std::string& path, const std::string& detail) {
  switch (extended_code & 0xFF) {
    case SQLITE_FULL:
      return fmt::format(
          "the disk (or its quota) holding {} is full; nothing that was stored before is lost, and what was being written has "
          "been "
          "taken back. Make space and run the same command again",
          path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fmt::format(
          "{} is locked: another process kept it busy for the whole waiting time. Wait for it or end it, then try again", path);
    case SQLITE_READONLY:
      if (extended_code == SQLITE_READONLY_ROLLBACK) {
        return fmt::format(
            "{} was left in the middle of a write by a process that died; open it once for writing, which repairs it", path);
      }
      return fmt::format(
          "{} or its folder is read-only for this user; writing needs permission for both (the journal is made beside it)",
          path);
    case SQLITE_NOTADB:
      return fmt::format("{} is not an SQLite database", path);
    case SQLITE_CORRUPT:
      return fmt::format("{} is damaged ({}); restore it from a copy, or save what can be read with: sqlite3 {} .recover", path,
                         detail, path);
    case SQLITE_CANTOPEN:
      return fmt::format(
          "{} or its journal cannot be opened ({}); it must be a file in a folder that this user may read and write", path,
          detail);
    case SQLITE_IOERR:
      return fmt::format("reading or writing {} failed ({}); what was stored before is kept", path, detail);
    default:
      return fmt::format("{}: {}", path, detail);
  }
}

[[noreturn]] void fail_sqlite(sqlite3* connection, const std::string& doing) {
  const char* name = sqlite3_db_filename(connection, "main");
  const std::string path = name == nullptr || *name == '\0' ? "(database in memory)" : name;
  fail(ErrorKind::Store,
       fmt::format("could not {}: {}", doing, explain(sqlite3_extended_errcode(connection), path, sqlite3_errmsg(connection))));
}

void require_openable(const std::string& path, DatabaseAccess access) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_directory(status)) {
    fail(ErrorKind::Store,
         fmt::format("could not open the store {}: it is a folder; a store is one file, for example {}/gauntlet.db", path,
                     path));
  }
  if (fs::exists(status)) return;
  if (access != DatabaseAccess::Create) {
    fail(ErrorKind::Store, fmt::format("could not open the store {}: there is no such file", path));
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, ignored)) {
    fail(ErrorKind::Store, fmt::format("could not make the store {}: there is no folder {}", path, folder.string()));
  }
}

}  // namespace

Statement::Statement(sqlite3* connection, std::string_view sql, std::string doing)
    : connection_(connection), doing_(std::move(doing)) {
  const int code = sqlite3_prepare_v2(connection, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  if (code != SQLITE_OK) fail_sqlite(connection_, doing_);
}

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_), statement_(std::exchange(other.statement_, nullptr)), doing_(std::move(other.doing_)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(connection_, other.connection_);
  std::swap(statement_, other.statement_);
  std::swap(doing_, other.doing_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

bool Statement::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    const std::string doing = doing_;
    // The error text is read before the reset, which would replace it.
    try {
      fail_sqlite(connection_, doing);
    } catch (...) {
      sqlite3_reset(statement_);
      throw;
    }
  }
  sqlite3_reset(statement_);
  return false;
}

void Statement::reset() { sqlite3_reset(statement_); }

void Statement::execute() {
  while (next()) {
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }
bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

std::string Statement::text(int column) const {
  const unsigned char* bytes = sqlite3_column_text(statement_, column);
  if (bytes == nullptr) return "";
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Blob Statement::blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  return {static_cast<const std::byte*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::check_bound(int code) const {
  if (code != SQLITE_OK) fail_sqlite(connection_, doing_);
}

void Statement::bind(int index, std::int64_t value, Keep) { check_bound(sqlite3_bind_int64(statement_, index, value)); }
void Statement::bind(int index, double value, Keep) { check_bound(sqlite3_bind_double(statement_, index, value)); }
void Statement::bind(int index, std::nullptr_t, Keep) { check_bound(sqlite3_bind_null(statement_, index)); }

void Statement::bind(int index, std::string_view value, Keep keep) {
  // A null pointer would be bound as NULL; an empty view may hold one.
  const char* bytes = value.data() == nullptr ? "" : value.data();
  check_bound(sqlite3_bind_text64(statement_, index, bytes, value.size(), keep == Keep::Copy ? SQLITE_TRANSIENT : SQLITE_STATIC,
                                  SQLITE_UTF8));
}

void Statement::bind(int index, Blob value, Keep keep) {
  const void* bytes = value.empty() ? static_cast<const void*>("") : value.data();
  check_bound(
      sqlite3_bind_blob64(statement_, index, bytes, value.size(), keep == Keep::Copy ? SQLITE_TRANSIENT : SQLITE_STATIC));
}

Database::Database(std::string path, DatabaseAccess access, std::chrono::milliseconds busy_timeout) : path_(std::move(path)) {
  require_openable(path_, access);
  int flags = SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE;
  if (access == DatabaseAccess::ReadOnly) flags |= SQLITE_OPEN_READONLY;
  if (access == DatabaseAccess::ReadWrite) flags |= SQLITE_OPEN_READWRITE;
  if (access == DatabaseAccess::Create) flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path_.c_str(), &connection_, flags, nullptr);
  if (code != SQLITE_OK) {
    const std::string detail = connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_);
    sqlite3_close(connection_);
    fail(ErrorKind::Store, fmt::format("could not open the store {}: {}", path_, explain(code, path_, detail)));
  }
  try {
    // First of all: every later pragma may already meet a lock.
    sqlite3_busy_timeout(connection_, static_cast<int>(busy_timeout.count()));
    if (access != DatabaseAccess::ReadOnly && sqlite3_db_readonly(connection_, "main") == 1) {
      fail(ErrorKind::Store,
           fmt::format("could not open the store {} for writing: {}", path_, explain(SQLITE_READONLY, path_, "")));
    }
    execute("PRAGMA foreign_keys = ON", "open the store " + path_);
  } catch (...) {
    sqlite3_close(connection_);
    throw;
  }
}

Database::~Database() { sqlite3_close_v2(connection_); }

void Database::execute(const std::string& sql, const std::string& doing) {
  if (sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail_sqlite(connection_, doing);
}

Statement Database::prepare(std::string_view sql, std::string doing) const {
  return Statement(connection_, sql, std::move(doing));
}

std::optional<std::string> Database::query_text(const std::string& sql, const std::string& doing) const {
  Statement statement = prepare(sql, doing);
  if (!statement.next()) return std::nullopt;
  return statement.text(0);
}

std::int64_t Database::query_integer(const std::string& sql, const std::string& doing) const {
  Statement statement = prepare(sql, doing);
  return statement.next() ? statement.integer(0) : 0;
}

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(connection_); }
std::int64_t Database::changes() const { return sqlite3_changes64(connection_); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(connection_) == 0; }

Transaction::Transaction(Database& database, std::string doing) : database_(database), doing_(std::move(doing)) {
  database_.execute("BEGIN IMMEDIATE", doing_);
}

Transaction::~Transaction() {
  // After an error such as a full disk SQLite may have rolled back by itself.
  if (!open_ || !database_.in_transaction()) return;
  try {
    database_.execute("ROLLBACK", doing_);
  } catch (const Error&) {
    // The journal stays and the next opening rolls back; a destructor has nobody to tell.
  }
}

void Transaction::commit() {
  database_.execute("COMMIT", doing_);
  open_ = false;
}

}  // namespace gauntlet
