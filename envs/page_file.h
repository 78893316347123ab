#pragma once

// A SQLite database file that lives in memory and whose contents can be exchanged as a whole. The statements of a connection stay
// compiled, because every image of one environment has the same schema; what is cached of the old contents is dropped by SQLite itself,
// which compares the change counter in the file's header at the start of a transaction. So another world costs a few page reads instead of
// an insert for each row.

#include <cstdint>
#include <memory>
#include <string>

#include "envs/sqlite_handle.h"

namespace gauntlet {

/// The bytes of a database file; shared by all connections that show it.
using PageImage = std::string;

/// The contents of one connection's file. One thread at a time.
class PageFile {
 public:
  /// Exchanges the contents. The connection must be outside any transaction.
  void show(std::shared_ptr<const PageImage> image);

  /// The contents as committed, with `stamp` as their change counter. Two images may only have one stamp if they are equal. It has to be
  /// even: SQLite adds one when it commits to what an image shows, and must not take the result for another image.
  std::shared_ptr<const PageImage> copy(std::uint32_t stamp) const;

  const std::string& bytes() const { return image_ ? *image_ : own_; }
  /// For writing: a copy of its own first if what is shown is shared.
  std::string& own();

 private:
  std::shared_ptr<const PageImage> image_;  ///< null once written to
  std::string own_;
};

struct PageDatabase {
  std::unique_ptr<PageFile> file;  ///< must outlive db
  SqliteDb db;
};

/// An empty database whose file is a PageFile. Throws Error(Infrastructure).
PageDatabase open_page_database();

}  // namespace gauntlet
