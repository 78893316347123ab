#pragma once

// One connection's database, which can show any world of an environment. It then stands inside a transaction with a savepoint: reads within
// one need no lock of their own, and all writes can be undone at once.

#include <memory>
#include <vector>

#include "envs/env_spec.h"
#include "envs/page_file.h"
#include "envs/sql_functions.h"
#include "envs/work_budget.h"
#include "envs/world_images.h"

namespace gauntlet {

/// Statements compiled on db() must go before it. One thread at a time.
class WorldDatabase {
 public:
  /// Makes the tables, without rows, with the functions that tools may use and SQLite's limits. `spec` and `images`, which the connections of the spec share, must outlive it.
  WorldDatabase(const EnvSpec& spec, WorldImages& images);

  sqlite3* db() const { return pages_.db.get(); }
  /// What the statements that run on db() may cost; lifted while a world is shown.
  WorkBudget& budget() { return budget_; }
  void show(const std::shared_ptr<const World>& world);
  /// Undoes everything since show().
  void undo_writes();
  /// Stands in the fresh world again after SQLite gave up the whole transaction.
  void begin_again();

  SqliteStatement prepare(const std::string& sql) const;
  /// Runs a statement without rows or variables, outside the budget.
  void run(const SqliteStatement& statement, std::string_view attempted);

 private:
  std::shared_ptr<const PageImage> make_image(const World& world);
  void limit_pages(std::int64_t pages);

  const EnvSpec* spec_;
  WorldImages* images_;
  // The database after what it needs: members are released in reverse.
  WorkBudget budget_;
  std::unique_ptr<SqlFunctions> functions_;
  PageDatabase pages_;
  std::int64_t page_limit_ = 0;             ///< as set last; 0: never
  std::shared_ptr<const PageImage> empty_;  ///< tables without rows
  std::vector<SqliteStatement> inserts_;    ///< [entities]
  SqliteStatement begin_, commit_, rollback_, savepoint_, undo_;
};

}  // namespace gauntlet
