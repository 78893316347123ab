#include "datasets/schema.h"

#include <doctest/doctest.h>

#include "datasets/sample_store.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

/// The released migrations and one more, as a later program would have.
std::vector<Migration> one_more() {
  std::vector<Migration> out(store_migrations().begin(), store_migrations().end());
  out.push_back({"ALTER TABLE tasks ADD COLUMN licence TEXT NOT NULL DEFAULT 'cc0'"});
  return out;
}

TEST_CASE("a store of the version before is brought up to date with its rows, and its views are made again") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  Database database(path, DatabaseAccess::ReadWrite, std::chrono::seconds(1));
  database.execute("DROP VIEW v_runs", "make the file older");
  upgrade_schema(database, one_more());
  CHECK(database.query_integer("PRAGMA user_version", "read") == current_schema_version() + 1);
  CHECK(database.query_text("SELECT task_id || licence FROM tasks WHERE task_rowid = 3", "read") == "t3cc0");
  CHECK(database.query_integer("SELECT requested FROM v_runs", "read") == 6);
}

TEST_CASE("what version 1 scored 0 for want of time, or of room for the task's own prompt, is unscored when it is brought up to date") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  Store store = sample::store(path);
  for (int i = 0; i < 4; ++i) sample::put(store, sample::failed_episode("r", "t1", i));
  {
    Database database(path, DatabaseAccess::ReadWrite, std::chrono::seconds(1));
    database.execute(R"(UPDATE episodes SET stop = 'time_limit' WHERE sample = 0;
        UPDATE episodes SET stop = 'context_limit', steps = 0 WHERE sample = 1;
        UPDATE episodes SET stop = 'context_limit', steps = 3 WHERE sample = 2;
        PRAGMA user_version = 1)", "make the file older");
  }
  const Store upgraded(path, StoreMode::ReadWrite);
  std::vector<std::string> ends;
  upgraded.for_each_episode({}, [&](const StoredEpisode& stored) {
    const Episode& episode = stored.episode;
    CHECK(episode.score.scored != is_infrastructure(episode.stop));
    CHECK(episode.score.components.empty() != episode.score.scored);
    ends.push_back(std::string(stop_reason_name(episode.stop)) + " " + episode.fault_class);
  });
  CHECK(ends == std::vector<std::string>{"time_limit out_of_time", "model_fault context_length", "context_limit ", "submitted "});
  CHECK(upgraded.completed_slots("r").size() == 2);
  CHECK(upgraded.check() == std::vector<std::string>{});
}

TEST_CASE("a file stamped as a store but without tables yet is filled when it is opened for writing") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  {
    Database database(path, DatabaseAccess::Create, std::chrono::seconds(1));
    database.execute("PRAGMA application_id = " + std::to_string(kApplicationId), "stamp");
  }
  CHECK(contains(error_of([&] { Store(path, StoreMode::ReadOnly); }), "it has schema version 0, this program reads version 2"));
  Store(path, StoreMode::ReadWrite).put_environment("e", "h", Json::object());
  CHECK(Store(path, StoreMode::ReadOnly).list_environments().size() == 1);
}

TEST_CASE("a migration that fails leaves the file as it was") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  { sample::store(path); }
  std::vector<Migration> migrations = one_more();
  migrations.push_back({"CREATE TABLE licences (name TEXT); SELECT * FROM no_such_table"});
  {
    Database database(path, DatabaseAccess::ReadWrite, std::chrono::seconds(1));
    CHECK(contains(error_of([&] { upgrade_schema(database, migrations); }), "no_such_table"));
    CHECK(database.query_integer("SELECT count(*) FROM pragma_table_info('tasks') WHERE name = 'licence'", "read") == 0);
  }
  CHECK(Store(path, StoreMode::ReadWrite).count_tasks({}) == 3);
}

TEST_CASE("the store keeps to the durable settings") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  Store store = sample::store(path);
  sample::put(store, sample::episode("r", "t1"));
  // TRUNCATE leaves an empty journal; WAL would leave other files.
  CHECK(std::filesystem::exists(path + "-journal"));
  CHECK(std::filesystem::file_size(path + "-journal") == 0);
  CHECK_FALSE(std::filesystem::exists(path + "-wal"));
}

}  // namespace
}  // namespace gauntlet
