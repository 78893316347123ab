// The store's tasks, their worlds and certificates.

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/sha256.h"
#include "datasets/store_state.h"

namespace gauntlet {
namespace {

constexpr std::int64_t kTasksPerBatch = 64;  ///< certificates can be large

constexpr const char* kSelectTasks =
    "SELECT t.task_rowid, t.task_id, t.environment, t.env_sha256, t.named, w.world_key, t.level, t.prompt, t.problem, "
    "t.difficulty, "
    "c.certificate FROM tasks t JOIN worlds w USING (world_id) JOIN certificates c USING (task_id)";

Json stored_json(const Statement& row, int column, const char* what) {
  return parse_json(row.text(column), fmt::format("the stored {} of task {}", what, row.text(1)));
}

Task read_task(const Statement& row) {
  return {.task_id = row.text(1),
          .environment = row.text(2),
          .env_sha256 = row.text(3),
          .named = row.text(4),
          .world = world_key_from_json(stored_json(row, 5, "world key"), ""),
          .level = static_cast<int>(row.integer(6)),
          .prompt = row.text(7),
          .problem = stored_json(row, 8, "problem"),
          .difficulty = stored_json(row, 9, "difficulty"),
          .certificate = stored_json(row, 10, "certificate")};
}

/// SQL condition for the parts of the filter that are values of a row; its parameters are environment and level.
constexpr const char* kMatches = "(?1 = '' OR t.environment = ?1) AND (?2 < 0 OR t.level = ?2)";

std::int64_t limit_of(const TaskFilter& filter) { return filter.limit < 0 ? INT64_MAX : filter.limit; }

bool matches(const Task& task, const TaskFilter& filter) {
  return (filter.environment.empty() || task.environment == filter.environment) &&
         (filter.level < 0 || task.level == filter.level);
}

}  // namespace

std::size_t Store::put_tasks(std::span<const Task> tasks) {
  const std::string doing = "store tasks";
  Database& database = impl_->database;
  Transaction transaction(database, doing);
  Statement known_task = database.prepare("SELECT 1 FROM tasks WHERE task_id = ?", doing);
  Statement known_environment = database.prepare("SELECT 1 FROM environments WHERE env_sha256 = ?", doing);
  Statement find_world = database.prepare("SELECT world_id FROM worlds WHERE env_sha256 = ? AND key_sha256 = ?", doing);
  Statement insert_world =
      database.prepare("INSERT INTO worlds (env_sha256, key_sha256, seed, world_key) VALUES (?, ?, ?, ?)", doing);
  Statement insert_task = database.prepare(
      "INSERT INTO tasks (task_id, environment, env_sha256, world_id, named, level, prompt, problem, difficulty) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      doing);
  Statement insert_certificate = database.prepare("INSERT INTO certificates (task_id, certificate) VALUES (?, ?)", doing);
  const auto exists = [](Statement& query, const std::string& key) {
    query.start(key);
    const bool found = query.next();
    query.reset();
    return found;
  };

  std::size_t added = 0;
  for (const Task& task : tasks) {
    if (exists(known_task, task.task_id)) continue;
    if (!exists(known_environment, task.env_sha256)) {
      fail(ErrorKind::Store,
           fmt::format("could not store the task {}: its environment {} with hash {} is not in {}; store that first",
                       task.task_id, task.environment, task.env_sha256, path()));
    }
    const Json key = to_json(task.world);
    const std::string key_sha256 = sha256_hex(canonical_json(key));
    find_world.start(task.env_sha256, key_sha256);
    std::int64_t world_id = find_world.next() ? find_world.integer(0) : 0;
    find_world.reset();
    if (world_id == 0) {
      insert_world.run(task.env_sha256, key_sha256, seed_text(task.world.seed), dump_json(key));
      world_id = database.last_insert_id();
    }
    insert_task.run(task.task_id, task.environment, task.env_sha256, world_id, task.named, task.level, task.prompt,
                    dump_json(task.problem), dump_json(task.difficulty));
    insert_certificate.run(task.task_id, dump_json(task.certificate));
    ++added;
  }
  transaction.commit();
  return added;
}

std::vector<std::string> Store::task_ids() const {
  Statement query = impl_->database.prepare("SELECT task_id FROM tasks ORDER BY task_rowid", "list tasks");
  std::vector<std::string> ids;
  query.start();
  while (query.next()) ids.push_back(query.text(0));
  return ids;
}

std::optional<Task> Store::find_task(const std::string& task_id) const {
  Statement query = impl_->database.prepare(std::string(kSelectTasks) + " WHERE t.task_id = ?", "read the task " + task_id);
  query.start(task_id);
  if (!query.next()) return std::nullopt;
  return read_task(query);
}

void Store::for_each_task(const TaskFilter& filter, const std::function<void(const Task&)>& visit) const {
  std::int64_t left = limit_of(filter);
  if (!filter.task_ids.empty()) {
    // In insertion order, however the ids were listed.
    Statement rowid = impl_->database.prepare("SELECT task_rowid FROM tasks WHERE task_id = ?", "read tasks");
    std::vector<std::pair<std::int64_t, std::string>> found;
    for (const auto& id : filter.task_ids) {
      rowid.start(id);
      if (rowid.next()) found.emplace_back(rowid.integer(0), id);
      rowid.reset();
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    for (const auto& [row, id] : found) {
      if (left == 0) return;
      const auto task = find_task(id);
      if (!task || !matches(*task, filter)) continue;
      visit(*task);
      --left;
    }
    return;
  }
  Statement query = impl_->database.prepare(
      fmt::format("{} WHERE {} AND t.task_rowid > ?3 ORDER BY t.task_rowid LIMIT ?4", kSelectTasks, kMatches), "read tasks");
  for (std::int64_t after = 0; left > 0;) {
    const std::int64_t batch_size = std::min(left, kTasksPerBatch);
    query.start(filter.environment, filter.level, after, batch_size);
    std::vector<Task> batch;
    while (query.next()) {
      after = query.integer(0);
      batch.push_back(read_task(query));
    }
    for (const Task& task : batch) visit(task);
    left -= static_cast<std::int64_t>(batch.size());
    if (static_cast<std::int64_t>(batch.size()) < batch_size) return;
  }
}

std::vector<Task> Store::list_tasks(const TaskFilter& filter) const {
  std::vector<Task> out;
  for_each_task(filter, [&](const Task& task) { out.push_back(task); });
  return out;
}

std::int64_t Store::count_tasks(const TaskFilter& filter) const {
  std::int64_t count = 0;
  if (filter.task_ids.empty()) {
    Statement query = impl_->database.prepare(fmt::format("SELECT count(*) FROM tasks t WHERE {}", kMatches), "count tasks");
    query.start(filter.environment, filter.level);
    query.next();
    count = query.integer(0);
  } else {
    for_each_task(filter, [&](const Task&) { ++count; });
  }
  return std::min(count, limit_of(filter));
}

}  // namespace gauntlet
