#pragma once

// The store's tables and views, and how an older file becomes a current one. `PRAGMA application_id` says that a file is a
// store, `PRAGMA user_version` which schema it has. docs/store.md describes the tables for people who query them.

#include <cstdint>
#include <span>
#include <string>

#include "datasets/sqlite.h"

namespace gauntlet {

/// "GNTL" in ASCII.
inline constexpr std::int64_t kApplicationId = 0x474E544C;

/// One step from schema version N-1 to N; the N-th of the list.
struct Migration {
  const char* sql;
};

std::span<const Migration> store_migrations();
/// Dropped and made again after migrations, so that a view never needs a migration of its own.
const char* store_views();

inline std::int64_t current_schema_version() { return static_cast<std::int64_t>(store_migrations().size()); }

/// Makes an empty file a store, or brings an older one up to `migrations`, in one transaction.
/// Throws Error(Store) if the file is no store or of a newer schema; then nothing is changed.
void upgrade_schema(Database& database, std::span<const Migration> migrations);

/// For reading only: throws Error(Store) unless the file is a store of exactly the current version.
void require_current_schema(const Database& database);

}  // namespace gauntlet
