#include "datasets/store.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "core/clock.h"
#include "core/error.h"
#include "datasets/schema.h"
#include "datasets/store_state.h"

namespace gauntlet {
namespace {

DatabaseAccess access_of(StoreMode mode) {
  switch (mode) {
    case StoreMode::ReadOnly:
      return DatabaseAccess::ReadOnly;
    case StoreMode::ReadWrite:
      return DatabaseAccess::ReadWrite;
    case StoreMode::Create:
      return DatabaseAccess::Create;
  }
  fail(ErrorKind::Internal, "a store mode outside the enumeration");
}

void set_durability(Database& database) {
  const std::string doing = "set up the store " + database.path();
  const std::string mode = database.query_text("PRAGMA journal_mode = TRUNCATE", doing).value_or("");
  if (mode != "truncate") {
    fail(ErrorKind::Store,
         fmt::format("could not open {} for writing: its journal mode is {} and cannot be changed to truncate while "
                     "another program has it open",
                     database.path(), mode));
  }
  database.execute("PRAGMA synchronous = EXTRA", doing);
}

/// A writer that was killed leaves a journal that a read-only connection may not roll back. Whoever may write does it first;
/// whoever may not gets the error of reading.
void recover_interrupted_write(const std::string& path, std::chrono::milliseconds busy_timeout) {
  std::error_code error;
  const std::uintmax_t journal_bytes = std::filesystem::file_size(path + "-journal", error);
  if (error || journal_bytes == 0) return;
  try {
    const Database database(path, DatabaseAccess::ReadWrite, busy_timeout);
    database.query_integer("SELECT count(*) FROM sqlite_schema", "roll back an interrupted write in " + path);
  } catch (const Error&) {
    // Reading says it better.
  }
}

/// Appends "pointer: stored A, now B" for each leaf that differs.
void list_differences(const Json& stored, const Json& now, const std::string& path, std::vector<std::string>& out) {
  if (stored.is_object() && now.is_object()) {
    for (const auto& item : stored.items()) {
      const auto other = now.find(item.key());
      list_differences(item.value(), other == now.end() ? Json() : *other, path + "/" + item.key(), out);
    }
    for (const auto& item : now.items()) {
      if (!stored.contains(item.key()))
        out.push_back(fmt::format("{}/{}: stored nothing, now {}", path, item.key(), dump_json(item.value())));
    }
  } else if (stored != now) {
    out.push_back(fmt::format("{}: stored {}, now {}", path.empty() ? "/" : path, dump_json(stored), dump_json(now)));
  }
}

RunRecord read_run(const Statement& row) {
  return {.run_id = row.text(0),
          .config = parse_json(row.text(1), "the stored configuration of run " + row.text(0)),
          .config_sha256 = row.text(2),
          .code_version = row.text(3),
          .started_unix_ms = row.integer(4),
          .requested = row.integer(5)};
}

constexpr const char* kSelectRuns = "SELECT run_id, config, config_sha256, code_version, started_unix_ms, requested FROM runs";

}  // namespace

std::string seed_text(std::uint64_t seed) { return fmt::format("{:016x}", seed); }

std::uint64_t parse_seed(const std::string& text) {
  if (text.size() != 16 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail(ErrorKind::Store, fmt::format("could not read a stored seed: \"{}\", expected 16 hex digits", text));
  }
  return std::stoull(text, nullptr, 16);
}

Store::Store(const std::string& path, StoreMode mode, std::chrono::milliseconds busy_timeout) {
  if (mode == StoreMode::ReadOnly) recover_interrupted_write(path, busy_timeout);
  impl_ = std::make_unique<Impl>(path, access_of(mode), busy_timeout);
  if (mode != StoreMode::Create && impl_->database.query_integer("PRAGMA page_count", "open the store " + path) == 0) {
    fail(ErrorKind::Store, fmt::format("could not open {}: it is an empty file, not a Gauntlet store", path));
  }
  if (mode == StoreMode::ReadOnly) {
    require_current_schema(impl_->database);
    return;
  }
  set_durability(impl_->database);
  upgrade_schema(impl_->database, store_migrations());
}

Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

const std::string& Store::path() const { return impl_->database.path(); }

void Store::put_environment(const std::string& name, const std::string& sha256, const Json& source) {
  impl_->database
      .prepare("INSERT INTO environments (env_sha256, name, source) VALUES (?, ?, ?) ON CONFLICT (env_sha256) DO NOTHING",
               "store the environment " + name)
      .run(sha256, name, dump_json(source));
}

Json Store::get_environment(const std::string& sha256) const {
  Statement query = impl_->database.prepare("SELECT source FROM environments WHERE env_sha256 = ?", "read an environment");
  query.start(sha256);
  if (!query.next()) {
    fail(ErrorKind::Store, fmt::format("could not find the environment with hash {} in {}", sha256, path()));
  }
  return parse_json(query.text(0), "the stored environment " + sha256);
}

std::vector<std::pair<std::string, std::string>> Store::list_environments() const {
  Statement query = impl_->database.prepare("SELECT name, env_sha256 FROM environments ORDER BY rowid", "list environments");
  std::vector<std::pair<std::string, std::string>> out;
  while (query.next()) out.emplace_back(query.text(0), query.text(1));
  return out;
}

void Store::put_run(const RunRecord& run) {
  Transaction transaction(impl_->database, "store the run " + run.run_id);
  if (const auto stored = find_run(run.run_id)) {
    if (stored->config_sha256 != run.config_sha256) {
      std::vector<std::string> differences;
      list_differences(stored->config, run.config, "", differences);
      if (differences.empty()) differences.push_back("only the hash of the configuration differs");
      fail(ErrorKind::Usage,
           fmt::format("could not go on with run {}: its configuration is not the stored one; {}. Use the stored "
                       "configuration, or another run id",
                       run.run_id, fmt::join(differences, "; ")));
    }
    impl_->database.prepare("UPDATE runs SET requested = ? WHERE run_id = ?", "update the run " + run.run_id)
        .run(run.requested, run.run_id);
  } else {
    impl_->database
        .prepare(
            "INSERT INTO runs (run_id, config, config_sha256, code_version, started_unix_ms, requested) VALUES (?, ?, ?, ?, ?, "
            "?)",
            "store the run " + run.run_id)
        .run(run.run_id, dump_json(run.config), run.config_sha256, run.code_version, run.started_unix_ms, run.requested);
  }
  transaction.commit();
}

std::optional<RunRecord> Store::find_run(const std::string& run_id) const {
  Statement query = impl_->database.prepare(std::string(kSelectRuns) + " WHERE run_id = ?", "read a run");
  query.start(run_id);
  if (!query.next()) return std::nullopt;
  return read_run(query);
}

std::vector<RunRecord> Store::list_runs() const {
  Statement query = impl_->database.prepare(std::string(kSelectRuns) + " ORDER BY started_unix_ms, run_rowid", "list runs");
  std::vector<RunRecord> out;
  while (query.next()) out.push_back(read_run(query));
  return out;
}

std::optional<RunRecord> Store::find_latest_run() const {
  // A run that is resumed or grows keeps the time when it began, so that says nothing. Numbers of episodes only grow.
  Statement query = impl_->database.prepare("SELECT run_id FROM episodes ORDER BY episode_id DESC LIMIT 1", "find the latest run");
  query.start();
  if (query.next()) return find_run(query.text(0));
  std::vector<RunRecord> runs = list_runs();
  return runs.empty() ? std::nullopt : std::optional(std::move(runs.back()));
}

void Store::log_export(const Json& description) {
  impl_->database.prepare("INSERT INTO exports (created_unix_ms, description) VALUES (?, ?)", "log an export")
      .run(unix_ms(), dump_json(description));
}

}  // namespace gauntlet
