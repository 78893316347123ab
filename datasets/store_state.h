#pragma once

// What a Store holds, shared by store.cpp, store_tasks.cpp and store_episodes.cpp only.

#include <optional>
#include <string>

#include "datasets/sqlite.h"
#include "datasets/store.h"

namespace gauntlet {

/// Statements of put_episodes, prepared on its first call and kept.
struct EpisodeStatements {
  Statement episode;
  Statement message;
  Statement stream;
  Statement score;
  Statement component;

  explicit EpisodeStatements(const Database& database);
};

struct Store::Impl {
  Database database;
  std::optional<EpisodeStatements> writing;

  Impl(const std::string& path, DatabaseAccess access, std::chrono::milliseconds busy_timeout)
      : database(path, access, busy_timeout) {}
};

/// 64-bit seeds are stored as 16 hex digits: SQLite's integers are signed and JSON readers round large ones.
std::string seed_text(std::uint64_t seed);
std::uint64_t parse_seed(const std::string& text);

}  // namespace gauntlet
