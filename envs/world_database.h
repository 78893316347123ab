#pragma once

// One connection's database, which can show any world of an environment. It then stands inside a transaction with a savepoint: reads within
// one need no lock of their own, and all writes can be undone at once.

#include <memory>
#include <vector>

#include "envs/env_spec.h"
#include "envs/page_file.h"
#include "envs/world_images.h"

namespace gauntlet {

/// Statements compiled on db() must go before it. One thread at a time.
class WorldDatabase {
 public:
  /// Makes the tables, without rows. `spec` and `images`, which the connections of the spec share, must outlive it.
  WorldDatabase(const EnvSpec& spec, WorldImages& images);

  sqlite3* db() const { return pages_.db.get(); }
  void show(const std::shared_ptr<const World>& world);
  /// Undoes everything since show().
  void undo_writes();

  SqliteStatement prepare(const std::string& sql) const;
  /// Runs a statement without rows or variables.
  void run(const SqliteStatement& statement, std::string_view attempted) const;

 private:
  std::shared_ptr<const PageImage> make_image(const World& world);

  const EnvSpec* spec_;
  WorldImages* images_;
  PageDatabase pages_;
  std::shared_ptr<const PageImage> empty_;  ///< tables without rows
  std::vector<SqliteStatement> inserts_;    ///< [entities]
  SqliteStatement begin_, commit_, rollback_, savepoint_, undo_;
};

}  // namespace gauntlet
