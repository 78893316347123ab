#pragma once

// Owners of SQLite's connection, statements and transactions, with errors that say what was attempted and what can be done.
// sqlite.cpp is the one file of this folder that includes sqlite3.h. A Database belongs to one thread at a time and must not be
// carried across fork().

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace gauntlet {

enum class DatabaseAccess { ReadOnly, ReadWrite, Create };

using Blob = std::span<const std::byte>;

/// A prepared statement. `run` executes a statement without rows; `start` and `next` walk over rows. Indices of columns start
/// at 0.
class Statement {
 public:
  /// `doing` completes "could not …" in errors: "store an episode".
  Statement(sqlite3* connection, std::string_view sql, std::string doing);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  /// Binds the values in order, executes and resets. Text is not copied: it only needs to live through this call.
  template <class... Values>
  void run(const Values&... values) {
    int index = 0;
    (bind(++index, values, Keep::Reference), ...);
    execute();
  }

  /// Binds copies of the values; rows follow by next().
  template <class... Values>
  void start(const Values&... values) {
    reset();
    int index = 0;
    (bind(++index, values, Keep::Copy), ...);
  }

  /// False after the last row; the statement is then reset and holds no lock.
  bool next();
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;
  /// Empty for NULL. The bytes exactly as stored.
  std::string text(int column) const;
  bool is_null(int column) const;
  /// Valid until the next call of next() or reset().
  Blob blob(int column) const;

 private:
  enum class Keep { Reference, Copy };

  void bind(int index, std::int64_t value, Keep keep);
  void bind(int index, int value, Keep keep) { bind(index, static_cast<std::int64_t>(value), keep); }
  void bind(int index, std::size_t value, Keep keep) { bind(index, static_cast<std::int64_t>(value), keep); }
  void bind(int index, bool value, Keep keep) { bind(index, static_cast<std::int64_t>(value ? 1 : 0), keep); }
  void bind(int index, double value, Keep keep);
  void bind(int index, std::string_view value, Keep keep);
  void bind(int index, const std::string& value, Keep keep) { bind(index, std::string_view(value), keep); }
  void bind(int index, const char* value, Keep keep) { bind(index, std::string_view(value), keep); }
  void bind(int index, Blob value, Keep keep);
  void bind(int index, std::nullptr_t, Keep keep);
  template <class T>
  void bind(int index, const std::optional<T>& value, Keep keep) {
    value ? bind(index, *value, keep) : bind(index, nullptr, keep);
  }
  void execute();
  void check_bound(int code) const;

  sqlite3* connection_;
  sqlite3_stmt* statement_ = nullptr;
  std::string doing_;
};

class Database {
 public:
  /// Waits up to `busy_timeout` whenever another process holds the lock. Throws Error(Store).
  Database(std::string path, DatabaseAccess access, std::chrono::milliseconds busy_timeout);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  const std::string& path() const { return path_; }

  /// Runs one or more statements without parameters.
  void execute(const std::string& sql, const std::string& doing);
  Statement prepare(std::string_view sql, std::string doing) const;
  /// First column of the first row; nothing if there is no row.
  std::optional<std::string> query_text(const std::string& sql, const std::string& doing) const;
  std::int64_t query_integer(const std::string& sql, const std::string& doing) const;

  std::int64_t last_insert_id() const;
  std::int64_t changes() const;  ///< rows changed by the latest statement
  bool in_transaction() const;

 private:
  std::string path_;
  sqlite3* connection_ = nullptr;
};

/// BEGIN IMMEDIATE … COMMIT; rolled back on destruction unless committed.
class Transaction {
 public:
  Transaction(Database& database, std::string doing);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  /// What was written is on the disk when this returns.
  void commit();

 private:
  Database& database_;
  std::string doing_;
  bool open_ = true;
};

}  // namespace gauntlet
