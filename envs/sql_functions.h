#pragma once

// The SQL functions that tools may use: those that give the same for the same arguments on every machine and at every time, and
// whose work is bounded. Where SQLite's own are not, these take their place.

#include <memory>
#include <span>
#include <string_view>

#include "envs/sqlite_handle.h"
#include "envs/work_budget.h"

namespace gauntlet {

/// Sorted names, as the authorizer accepts them.
std::span<const std::string_view> allowed_functions();

/// Replaces functions and collations of `db`; must outlive it.
class SqlFunctions {
 public:
  SqlFunctions(sqlite3* db, WorkBudget& budget);
  ~SqlFunctions();
  SqlFunctions(const SqlFunctions&) = delete;
  SqlFunctions& operator=(const SqlFunctions&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gauntlet
