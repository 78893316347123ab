#include "datasets/store.h"

#include <doctest/doctest.h>

#include <fstream>

#include "datasets/sample_store.h"
#include "datasets/sqlite.h"

using gauntlet::sample::contains;
using gauntlet::sample::error_of;

namespace gauntlet {
namespace {

std::int64_t count_rows(const std::string& path, const std::string& sql) {
  const Database database(path, DatabaseAccess::ReadOnly, std::chrono::seconds(1));
  return database.query_integer(sql, "count");
}

void change(const std::string& path, const std::string& sql) {
  Database(path, DatabaseAccess::ReadWrite, std::chrono::seconds(1))
      .execute("PRAGMA foreign_keys = OFF;" + sql, "change the file");
}

TEST_CASE("a task comes back from a reopened store exactly as it was put") {
  const sample::TemporaryFolder folder;
  { sample::store(folder.file("s.db")); }
  const Store store(folder.file("s.db"), StoreMode::ReadOnly);
  CHECK(dump_json(to_json(store.find_task("t2").value())) == dump_json(to_json(sample::task("t2", 2))));
  CHECK_FALSE(store.find_task("t9").has_value());
  CHECK(store.get_environment(sample::kEnvSha256) == Json{{"name", "trip_planning"}});
  CHECK(store.list_environments() == std::vector<std::pair<std::string, std::string>>{{"trip_planning", sample::kEnvSha256}});
}

TEST_CASE("tasks that are there already are left as they are, and worlds are shared") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  Task other = sample::task("t1");
  other.prompt = "changed";
  const std::vector<Task> tasks = {other, sample::task("t4")};
  CHECK(store.put_tasks(tasks) == 1);
  CHECK(store.find_task("t1")->prompt == "Plan one day in Hangzhou.");
  CHECK(count_rows(folder.file("s.db"), "SELECT count(*) FROM worlds") == 1);
}

TEST_CASE("tasks are listed in order of insertion, by environment, level, ids and limit") {
  const sample::TemporaryFolder folder;
  const Store store = sample::store(folder.file("s.db"), 150);
  const auto ids = [&](const TaskFilter& filter) {
    std::vector<std::string> out;
    for (const auto& task : store.list_tasks(filter)) out.push_back(task.task_id);
    return out;
  };
  CHECK(ids({}).size() == 150);
  CHECK(ids({})[149] == "t150");
  CHECK(ids({.task_ids = {}, .environment = "", .level = 2, .limit = 3}) == std::vector<std::string>{"t2", "t5", "t8"});
  CHECK(ids({.task_ids = {"t7", "t3", "t3", "t999"}, .environment = "", .level = -1, .limit = -1}) ==
        std::vector<std::string>{"t3", "t7"});
  CHECK(store.count_tasks({.task_ids = {}, .environment = "", .level = 1, .limit = -1}) == 50);
  CHECK(store.count_tasks({.task_ids = {}, .environment = "other", .level = -1, .limit = -1}) == 0);
}

TEST_CASE("a task whose environment was not put is refused, and none of its batch is stored") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  Task stray = sample::task("stray");
  stray.env_sha256 = std::string(64, 'b');
  const std::vector<Task> tasks = {sample::task("t8"), stray};
  CHECK(contains(error_of([&] { store.put_tasks(tasks); }),
                 "could not store the task stray: its environment trip_planning with hash bbb"));
  CHECK_FALSE(store.find_task("t8").has_value());
}

TEST_CASE("a run goes on with the same configuration only, and the error names what differs") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  RunRecord more = sample::run("r", 12);
  store.put_run(more);
  CHECK(store.find_run("r")->requested == 12);
  more.config["limits"]["max_steps"] = 100;
  more.config_sha256 = "c2";
  CHECK(contains(error_of([&] { store.put_run(more); }), "/limits/max_steps: stored 200, now 100"));
  CHECK(store.list_runs().size() == 1);
}

TEST_CASE("a store of a newer schema is refused with both versions and left alone") {
  const sample::TemporaryFolder folder;
  { sample::store(folder.file("s.db")); }
  change(folder.file("s.db"), "PRAGMA user_version = 99");
  for (const StoreMode mode : {StoreMode::ReadOnly, StoreMode::ReadWrite, StoreMode::Create}) {
    const std::string message = error_of([&] { Store(folder.file("s.db"), mode); });
    CHECK(contains(message, "it has schema version 99, this program knows versions up to 2"));
    CHECK(contains(message, "Use a newer gauntlet"));
  }
  CHECK(count_rows(folder.file("s.db"), "PRAGMA user_version") == 99);
}

TEST_CASE("opening what is not a store says what was found") {
  const sample::TemporaryFolder folder;
  const auto opening = [&](const std::string& name, StoreMode mode) {
    return error_of([&] { Store(folder.file(name), mode); });
  };
  CHECK(contains(opening("none.db", StoreMode::ReadOnly), "there is no such file"));
  CHECK(contains(opening("none.db", StoreMode::ReadWrite), "there is no such file"));
  CHECK(contains(opening("no/folder.db", StoreMode::Create), "there is no folder"));
  CHECK(contains(opening("", StoreMode::Create), "it is a folder"));

  std::ofstream(folder.file("text.db")) << std::string(5000, 'x');
  CHECK(contains(opening("text.db", StoreMode::ReadWrite), "is not an SQLite database"));
  std::ofstream(folder.file("empty.db")).close();
  CHECK(contains(opening("empty.db", StoreMode::ReadWrite), "it is an empty file"));
  CHECK(contains(opening("empty.db", StoreMode::ReadOnly), "it is an empty file"));
  Database(folder.file("other.db"), DatabaseAccess::Create, std::chrono::seconds(1)).execute("CREATE TABLE x (y)", "make");
  CHECK(contains(opening("other.db", StoreMode::Create), "not a Gauntlet store (application_id 0x0"));
  CHECK(count_rows(folder.file("other.db"), "SELECT count(*) FROM sqlite_schema") == 1);
}

TEST_CASE("a locked store fails after the waiting time and says so") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  Store impatient(folder.file("s.db"), StoreMode::ReadWrite, std::chrono::milliseconds(1));
  Database holder(folder.file("s.db"), DatabaseAccess::ReadWrite, std::chrono::seconds(1));
  Transaction transaction(holder, "hold the lock");
  CHECK(contains(error_of([&] { sample::put(impatient, sample::episode("r", "t1")); }),
                 "is locked: another process kept it busy"));
}

TEST_CASE("a sound store has nothing to report") {
  const sample::TemporaryFolder folder;
  Store store = sample::store(folder.file("s.db"));
  sample::put(store, sample::episode("r", "t1"));
  sample::put(store, sample::faulty_episode("r", "t2"));
  store.log_export({{"format", "rl.superset"}});
  CHECK(store.check() == std::vector<std::string>{});
}

TEST_CASE("check names each kind of damage") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  Store store = sample::store(path);
  sample::put(store, sample::episode("r", "t1"));
  sample::put(store, sample::faulty_episode("r", "t2"));
  const auto after = [&](const std::string& sql) {
    change(path, "PRAGMA ignore_check_constraints = ON;" + sql);
    const auto problems = store.check();
    return problems.empty() ? std::string() : problems.back();
  };
  CHECK(contains(after("UPDATE runs SET config = '{'"), "run r: its configuration is not JSON"));
  CHECK(contains(after("UPDATE runs SET config = '{}'; UPDATE scores SET scored = 1, value = 0, unscored_reason = NULL"),
                 "episode 2: it ended in an infrastructure fault and yet is scored"));
  CHECK(contains(after("UPDATE scores SET scored = 0, value = NULL, unscored_reason = 'x'; UPDATE messages SET position = 50 "
                       "WHERE position = 6 AND episode_id = 1"),
                 "episode 1: the positions of its messages have a gap"));
  CHECK(contains(
      after("UPDATE messages SET position = 6 WHERE position = 50; DELETE FROM messages WHERE position = 3 AND episode_id = 1"),
      "episode 1: the number of messages is not the one recorded"));
  CHECK(contains(
      after("DELETE FROM messages; UPDATE episodes SET message_count = 0; DELETE FROM certificates WHERE task_id = 't3'"),
      "task t3: it has no certificate row"));
}

TEST_CASE("a corrupted file is reported, whatever page is hit, and never crashes the program") {
  const sample::TemporaryFolder folder;
  const std::string path = folder.file("s.db");
  {
    Store store = sample::store(path);
    for (int i = 0; i < 20; ++i) sample::put(store, sample::episode("r", "t1", i));
  }
  const auto size = std::filesystem::file_size(path);
  int reported = 0;
  int tried = 0;
  for (std::uintmax_t at = 0; at < size; at += 4096, ++tried) {
    const std::string copy = folder.file("copy.db");
    std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
    {
      std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(at));
      file << std::string(64, '\xFF');
    }
    try {
      const Store store(copy, StoreMode::ReadOnly);
      reported += store.check().empty() ? 0 : 1;
    } catch (const Error&) {
      ++reported;
    }
  }
  CHECK(tried > 20);
  CHECK(reported == tried);
}

}  // namespace
}  // namespace gauntlet
